"""What came of a metric that is no value of it: with a unit, with commas, without a sign, or no number in JSON."""

from __future__ import annotations

import json
import re
from difflib import get_close_matches

_NUMBER = r"[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_UNIT = r"[A-Za-z\u00b0\u00b5\u03bc][\w/]*"
_SEPARATED = "[-+]?\\d[\\d.]*[,'\u2019\u00a0\u2009\u202f]\\d[\\d.,'\u2019\u00a0\u2009\u202f]*"
_LONGEST = 60
APART = "name what is read in `collect: {regex: …}`"
PLAIN = "print a point before the fraction, and nothing between thousands"


def with_unit(name: str, printed: str) -> str:
    """The last `name: 12.5ms` of the output; nothing where there is none.

    It is not read as 12.5, since another trial may print `1.2s`.
    """
    found = re.findall(rf"(?i)(?<![\w./-])({_spelled(name)}[\"']?\s*[=:]\s*{_NUMBER}{_UNIT})(?![\w%])", printed)
    return str(found[-1]) if found and len(found[-1]) <= _LONGEST else ""


def separated(name: str, printed: str) -> str:
    """The last `name: 0,5` or `name: 1'234` of the output; nothing where there is none."""
    found = re.findall(rf"(?i)(?<![\w./-])({_spelled(name)}[\"']?\s*[=:]\s*{_SEPARATED})(?![\w%]|[.,]\d)", printed)
    return str(found[-1]) if found and len(found[-1]) <= _LONGEST else ""


def without_sign(name: str, printed: str) -> str:
    """The last `name 0.5` or `name -> 0.5` of the output; nothing where there is none.

    It is not read, since of much that is printed so the number belongs to something else (`loss 3 times`).
    """
    number = r"(?>[-+]?\.?\d[\d.,/eE+-]*)(?!\s*[\w%])"
    found = re.findall(rf"(?i)(?<![\w./-])({_spelled(name)}[\"']?[^\w\n=:./-][^\w\n=:]{{0,4}}{number})", printed)
    return str(found[-1]).rstrip(".,") if found and len(found[-1]) <= _LONGEST else ""


def unread(name: str, printed: str) -> str:
    """How a metric that was not reported was printed, and how it would be read; nothing where nothing tells that."""
    if found := with_unit(name, printed):
        return f"`{found}` has a unit; print the number alone, or {APART}"
    if found := separated(name, printed):
        return f"`{found}` is not read as a number; {PLAIN}"
    if told := no_number(name, printed):
        return told
    found = without_sign(name, printed)
    return f"`{found}` is not read as a value; print `{name}=0.5`, or {APART}" if found else ""


def unsure(name: str, printed: str) -> str:
    """What the worker says at the end of the output of a number that may mean two; nothing where it does not."""
    found = re.findall(rf"(?m)^orchestune: {re.escape(name)} came as (.+, which may be .+)$", printed)
    return f"it came as {found[-1]}; {PLAIN}" if found else ""


def spelled_otherwise(name: str, printed: str) -> str:
    """The name that is most like it of those which stand with a colon before a number (`val_loss: 0.5`), which the
    worker reads of declared metrics alone; nothing where none is like it.
    """
    found = re.findall(rf"(?<![\w./-])([A-Za-z_][\w./-]*)[\"']?:\s+{_NUMBER}(?![\w.%])", printed)
    return next(iter(get_close_matches(name, dict.fromkeys(found), n=1, cutoff=0.5)), "")


def no_number(name: str, printed: str) -> str:
    """What stood in the metric's place in JSON, as the worker says it at the end of the output, with what to write;
    nothing where there was no such thing.
    """
    found = re.findall(rf"(?m)^orchestune: {re.escape(name)} came as (.+), which is no number$", printed)
    return f"it came as {found[-1]}, which is no number; write {json.dumps({name: 0.5})}" if found else ""


def _spelled(name: str) -> str:
    """An expression for a name, whose words may also stand apart."""
    return re.sub(r"(?<=[^_])_(?=[^_])", "[_ ]", re.escape(name))
