"""Kinds of single values: how each is read, what a JSON Schema says of it, what messages and docs call it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from orchestune.config.document.nodes import ScalarNode
from orchestune.config.document.report import Field
from orchestune.domain.resources.resources import parse_bytes, parse_seconds
from orchestune.domain.specification.experiment import MOST_GRACE
from orchestune.domain.words import did_you_mean

MOST_TRIALS = 10**9
MOST_AT_ONCE = 100_000  # trials
MOST_FOLDS = 1000  # of a trial: all of them are queued in one transaction
MOST_TRY_FIRST = 10_000  # configurations
MOST_ENTRIES = 1000  # of another mapping or list in an experiment file
PRIORITIES = (-1000, 1000)
LARGEST_WHOLE = 2**53  # beyond it a float cannot hold every whole number
LARGEST = 1e100  # so that no difference or ratio of two numbers overflows


T = TypeVar("T")
R = TypeVar("R", covariant=True)


@dataclass(frozen=True)
class ValueKind(Generic[R]):
    """A kind of value. `read` notes what is wrong in the field's report and then returns None."""

    words: str
    """what is allowed, to follow `expected`"""
    schema: Mapping[str, Any]
    reader: Callable[[Field], R | None]
    keys: tuple[Key, ...] = ()
    """of a mapping: what it may hold"""

    def read(self, found: Field) -> R | None:
        """The value; None where it is missing or wrong, which the report then says."""
        if found.empty:
            found.expected(self.words)
            return None
        return self.reader(found)

    def read_by(self, reader: Callable[[Field], T | None]) -> ValueKind[T]:
        """The same spelling, of which something else is made or more is required."""
        return ValueKind(self.words, self.schema, reader, self.keys)


@dataclass(frozen=True)
class Key:
    """One key of a mapping: a line of the reference, a property of the schema, a branch of the parser."""

    name: str
    kind: ValueKind[Any]
    about: str
    default: str = ""
    required: bool = False


def whole(least: int, most: int = LARGEST_WHOLE) -> ValueKind[int]:
    """A whole number in a range; `1e3` is one."""
    words = (
        f"a whole number of at least {least}" if most >= MOST_TRIALS else f"a whole number from {least:,} to {most:,}"
    )

    def read(found: Field) -> int | None:
        value = found.node.value if isinstance(found.node, ScalarNode) else None
        number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
        if least <= number <= most and number == int(number):
            return int(number)
        found.expected(f"a whole number from {least:,} to {most:,}" if number > most else words)
        return None

    return ValueKind(words, {"type": "integer", "minimum": least, "maximum": most}, read)


def _read_number(found: Field) -> float | None:
    value = found.node.value if isinstance(found.node, ScalarNode) else None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= LARGEST:
        return value
    huge = isinstance(value, (int, float)) and LARGEST < abs(value) < math.inf
    found.expected(f"a number from -{LARGEST:g} to {LARGEST:g}" if huge else "a finite number")
    return None


NUMBER = ValueKind[float](
    f"a number from -{LARGEST:g} to {LARGEST:g}",
    {"type": "number", "minimum": -LARGEST, "maximum": LARGEST},
    _read_number,
)


def _read_truth(found: Field) -> bool | None:
    if isinstance(found.node, ScalarNode) and isinstance(found.node.value, bool):
        return found.node.value
    found.expected("true or false")
    return None


TRUTH = ValueKind[bool]("true or false", {"type": "boolean"}, _read_truth)


def text(words: str, pattern: str = "", *, most: int = 10_000, loose: bool = False) -> ValueKind[str]:
    """Text that matches all of `pattern`, not empty; if `loose` also numbers and truth values, as they were written."""
    types = ["string", "number", "boolean"] if loose else ["string"]
    schema: dict[str, Any] = {"type": types, "pattern": f"^(?:{pattern})$" if pattern else r"\S", "maxLength": most}

    def read(found: Field) -> str | None:
        node = found.node
        if not isinstance(node, ScalarNode) or not (loose or isinstance(node.value, str)) or not node.text.strip():
            found.expected(words)
            return None
        if len(node.text) > most:
            found.wrong(f"is longer than {most} characters")
            return None
        if pattern and not re.fullmatch(pattern, node.text):
            found.expected(words)
            return None
        return node.text

    return ValueKind(words, schema, read)


def one_of(options: Sequence[str], also: Mapping[str, str] | None = None) -> ValueKind[str]:
    """One of a few words; `also` maps what people write instead to what they mean."""
    words = f"{', '.join(options[:-1])} or {options[-1]}"

    def read(found: Field) -> str | None:
        if isinstance(found.node, ScalarNode) and found.node.text in options:
            return found.node.text
        hint = did_you_mean(found.node.text, options, also) if isinstance(found.node, ScalarNode) else ""
        found.expected(words, hint)
        return None

    return ValueKind(words, {"enum": list(options)}, read)


def amount(
    words: str, pattern: str, parse: Callable[[str | int | float], T], check: Callable[[T], str] | None = None
) -> ValueKind[T]:
    """A number with a unit, which `parse` reads (ValueError where it cannot); `check` may still object."""

    def read(found: Field) -> T | None:
        node = found.node
        if not isinstance(node, ScalarNode) or isinstance(node.value, bool) or len(node.text) > 40:
            found.expected(words)
            return None
        try:
            value = parse(node.text if node.value is None else node.value)
        except (ValueError, OverflowError):
            found.expected(words)
            return None
        objection = check(value) if check else ""
        if objection:
            found.wrong(objection)
            return None
        return value

    schema = {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "pattern": f"^(?:{pattern})$"}]}
    return ValueKind(words, schema, read)


def _seconds(found: str | int | float) -> float:
    seconds = parse_seconds(found)
    if seconds > 10 * 366 * 86400:
        raise ValueError("longer than anybody waits")
    return seconds


TIME = amount(
    "a length of time such as 30s, 5m, 1h30m or 2d",
    r"(?:[0-9]+(?:\.[0-9]+)?[dhms])+|[0-9]+(?:\.[0-9]+)?",
    _seconds,
)
GRACE = amount(
    "a length of time of at most an hour, such as 30s or 5m",
    r"(?:[0-9]+(?:\.[0-9]+)?[dhms])+|[0-9]+(?:\.[0-9]+)?",
    _seconds,
    lambda seconds: "" if seconds <= MOST_GRACE else f"must be at most {MOST_GRACE:g} seconds, found {seconds:g}",
)
SIZE_PATTERN = r"[0-9]+(?:\.[0-9]+)?\s*(?:[kKMGTP]i?)?[bB]?"
SIZE = amount(
    "a size such as 500k, 200Mi or 1G",
    SIZE_PATTERN,
    parse_bytes,
    lambda size: "" if 0 < size < 2**63 else "the size must be more than nothing, and less than any disk holds",
)
