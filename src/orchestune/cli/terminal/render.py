"""Formatting of values, tables and colours. Nothing here depends on the server."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO

from orchestune.client.connection import clock

if TYPE_CHECKING:
    from orchestune import documents

_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
_CONTROL = re.compile(
    r"(\x1b\[[0-9;:]*m)|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]P_^X][^\x07\x1b]*(?:\x07|\x1b\\)?"
    r"|\x1b[ -/]*.?|[\x00-\x08\x0a-\x1f\x7f-\x9f]"
)
"""sequences that a terminal interprets rather than shows; colours are the first group"""
WORKER_COLOURS = ("36", "33", "35", "32", "34", "96", "93", "95", "92", "94")


class Paint:
    """Colours, if the stream is a terminal that supports them; and symbols that its encoding can show."""

    def __init__(self, colours: bool, unicode: bool = True) -> None:
        self.colours = colours
        self.unicode = unicode

    @classmethod
    def of(cls, stream: TextIO, environ: Mapping[str, str] = os.environ) -> Paint:
        """Return the abilities of `stream`. `NO_COLOR` and `TERM=dumb` turn colours off."""
        colours = stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM", "dumb") != "dumb"
        return cls(colours, "utf" in (stream.encoding or "").lower())

    def __call__(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colours and text else text

    def bold(self, text: str) -> str:
        """Emphasize."""
        return self("1", text)

    def dim(self, text: str) -> str:
        """De-emphasize."""
        return self("2", text)

    def state(self, state: str) -> str:
        """Colour the state of an experiment, a trial, an attempt or a worker."""
        return self(_STATE_COLOURS.get(state, "0"), state)

    def worker(self, name: str) -> str:
        """Colour the name of a worker, always the same way."""
        number = int(re.sub(r"\D", "", name) or 0)
        return self(WORKER_COLOURS[(number - 1) % len(WORKER_COLOURS)], name)

    def sign(self, sign: str) -> str:
        """Return `sign`, or its nearest equivalent in ASCII."""
        return sign if self.unicode else _ASCII.get(sign, sign)


_STATE_COLOURS = {
    "running": "36", "completed": "32", "succeeded": "32", "alive": "32", "failed": "31", "lost": "31", "pruned": "35",
    "paused": "33", "stopping": "33", "stopped": "33", "cancelled": "33", "preempted": "33", "pending": "34",
}  # fmt: skip
_ASCII = {"━": "#", "─": "-", "·": ",", "±": "+/-", "…": "...", "│": "|", "✓": "ok", "→": "->"}


def number(value: object, digits: int = 4) -> str:
    """Format a number: integers in full, others with `digits` significant digits."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if value == int(value) if abs(value) < 1e15 else False:
            return str(int(value)) if abs(value) < 10**digits or digits > 4 else f"{value:.{digits}g}"
        return f"{value:.{digits}g}"
    return str(value)


def measured(measurement: Mapping[str, Any] | None, paint: Paint) -> str:
    """Format the value of a metric, with its standard deviation if it has one."""
    if not measurement:
        return "-"
    text = number(measurement["value"], 4)
    spread = measurement.get("stddev")
    return f"{text} {paint.sign('±')} {number(spread, 2)}" if spread is not None else text


def assignments(values: Mapping[str, Any]) -> str:
    """Format parameters: `alpha=0.001 penalty=l1`."""
    return " ".join(f"{name}={number(value)}" for name, value in values.items())


def duration(seconds: float | None) -> str:
    """Format seconds: `0.4s`, `12s`, `1m 23s`, `2h 05m`, `3d 4h`."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{max(seconds, 0):.1f}s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60:02}m"
    return f"{whole // 86400}d {whole % 86400 // 3600}h"


def size(count: int | None) -> str:
    """Format bytes: `123 B`, `4.5 MiB`."""
    if count is None:
        return "-"
    value, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{count} B" if units[0] == "B" else f"{value:.{0 if value >= 100 else 1}f} {units[0]}"


def moment(text: str | None) -> float | None:
    """Convert a time of the server to seconds since the epoch; None stays None."""
    if not text:
        return None
    return datetime.fromisoformat(text).timestamp()


def between(start: str | None, end: str | None = None) -> float | None:
    """Return the seconds from `start` to `end`, or until now; both are times of the server."""
    started, ended = moment(start), moment(end)
    if started is None:
        return None
    return max(0.0, (clock.now() if ended is None else ended) - started)


def elapsed(status: documents.Status) -> float:
    """Return the seconds from the start of an experiment, or its creation, to its end or now.

    The seconds for which it was finished before it was extended or resumed do not count.
    """
    seconds = between(status["started_at"] or status["created_at"], status["finished_at"]) or 0.0
    return max(0.0, seconds - status.get("idle_seconds", 0.0))


def width(text: str) -> int:
    """Return the number of terminal columns of `text`; colours take none."""
    plain = _ESCAPE.sub("", text)
    if plain.isascii():
        return len(plain)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in plain)


def cut(text: str, columns: int, paint: Paint) -> str:
    """Truncate `text` to `columns`, with an ellipsis and its colours reset."""
    if width(text) <= columns:
        return text
    ellipsis = paint.sign("…")
    remaining, result, coloured = max(columns - len(ellipsis), 0), "", False
    position = 0
    while position < len(text):
        escape = _ESCAPE.match(text, position)
        if escape:
            result, position, coloured = result + escape[0], escape.end(), escape[0] != "\x1b[0m"
            continue
        wide = width(text[position])
        if wide > remaining:
            break
        result, remaining, position = result + text[position], remaining - wide, position + 1
    return result + ellipsis[:columns] + ("\x1b[0m" if coloured else "")


def one_line(text: str) -> str:
    """Replace characters that are not printable; for strings from a user's program or file."""
    return "".join(c if c.isprintable() else " " for c in text)


