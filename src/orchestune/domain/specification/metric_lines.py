"""Build a regular expression for `collect` from a printed line with a metric that workers do not parse.

The line is one that a person wrote for people: `acc 93.1%`, `best accuracy of all epochs was 0.97`, a row of a table.
Whether the number in it is the metric is a guess, so it is only proposed: the user adds the expression or not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_MAX_LINE_CHARS = 300  # bounds the time and keeps the expression readable
_MAX_EXPRESSION_CHARS = 400
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_TOKEN = re.compile(r"[A-Za-z][\w./-]*")
_NUMBER = re.compile(r"(?<![\w.,'/:-])[-+]?(?>\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?(?![\d.]*[,:'/]\d|-\d)")
_UNIT = re.compile(r" ?%|[A-Za-z\u00b0\u00b5\u03bc][\w/]*")
_STEP = re.compile(r"\b(?:global_step|step|epoch|iteration|iter)\b[\s=:\[#]{1,3}(\d+)(?![.,]\d)", re.IGNORECASE)
_BEFORE_STEP = re.compile(r"\b(?:global_step|step|epoch|iteration|iter)\b[\s=:\[#]{1,3}\Z", re.IGNORECASE)
_STEP_HEADINGS = frozenset(("global_step", "step", "epoch", "iteration", "iter"))
_SEPARATOR = re.compile(r"[,;|\u2502\u2503]\s|\s[-\u2013]\s|\d\.\d+\s")
"""what ends the part of a line that another value belongs to"""
_TRAINING = frozenset(("train", "training"))
_VALUE = r"[-+.\w]*\w"  # also matches nan and inf, and no full stop after the number
_RULES = "|\u2502\u2503"  # vertical lines between the columns of a table
_FULL_WORDS = {
    "acc": "accuracy", "err": "error", "eval": "evaluation", "prec": "precision", "rec": "recall", "testing": "test",
    "val": "validation", "valid": "validation",
}  # fmt: skip


class MetricLine(NamedTuple):
    """A printed line with a metric's value, and an expression for `collect` that matches it and its likes."""

    text: str
    expression: str

    @property
    def collect(self) -> str:
        """The key of the experiment file."""
        quoted = self.expression.replace("'", "''")
        return f"collect: {{regex: '{quoted}'}}"


def metric_line(name: str, printed: str) -> MetricLine | None:
    """Return the last line of the output that has a number for the metric `name`; None if absent.

    Lines with a number directly after `=` or `:` are left out: workers parse them, under the name that they have.
    """
    lines = [line for line in map(_plain, printed.splitlines()) if len(line) <= _MAX_LINE_CHARS]
    lines = [line for line in lines if not line.startswith("orchestune: ")]
    if not _group(name).isidentifier():
        return None
    for line in reversed(lines):
        expression = _of_sentence(name, line, lines)
        if expression and len(expression) <= _MAX_EXPRESSION_CHARS:
            return MetricLine(line.strip(), expression)
    return _of_table(name, lines)


def words_of(text: str) -> list[str]:
    """Return the lower-case words of a name or token: `val`, `loss` for `Val_Loss`."""
    return [word for word in re.split(r"[\W_]+", text.lower()) if word]


def _plain(line: str) -> str:
    return _COLOUR.sub("", line.rpartition("\r")[2]).rstrip()


def _is_same(word: str, other: str) -> bool:
    """Return True for equal words, and for a word and its abbreviation: `acc` and `accuracy`."""
    return _FULL_WORDS.get(word, word) == _FULL_WORDS.get(other, other)


def _named(name: str, line: str) -> tuple[int, int] | None:
    """Return start and end of the part of the line that names the metric; None if the line does not name it.

    A token with other words is another metric: `val_loss` does not name `loss`. No number is between the words of a
    name: in `train loss 0.72 - val loss 0.71` the first `loss` is no part of `val_loss`.
    """
    needed, start, end = words_of(name), -1, -1
    missing = set(needed)
    for token in _TOKEN.finditer(line):
        words = words_of(token[0])
        if words and all(any(_is_same(word, other) for other in needed) for word in words):
            if start >= 0 and missing and _NUMBER.search(line, end, token.start()):
                missing, start = set(needed), -1
            covered = {other for other in missing if any(_is_same(word, other) for word in words)}
            if covered:
                missing -= covered
                start, end = (token.start() if start < 0 else start), token.start() + len(token[0].rstrip("./-"))
        elif not missing:
            break
    return None if missing or start < 0 else (start, end)


