"""Kinds of single values: how each is parsed, its JSON Schema, and its name in messages and docs."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from orchestune.config.document.nodes import ScalarNode
from orchestune.config.document.report import Field
from orchestune.domain.resources.resources import parse_bytes, parse_seconds
from orchestune.domain.specification.experiment import MAX_GRACE_SECONDS
from orchestune.domain.words import did_you_mean

MAX_TRIALS = 10**9
MAX_AT_ONCE = 100_000  # trials
MAX_FOLDS = 1000  # per trial: all of them are queued in one transaction
MAX_TRY_FIRST = 10_000  # configurations
MAX_ENTRIES = 1000  # of any other mapping or list in an experiment file
PRIORITIES = (-1000, 1000)
MAX_INTEGER = 2**53  # larger integers are not exact as floats
MAX_NUMBER = 1e100  # differences and ratios of two such numbers never overflow


T = TypeVar("T")
R = TypeVar("R", covariant=True)


@dataclass(frozen=True)
class ValueKind(Generic[R]):
    """A kind of value. `read` adds problems to the field's report and then returns None."""

    words: str
    """the allowed values, as a noun phrase that follows `expected`"""
    schema: Mapping[str, Any]
    reader: Callable[[Field], R | None]
    keys: tuple[Key, ...] = ()
    """allowed keys of a mapping"""

    def read(self, field: Field) -> R | None:
        """Parse the value. Returns None if it is missing or invalid; the problem is in the field's report."""
        if field.empty:
            field.expected(self.words)
            return None
        return self.reader(field)

    def read_by(self, reader: Callable[[Field], T | None]) -> ValueKind[T]:
        """Return a kind with the same schema and another reader, for a conversion or stricter checks."""
        return ValueKind(self.words, self.schema, reader, self.keys)


@dataclass(frozen=True)
class Key:
    """One key of a mapping: a line of the reference, a property of the schema, a branch of the parser."""

    name: str
    kind: ValueKind[Any]
    about: str
    default: str = ""
    required: bool = False


def integer(least: int, most: int = MAX_INTEGER) -> ValueKind[int]:
    """Build the kind of integers in a range. `1e3` is an integer."""
    words = f"an integer of at least {least}" if most >= MAX_TRIALS else f"an integer from {least:,} to {most:,}"

    def read(field: Field) -> int | None:
        value = field.node.value if isinstance(field.node, ScalarNode) else None
        number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
        if least <= number <= most and number == int(number):
            return int(number)
        field.expected(f"an integer from {least:,} to {most:,}" if number > most else words)
        return None

    return ValueKind(words, {"type": "integer", "minimum": least, "maximum": most}, read)


def _read_number(field: Field) -> float | None:
    value = field.node.value if isinstance(field.node, ScalarNode) else None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= MAX_NUMBER:
        return value
    huge = isinstance(value, (int, float)) and MAX_NUMBER < abs(value) < math.inf
    field.expected(f"a number from -{MAX_NUMBER:g} to {MAX_NUMBER:g}" if huge else "a finite number")
    return None


NUMBER = ValueKind[float](
    f"a number from -{MAX_NUMBER:g} to {MAX_NUMBER:g}",
    {"type": "number", "minimum": -MAX_NUMBER, "maximum": MAX_NUMBER},
    _read_number,
)


def _read_boolean(field: Field) -> bool | None:
    if isinstance(field.node, ScalarNode) and isinstance(field.node.value, bool):
        return field.node.value
    field.expected("true or false")
    return None


BOOLEAN = ValueKind[bool]("true or false", {"type": "boolean"}, _read_boolean)


def string(words: str, pattern: str = "", *, most: int = 10_000, any_scalar: bool = False) -> ValueKind[str]:
    """Build the kind of non-empty text that matches all of `pattern`.

    `any_scalar` also accepts numbers and booleans, as they were written.
    """
    types = ["string", "number", "boolean"] if any_scalar else ["string"]
    schema: dict[str, Any] = {"type": types, "pattern": f"^(?:{pattern})$" if pattern else r"\S", "maxLength": most}

    def read(field: Field) -> str | None:
        node = field.node
        if not isinstance(node, ScalarNode) or not (any_scalar or isinstance(node.value, str)) or not node.text.strip():
            field.expected(words)
            return None
        if len(node.text) > most:
            field.reject(f"is too long: {len(node.text)} characters (maximum {most})")
            return None
        if pattern and not re.fullmatch(pattern, node.text):
            field.expected(words)
            return None
        return node.text

    return ValueKind(words, schema, read)


def one_of(options: Sequence[str], also: Mapping[str, str] | None = None) -> ValueKind[str]:
    """Build the kind of an enumeration. `also` maps common misspellings to the option they mean."""
    words = f"{', '.join(options[:-1])} or {options[-1]}"

    def read(field: Field) -> str | None:
        if isinstance(field.node, ScalarNode) and field.node.text in options:
            return field.node.text
        hint = did_you_mean(field.node.text, options, also) if isinstance(field.node, ScalarNode) else ""
        field.expected(words, hint)
        return None

    return ValueKind(words, {"enum": list(options)}, read)


def quantity(
    words: str, pattern: str, parse: Callable[[str | int | float], T], check: Callable[[T], str] | None = None
) -> ValueKind[T]:
    """Build the kind of a number with a unit.

    `parse` raises ValueError if it cannot read it; `check` returns an objection or "".
    """

    def read(field: Field) -> T | None:
        node = field.node
        if not isinstance(node, ScalarNode) or isinstance(node.value, bool) or len(node.text) > 40:
            field.expected(words)
            return None
        try:
            value = parse(node.text if node.value is None else node.value)
        except (ValueError, OverflowError):
            field.expected(words)
            return None
        objection = check(value) if check else ""
        if objection:
            field.reject(objection)
            return None
        return value

    schema = {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "pattern": f"^(?:{pattern})$"}]}
    return ValueKind(words, schema, read)


def _seconds(duration: str | int | float) -> float:
    seconds = parse_seconds(duration)
    if seconds > 10 * 366 * 86400:
        raise ValueError("longer than 10 years")
    return seconds


TIME = quantity(
    "a duration such as 30s, 5m, 1h30m or 2d",
    r"(?:[0-9]+(?:\.[0-9]+)?[dhms])+|[0-9]+(?:\.[0-9]+)?",
    _seconds,
)
GRACE = quantity(
    "a duration of at most 1h, such as 30s or 5m",
    r"(?:[0-9]+(?:\.[0-9]+)?[dhms])+|[0-9]+(?:\.[0-9]+)?",
    _seconds,
    lambda seconds: (
        "" if seconds <= MAX_GRACE_SECONDS else f"must be at most {MAX_GRACE_SECONDS:g} seconds (found {seconds:g})"
    ),
)
SIZE_PATTERN = r"[0-9]+(?:\.[0-9]+)?\s*(?:[kKMGTP]i?)?[bB]?"
SIZE = quantity(
    "a size such as 500k, 200Mi or 1G",
    SIZE_PATTERN,
    parse_bytes,
    lambda size: "" if 0 < size < 2**63 else "size out of range (expected more than 0 bytes and less than 8 EiB)",
)