def _in_colours(text: str) -> str:
    """Like `one_line`, but keep colours."""
    parts = re.split(f"({_ESCAPE.pattern})", text) if "\x1b" in text else [text]
    return "".join(part if index % 2 else one_line(part) for index, part in enumerate(parts))


def first_and_last_line(text: str) -> str:
    """Reduce three lines or more to the first and the last one, which usually says most, in one line."""
    lines = text.splitlines()
    return one_line(f"{lines[0]} … {lines[-1]}" if len(lines) > 2 else text)


def sanitized(text: str) -> str:
    """Remove all terminal control sequences except colours from a user program's output."""
    clean = _CONTROL.sub(lambda match: match[1] or "", text)
    return f"{clean}\x1b[0m" if "\x1b" in clean and not clean.endswith("\x1b[0m") else clean


def sanitized_lines(text: str) -> str:
    """Like `sanitized` for streamed output: keeps line ends and carriage returns, which progress bars use."""
    return "".join(part if part in ("\n", "\r") else sanitized(part) for part in re.split(r"([\n\r])", text))


def displayed(line: str) -> str:
    """Remove control sequences other than colours, and reset colours at the end of each line.

    Names of metrics, parameters and nodes come from workers and other users. They could set the clipboard (OSC 52) or
    clear the screen of the user who looks at them.
    """
    return line if line.isprintable() else "\n".join(map(sanitized, line.split("\n")))


def last_lines(text: str, count: int) -> list[str]:
    """Return the last lines of an output; of an overwritten line (progress bar) the last version."""
    lines = text.rstrip("\n").split("\n")[-count:] if text else []
    return [one_line(line.rstrip("\r").rpartition("\r")[2]) for line in lines]


_ERROR = re.compile(
    r"[\w.]*(?:Error|Exception)\b(?!\s*[:=]\s*[-+.\d])|Exception in thread |panic: |fatal error: |thread '.*' panicked"
)
"""start of a line with an error message in Node.js, Java, Go, Rust or Python; not a metric of that name"""


def failure_tail(text: str, count: int) -> list[str]:
    """Return the last lines of a failed program's output, preceded by the error message if a stack trace hides it."""
    lines = last_lines(text, len(text))
    tail = lines[-count:]
    error_lines = [index for index, line in enumerate(lines[:-count]) if _ERROR.match(line)]
    if not error_lines or any(map(_ERROR.match, tail)):
        return tail
    return [*lines[error_lines[-1] :][:2], "…", *lines[3 - count :]]


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    paint: Paint,
    *,
    right: Iterable[int] = (),
    columns: int | None = None,
) -> list[str]:
    """Align rows in columns. `right`: indices of right-aligned columns; lines are cut to `columns` if set."""
    header = list(map(one_line, header))
    body = [[_in_colours(cell) for cell in row] for row in rows]
    widths = [max(width(cell) for cell in column) for column in zip(header, *body, strict=True)]
    aligned = frozenset(right)
    lines = []
    for row, dim in [(header, True), *((row, False) for row in body)]:
        cells = [
            " " * (w - width(cell)) + cell if i in aligned else cell + " " * (w - width(cell))
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        line = "  ".join(cells).rstrip()
        line = cut(line, columns, paint) if columns else line
        lines.append(paint.dim(line) if dim else line)
    return lines


def bar(done: float, total: float, columns: int, paint: Paint) -> str:
    """Return a progress bar of `columns` columns."""
    filled = min(columns, int(columns * done / total)) if total > 0 else columns
    return paint("32", paint.sign("━") * filled) + paint.dim(paint.sign("─") * (columns - filled))
