"""Parsers of metric files. Each takes a file's bytes in order, in pieces, and returns the reported values."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator
from typing import Any

from orchestune.worker.metrics import tensorboard
from orchestune.worker.metrics.scanner import Reported, Scanner, step_of

MAX_ROW_CHARACTERS = 64 * 1024
"""characters of a table's row; a quote that is still open after that many is treated as never closed"""
_OPEN_CELL = re.compile(r'(?:^|[,;\t\n])"(?:[^"]|"")*\Z')
"""a quoted cell without its closing quote"""
MAX_LINE_BYTES = 16 * 1024 * 1024
"""bytes of a line or of a JSON object; longer ones are ignored"""


class JsonLinesParser:
    """Parser of a file of lines; here JSON lines, as in `$ORCHESTUNE_METRICS`.

    Declared metrics inside nested objects are matched by path: `eval.loss` or `eval/loss`.
    """

    def __init__(self, scanner: Scanner, path: str) -> None:
        self.scanner, self.path = scanner, path
        self._incomplete = b""

    def feed(self, data: bytes) -> list[Reported]:
        """Return the values of lines that `data` completes."""
        lines = (self._incomplete + data).split(b"\n")
        self._incomplete = lines.pop()[:MAX_LINE_BYTES]
        return [reported for line in lines for reported in self.line(line)]

    def end(self) -> list[Reported]:
        """Return the values of a last line without a newline."""
        rest, self._incomplete = self._incomplete, b""
        return self.line(rest) if rest.strip() else []

    def reset(self) -> None:
        """Reset the parser, because the file was rewritten."""
        self._incomplete = b""

    def line(self, line: bytes) -> list[Reported]:
        """Return the values of one line."""
        return self.scanner.document(line) + (self._inner(line) if line.count(b"{") > 1 else [])

    def _inner(self, line: bytes) -> list[Reported]:
        try:
            document = json.loads(line.decode("utf-8"))
            entries = list(_nested_entries(document if isinstance(document, dict) else {}, ()))
        except (ValueError, RecursionError):
            return []
        reported: list[Reported] = []
        for path, value in entries:
            names = [name for name in (".".join(path), "/".join(path)) if self.scanner.declared(name)]
            reported += self.scanner.values({names[0]: value}, self._step(document)) if names else []
        return reported

    def _step(self, document: dict[str, Any]) -> float | None:
        return step_of(document)


class JsonFileParser(JsonLinesParser):
    """Parser of a file with one JSON object, which is read once the command has exited."""

    def feed(self, data: bytes) -> list[Reported]:
        self._incomplete = (self._incomplete + data)[: MAX_LINE_BYTES + 1]
        return []

    def _step(self, document: dict[str, Any]) -> float | None:
        return None  # nested values describe the whole trial


class Table(JsonLinesParser):
    """Parser of a table with a header.

    If the file is rewritten with more columns, rows that were already read are skipped; if its first row differs, all
    rows are read again.
    """

    def __init__(self, scanner: Scanner, path: str) -> None:
        super().__init__(scanner, path)
        self._heading: list[str] = []
        self._delimiter = ","
        self._row = self._rows_read = 0
        self._first: dict[str, str] = {}
        """the non-empty cells of the first row"""
        self._open: list[str] = []
        """previous lines of a row with a cell that spans lines"""
        self._size = 0

    def reset(self) -> None:
        super().reset()
        self._heading, self._row, self._open = [], 0, []

    def line(self, line: bytes) -> list[Reported]:
        text = line.decode("utf-8-sig", "replace").rstrip("\r")
        if self._is_continued(text):
            return []
        text, self._open = "\n".join([*self._open, text]), []
        if not self._heading:
            self._delimiter = max(",\t;", key=text.count)
            self._heading = [name.strip() for name in self._cells(text)]
            return []
        self._row += 1
        row = {name: cell for name, cell in zip(self._heading, self._cells(text)) if cell.strip()}
        if self._row == 1:
            if any(row.get(name) != cell for name, cell in self._first.items()):
                self._rows_read = 0
            self._first = row
        if self._row <= self._rows_read:
            return []
        self._rows_read = self._row
        return self.scanner.texts({name: cell.encode("utf-8") for name, cell in row.items()})

    def _is_continued(self, text: str) -> bool:
        """Return True if a quoted cell continues on the next line."""
        self._size = (self._size if self._open else 0) + len(text) + 1
        if self._size > MAX_ROW_CHARACTERS or not (self._open or '"' in text):
            return False
        if '"' in text:
            whole = "\n".join([*self._open, text])
            if whole.count('"') % 2 == 0 or not _OPEN_CELL.search(whole):
                return False
        self._open.append(text)
        return True

    def _cells(self, text: str) -> list[str]:
        try:
            return next(csv.reader([text], delimiter=self._delimiter), [])
        except csv.Error:  # a newline in the row, or a cell of more than 128 KiB
            return []


class Events:
    """Parser of TensorBoard's event files.

    A tag that several runs use gets its run as a prefix: `validation/epoch_loss`.
    """

    def __init__(self, scanner: Scanner, path: str, tags: dict[str, str]) -> None:
        """`tags` maps a tag to the run that uses it without a prefix; all files of one folder share it."""
        self._scanner, self._run, self._tags = scanner, os.path.dirname(path), tags
        self._incomplete = b""

    def feed(self, data: bytes) -> list[Reported]:
        """Return the scalars of complete records; nothing from a file that turned out not to be an event file."""
        if self._incomplete is _NOT_AN_EVENT_FILE:
            return []
        self._incomplete += data
        try:
            records, length = tensorboard.records(self._incomplete)
            scalars = [scalar for record in records for scalar in tensorboard.scalars(record)]
        except tensorboard.Malformed:
            self._incomplete = _NOT_AN_EVENT_FILE
            return []
        self._incomplete = self._incomplete[length:]
        return [reported for scalar in scalars for reported in self._named(scalar)]

    def end(self) -> list[Reported]:
        """Return nothing: a truncated record is ignored."""
        return []

    def reset(self) -> None:
        """Reset the parser, because the file was rewritten."""
        self._incomplete = b""

    def _named(self, scalar: tensorboard.TaggedScalar) -> list[Reported]:
        long = f"{self._run}/{scalar.tag}" if self._run else scalar.tag
        is_unprefixed = self._tags.setdefault(scalar.tag, self._run) == self._run
        name = scalar.tag if is_unprefixed and not self._scanner.declared(long) else long
        return self._scanner.values({name: scalar.value}, float(scalar.step))


_NOT_AN_EVENT_FILE = b"no events"


class MlflowFileParser(JsonLinesParser):
    """Parser of a metric in MLflow's file store: lines of time, value and step in a file named after the metric."""

    def __init__(self, scanner: Scanner, path: str) -> None:
        super().__init__(scanner, path)
        self.name = f"/{path}".partition("/metrics/")[2]

    def line(self, line: bytes) -> list[Reported]:
        words = line.split()
        if len(words) < 2:
            return []
        value, step = _number(words[1].decode("ascii", "replace")), _number(words[-1].decode("ascii", "replace"))
        return [] if value is None else self.scanner.values({self.name: value}, step if len(words) > 2 else None)


def _nested_entries(document: dict[str, Any], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield path and value of all entries of nested objects."""
    for name, item in document.items():
        if above:
            yield (*above, name), item
        if isinstance(item, dict):
            yield from _nested_entries(item, (*above, name))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
