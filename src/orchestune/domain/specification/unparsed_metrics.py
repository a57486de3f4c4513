"""Hints for printed metrics that are not parsed: a unit, separators, no `=` or `:`, or a JSON value not a number."""

from __future__ import annotations

import json
import re

from orchestune.domain.words import most_similar

# Workers choose the output and its length, so the patterns must not backtrack into a number: 10,000 digits took 7 s.
_NUMBER = r"[-+]?(?>\d[\d,]*(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_UNIT = r"[A-Za-z\u00b0\u00b5\u03bc][\w/]*"
_SEPARATED = "[-+]?\\d[\\d.]*[,'\u2019\u00a0\u2009\u202f]\\d[\\d.,'\u2019\u00a0\u2009\u202f]*"
_LONGEST = 60
_TAIL = 4096  # characters at the end of the output that are searched, which is as much as a worker sends
APART = "name what is read in `collect: {regex: …}`"
PLAIN = "print a point before the fraction, and nothing between thousands"


def with_unit(name: str, printed: str) -> str:
    """Return the last `name: 12.5ms` of the output; empty if absent.

    It is not parsed as 12.5, since another trial may print `1.2s`.
    """
    found = _matches(rf"(?i)(?<![\w./-])({_spelled(name)}[\"']?\s*[=:]\s*{_NUMBER}{_UNIT})(?![\w%])", printed)
    return str(found[-1]) if found and len(found[-1]) <= _LONGEST else ""


def separated(name: str, printed: str) -> str:
    """Return the last `name: 0,5` or `name: 1'234` of the output; empty if absent."""
    found = _matches(rf"(?i)(?<![\w./-])({_spelled(name)}[\"']?\s*[=:]\s*{_SEPARATED})(?![\w%]|[.,]\d)", printed)
    return str(found[-1]) if found and len(found[-1]) <= _LONGEST else ""


def without_sign(name: str, printed: str) -> str:
    """Return the last `name 0.5` or `name -> 0.5` of the output; empty if absent.

    It is not parsed, since numbers printed like this often mean something else (`loss 3 times`).
    """
    number = r"(?>[-+]?\.?\d[\d.,/eE+-]*)(?!\s*[\w%])"
    found = _matches(rf"(?i)(?<![\w./-])({_spelled(name)}[\"']?[^\w\n=:./-][^\w\n=:]{{0,4}}{number})", printed)
    return str(found[-1]).rstrip(".,") if found and len(found[-1]) <= _LONGEST else ""


def unread(name: str, printed: str) -> str:
    """Return a hint from the output why a metric was not parsed, and how to print it; empty if there is none."""
    if found := with_unit(name, printed):
        return f"`{found}` has a unit; print the number alone, or {APART}"
    if found := separated(name, printed):
        return f"`{found}` is not read as a number; {PLAIN}"
    if told := no_number(name, printed):
        return told
    found = without_sign(name, printed)
    return f"`{found}` is not read as a value; print `{name}=0.5`, or {APART}" if found else ""


def unsure(name: str, printed: str) -> str:
    """Return a hint from the worker's note in the log tail that a number is ambiguous; empty without such a note."""
    found = _matches(rf"(?m)^orchestune: {re.escape(name)} came as (.+, which may be .+)$", printed)
    return f"it came as {found[-1]}; {PLAIN}" if found else ""


def spelled_otherwise(name: str, printed: str) -> str:
    """Return the most similar name that is printed with a colon before a number (`val_loss: 0.5`); empty if none is.

    The worker parses this form for declared metrics only.
    """
    found = _matches(rf"(?<![\w./-])([A-Za-z_][\w./-]*)[\"']?:\s+{_NUMBER}(?![\w.%])", printed)
    return most_similar(name, dict.fromkeys(found), 0.5)


def no_number(name: str, printed: str) -> str:
    """Return a hint from the worker's note in the log tail that the metric's JSON value is not a number.

    Empty without such a note.
    """
    found = _matches(rf"(?m)^orchestune: {re.escape(name)} came as (.+), which is no number$", printed)
    return f"it came as {found[-1]}, which is no number; write {json.dumps({name: 0.5})}" if found else ""


def _matches(pattern: str, printed: str) -> list[str]:
    """Return the matches of the pattern's one group in the last `_TAIL` characters."""
    return re.compile(pattern).findall(printed, max(0, len(printed) - _TAIL))


def _spelled(name: str) -> str:
    """Return a pattern for a name in which spaces may replace the underscores."""
    return re.sub(r"(?<=[^_])_(?=[^_])", "[_ ]", re.escape(name))
