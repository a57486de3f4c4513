"""Kinds of lists and mappings, made of other kinds."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from orchestune.config.document.kinds import Key, ValueKind
from orchestune.config.document.nodes import Entries, Items, ScalarNode, quoted
from orchestune.config.document.report import Field
from orchestune.domain.words import closest

T = TypeVar("T")
U = TypeVar("U")


def section(keys: Sequence[Key], *, later: Sequence[str] = (), also: Mapping[str, str] | None = None,
            open_to: str = "") -> ValueKind[dict[str, Any]]:  # fmt: skip
    """A mapping with known keys.

    `later` are the keys of a later version, `also` what people write instead of a key; `open_to` says what other keys
    mean where they are allowed (the caller reads them).
    """
    words = f"a mapping with {', '.join(key.name for key in keys)}{f' and {open_to}' if open_to else ''}"
    known = {key.name: key for key in keys}

    def read(found: Field) -> dict[str, Any] | None:
        if not isinstance(found.node, Entries):
            found.expected(words)
            return None
        values: dict[str, Any] = {}
        for name, (place, value) in found.entries().items():
            if name in known:
                values[name] = known[name].kind.read(value)
            elif not open_to:
                meant = "" if found.report.crowded else closest(name, known, also)
                _unknown(found, Field(place, value.key, found.report), name, later, meant, keys)
        for key in keys:
            path = found.below(key.name)
            if key.required and key.name not in values and path not in found.report.meant:
                found.report.add(found.node.place, path, "is missing", f"expected {key.kind.words}")
        return values

    schema: dict[str, Any] = {
        "type": "object",
        "properties": {key.name: described(key) for key in keys},
        "additionalProperties": bool(open_to),
    }
    required = [key.name for key in keys if key.required]
    if required:
        schema["required"] = required
    return ValueKind(words, schema, read, tuple(keys))


def described(key: Key) -> dict[str, Any]:
    """A key's schema with its description, as editors show it."""
    about = f"{key.about} Default: {key.default}." if key.default else key.about
    return {"description": about.replace("`", ""), **key.kind.schema}


def _unknown(found: Field, place: Field, name: str, later: Sequence[str], meant: str, keys: Sequence[Key]) -> None:
    if name == _MERGE:
        _refuse_merge(place)
        return
    if name in later:
        place.wrong("comes in a later version", "leave it out")
        return
    if meant:
        found.report.meant.add(found.below(meant))
    allowed = ", ".join(key.name for key in keys)
    place.wrong("is no known key", f"did you mean {meant}?" if meant else f"allowed: {allowed}")


_MERGE = "<<"


def _refuse_merge(place: Field) -> None:
    place.wrong("YAML 1.2 has no merge keys", "write its keys here, or name a whole value by an alias: `key: *name`")


def either(words: str, *, scalar: ValueKind[T] | None = None, listing: ValueKind[T] | None = None,
              mapping: ValueKind[T] | None = None) -> ValueKind[T]:  # fmt: skip
    """Short and long spelling: what stands there decides by its shape which kind reads it."""
    kinds = [kind for kind in (scalar, listing, mapping) if kind]

    def read(found: Field) -> T | None:
        kind = {ScalarNode: scalar, Items: listing, Entries: mapping}[type(found.node)]
        if kind is None:
            found.expected(words)
            return None
        return kind.read(found)

    keys = mapping.keys if mapping else ()
    return ValueKind(words, {"anyOf": [kind.schema for kind in kinds]}, read, keys)


def changed(kind: ValueKind[T], change: Callable[[T], U], words: str = "") -> ValueKind[U]:
    """The same spelling with another result."""

    def read(found: Field) -> U | None:
        value = kind.read(found)
        return None if value is None else change(value)

    return ValueKind(words or kind.words, kind.schema, read, kind.keys)


def list_of(kind: ValueKind[T], words: str, *, least: int = 1, most: int = 10_000) -> ValueKind[tuple[T, ...]]:
    """A list of values of one kind."""

    def read(found: Field) -> tuple[T, ...] | None:
        if not isinstance(found.node, Items) or (not found.node.items and least):
            found.expected(words)
            return None
        if len(found.node.items) < least:
            found.wrong(f"has {len(found.node.items)} of them, expected {words}")
            return None
        if len(found.node.items) > most:
            found.wrong(f"has {len(found.node.items)} entries, {most} are allowed")
            return None
        read_all = [kind.read(item) for item in found.items()]
        values = tuple(value for value in read_all if value is not None)
        return values if len(values) == len(read_all) else None

    return ValueKind(
        words, {"type": "array", "items": kind.schema, "minItems": least, "maxItems": most}, read, kind.keys
    )


@dataclass(frozen=True)
class NamedEntry:
    """What names the keys of a mapping may have."""

    noun: str
    pattern: str
    words: str
    reserved: Mapping[str, str] = field(default_factory=dict)
    """name → why it is not allowed"""


def misnamed(name: str, names: NamedEntry) -> str:
    """Why this is none of those names; empty where it is one."""
    if len(name) > 200 or not re.fullmatch(names.pattern, name):
        return f"{quoted(name)} is no name for {names.noun}; {names.words}"
    if name.casefold() in names.reserved:
        return f"{quoted(name)} cannot be the name of {names.noun}: {names.reserved[name.casefold()]}"
    return ""


def mapping_of(
    names: NamedEntry, kind: ValueKind[T], words: str, *, least: int = 0, most: int = 1000
) -> ValueKind[dict[str, T]]:
    """A mapping whose keys are the user's names, with values of one kind."""

    def read(found: Field) -> dict[str, T] | None:
        if not isinstance(found.node, Entries) or len(found.node.entries) < least:
            found.expected(words)
            return None
        if len(found.node.entries) > most:
            found.wrong(f"has {len(found.node.entries)} entries, {most} are allowed")
            return None
        values: dict[str, T] = {}
        for name, (place, value) in found.entries().items():
            here = Field(place, value.key, found.report)
            if name == _MERGE:
                _refuse_merge(here)
                continue
            wrong = misnamed(name, names)
            if wrong:
                here.wrong(wrong)
            read_value = kind.read(value)
            if read_value is not None:
                values[name] = read_value
        return None if _MERGE in found.entries() else values

    schema: dict[str, Any] = {
        "type": "object",
        "propertyNames": {"pattern": f"^(?:{names.pattern})$", "maxLength": 200},
        "additionalProperties": kind.schema,
        "maxProperties": most,
    }
    if names.reserved:
        schema["propertyNames"]["not"] = {"enum": sorted(names.reserved)}
    if least:
        schema["minProperties"] = least
    return ValueKind(words, schema, read, kind.keys)