def _of_sentence(name: str, line: str, lines: Sequence[str]) -> str:
    """Return the expression for a line with the metric's name and its value; empty if it has none."""
    named = _named(name, line)
    if named is None:
        return ""
    words = words_of(_SEPARATOR.split(line[: named[0]])[-1] + line[named[0] :])
    if _TRAINING & {*words} and not _TRAINING & {*words_of(name)}:
        return ""
    value = _value(line, named[1])
    if value is None:
        return ""
    start, unit = value
    if not unit and re.fullmatch(r"[\"']?\s*[=:]\s*", line[named[1] : start]):
        return ""
    group = f"(?P<{_group(name)}>{_VALUE}){_unit_expression(unit)}"
    step = next((match for match in _STEP.finditer(line, 0, named[0])), None)
    if step is not None:
        before = f"{_general(line[step.start() : step.start(1)])}(?P<step>\\d+){_general(line[step.end(1) : start])}"
        return before + group
    short = rf"\b{_general(line[named[0] : start])}{group}"
    before = _general(line[: named[0]])
    others = [other for other in lines if re.search(short, other) and _general(_start(other, short)) != before]
    return f"^{_general(line[:start])}{group}" if others else short


def _unit_expression(unit: str) -> str:
    return r"\s*%" if unit == "%" else rf"{re.escape(unit)}\b" if unit else ""


def _start(line: str, expression: str) -> str:
    match = re.search(expression, line)
    return line[: match.start()] if match else ""


def _value(line: str, after: int) -> tuple[int, str] | None:
    """Return start and unit of the likeliest value after this position.

    It is the first number with a decimal point or a unit, else an integer that ends the line.
    """
    last = None
    for match in _NUMBER.finditer(line, after):
        if _BEFORE_STEP.search(line[: match.start()]):
            continue
        unit = _UNIT.match(line, match.end())
        value = match.start(), unit[0].replace(" ", "") if unit else ""
        if "." in match[0] or "e" in match[0].lower() or value[1] == "%":
            return value
        if not line[match.end() + len(unit[0] if unit else "") :].strip(" .!)]" + _RULES):
            last = value
    return last


def _of_table(name: str, lines: Sequence[str]) -> MetricLine | None:
    """Return the last row of a table whose heading has the metric's name; None if there is no such table."""
    for index in range(len(lines) - 1, -1, -1):
        separator, heading = _cells(lines[index])
        places = [place for place, cell in enumerate(heading) if words_of(cell) and _is_heading(name, cell)]
        if len(heading) < 2 or not places:
            continue
        place = places[0]
        for row in reversed(lines[index + 1 :]):
            other, cells = _cells(row)
            if (other, len(cells)) == (separator, len(heading)) and _NUMBER.fullmatch(cells[place]):
                return MetricLine(row.strip(), _row_expression(name, row, separator, heading, place))
    return None


def _is_heading(name: str, cell: str) -> bool:
    named = _named(name, cell)
    return named is not None and named[0] == 0 and not set(cell[named[1] :]) & set("0123456789=:")


def _cells(line: str) -> tuple[str, list[str]]:
    """Return the expression for what is between the columns of a line, and its cells."""
    if any(rule in line for rule in _RULES):
        rule = next(rule for rule in _RULES if rule in line)
        return rf"\s*{re.escape(rule)}\s*", [cell.strip() for cell in line.strip().strip(rule).split(rule)]
    if "," in line:
        return r"\s*,\s*", [cell.strip() for cell in line.split(",")]
    return r"\s+", line.split()


def _row_expression(name: str, row: str, separator: str, heading: Sequence[str], place: int) -> str:
    cells = []
    for index, cell in enumerate(heading):
        is_step = index < place and "_".join(words_of(cell)) in _STEP_HEADINGS
        any_cell = r"[^,]+" if "," in separator else rf"[^{_RULES}]+" if separator != r"\s+" else r"\S+"
        cells.append(f"(?P<{_group(name)}>{_VALUE})" if index == place else r"(?P<step>\d+)" if is_step else any_cell)
    edge = rf"\s*[{_RULES}]?\s*" if separator not in (r"\s+", r"\s*,\s*") else r"\s*"
    return f"^{edge}{separator.join(cells)}{edge}$"


def _group(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _general(text: str) -> str:
    """Return an expression for a text with any numbers and any white space instead of those that it has."""
    return "".join(_pieces(text))


def _pieces(text: str) -> Iterator[str]:
    for piece in re.findall(r"\s+|\d[\d.,:]*|[^\s\d]+", text):
        yield r"\s+" if piece.isspace() else r"[\d.,:]+" if piece[0].isdigit() else re.escape(piece)
