"""Hints for printed metrics that are not parsed: a unit, separators, no `=` or `:`, or a JSON value not a number."""

from __future__ import annotations

import json
import re

from orchestune.domain.specification.metric_lines import MetricLine, metric_line
from orchestune.domain.words import most_similar

# Workers choose the output and its length, so the patterns must not backtrack into a number: 10,000 digits took 7 s.
_NUMBER = r"[-+]?(?>\d[\d,]*(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_UNIT = r"[A-Za-z\u00b0\u00b5\u03bc][\w/]*"
_SEPARATED = "[-+]?\\d[\\d.]*[,'\u2019\u00a0\u2009\u202f]\\d[\\d.,'\u2019\u00a0\u2009\u202f]*"
_MAX_EXCERPT_CHARS = 60
_TAIL = 4096  # characters at the end of the output that are searched, which is as much as a worker sends
_TAIL_LINES = 40  # lines of these; a worker sends 20, and each may be compared with each
_MAX_NAME_CHARS = 100  # of a metric that is looked for in sentences: its words are compared with each word
APART = "set a pattern in `collect: {regex: …}`"
PLAIN = "print a decimal point, and no thousands separators"


def with_unit(name: str, printed: str) -> str:
    """Return the last `name: 12.5ms` of the output; empty if absent.

    It is not parsed as 12.5, since another trial may print `1.2s`.
    """
    matches = _matches(rf"(?i)(?<![\w./-])({_spelled(name)}[\"']?\s*[=:]\s*{_NUMBER}{_UNIT})(?![\w%])", printed)
    return str(matches[-1]) if matches and len(matches[-1]) <= _MAX_EXCERPT_CHARS else ""


def separated(name: str, printed: str) -> str:
    """Return the last `name: 0,5` or `name: 1'234` of the output; empty if absent."""
    matches = _matches(rf"(?i)(?<![\w./-])({_spelled(name)}[\"']?\s*[=:]\s*{_SEPARATED})(?![\w%]|[.,]\d)", printed)
    return str(matches[-1]) if matches and len(matches[-1]) <= _MAX_EXCERPT_CHARS else ""


def unparsed_hint(name: str, printed: str) -> str:
    """Return a hint from the output why a metric was not parsed, and how to print it; empty if there is none."""
    line = metric_line(name, _last_lines(printed)) if len(name) <= _MAX_NAME_CHARS else None
    if excerpt := with_unit(name, printed):
        return f"`{excerpt}` has a unit; print the number alone, or {_pattern(line)}"
    if excerpt := separated(name, printed):
        return f"`{excerpt}` is not parsed as a number; {PLAIN}"
    if explanation := not_a_number_hint(name, printed):
        return explanation
    if line is None:
        return ""
    excerpt = line.text if len(line.text) <= _MAX_EXCERPT_CHARS else f"{line.text[:_MAX_EXCERPT_CHARS]}…"
    return f"`{excerpt}` is not parsed as a value; {_pattern(line)}, or print `{name}=0.5`"


def _pattern(line: MetricLine | None) -> str:
    return APART if line is None else f"add `{line.collect}` to the experiment file"


def _last_lines(printed: str) -> str:
    """Return the last `_TAIL_LINES` complete lines in the last `_TAIL` characters."""
    start = max(0, len(printed) - _TAIL)
    complete = printed[start:].partition("\n")[2] if start else printed
    return "\n".join(complete.splitlines()[-_TAIL_LINES:])


def ambiguity_hint(name: str, printed: str) -> str:
    """Return a hint from the worker's note in the log tail that a number is ambiguous; empty without such a note."""
    notes = _matches(rf"(?m)^orchestune: {re.escape(name)} came as (.+, which may be .+)$", printed)
    return f"it was reported as {notes[-1]}; {PLAIN}" if notes else ""


def similar_name(name: str, printed: str) -> str:
    """Return the most similar name that is printed with a colon before a number (`val_loss: 0.5`); empty if none is.

    The worker parses this form for declared metrics only.
    """
    names = _matches(rf"(?<![\w./-])([A-Za-z_][\w./-]*)[\"']?:\s+{_NUMBER}(?![\w.%])", printed)
    return most_similar(name, dict.fromkeys(names), 0.5)


def not_a_number_hint(name: str, printed: str) -> str:
    """Return a hint from the worker's note in the log tail that the metric's JSON value is not a number.

    Empty without such a note.
    """
    notes = _matches(rf"(?m)^orchestune: {re.escape(name)} came as (.+), which is not a number$", printed)
    return f"it was reported as {notes[-1]}, which is not a number; write {json.dumps({name: 0.5})}" if notes else ""


def _matches(pattern: str, printed: str) -> list[str]:
    """Return the matches of the pattern's one group in the last `_TAIL` characters."""
    return re.compile(pattern).findall(printed, max(0, len(printed) - _TAIL))


def _spelled(name: str) -> str:
    """Return a pattern for a name in which spaces may replace the underscores."""
    return re.sub(r"(?<=[^_])_(?=[^_])", "[_ ]", re.escape(name))
