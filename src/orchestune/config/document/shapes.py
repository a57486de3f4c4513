"""Kinds of lists and mappings, composed of other kinds."""

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
    """Build the kind of a mapping with fixed keys.

    `later` are keys of a later version, `also` maps common misspellings to keys. `open_to` describes the other keys
    that are allowed; the caller reads them.
    """
    words = f"a mapping with {', '.join(key.name for key in keys)}{f' and {open_to}' if open_to else ''}"
    by_name = {key.name: key for key in keys}

    def read(field: Field) -> dict[str, Any] | None:
        if not isinstance(field.node, Entries):
            field.expected(words)
            return None
        values: dict[str, Any] = {}
        for name, (key_node, value) in field.entries().items():
            if name in by_name:
                values[name] = by_name[name].kind.read(value)
            elif not open_to:
                suggestion = "" if field.report.crowded else closest(name, by_name, also)
                _unknown(field, Field(key_node, value.key, field.report), name, later, suggestion, keys)
        for key in keys:
            path = field.below(key.name)
            if key.required and key.name not in values and path not in field.report.misspelled:
                field.report.add(field.node.position, path, "is missing", f"expected {key.kind.words}")
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
    """Return a key's schema with its description, for editors."""
    about = f"{key.about} Default: {key.default}." if key.default else key.about
    return {"description": about.replace("`", ""), **key.kind.schema}


def _unknown(field: Field, entry: Field, name: str, later: Sequence[str], suggestion: str, keys: Sequence[Key]) -> None:
    if name == _MERGE:
        _refuse_merge(entry)
        return
    if name in later:
        entry.reject("not supported in this version", "remove it")
        return
    if suggestion:
        field.report.misspelled.add(field.below(suggestion))
    allowed = ", ".join(key.name for key in keys)
    entry.reject("unknown key", f"did you mean {suggestion}?" if suggestion else f"allowed keys: {allowed}")


_MERGE = "<<"


def _refuse_merge(entry: Field) -> None:
    entry.reject(
        "merge keys are not supported (YAML 1.2 has none)", "copy the keys here, or alias a whole value: `key: *name`"
    )


def either(words: str, *, scalar: ValueKind[T] | None = None, listing: ValueKind[T] | None = None,
              mapping: ValueKind[T] | None = None) -> ValueKind[T]:  # fmt: skip
    """Build the kind of a value with a short and a long form: the shape of the node selects the kind."""
    kinds = [kind for kind in (scalar, listing, mapping) if kind]

    def read(field: Field) -> T | None:
        kind = {ScalarNode: scalar, Items: listing, Entries: mapping}[type(field.node)]
        if kind is None:
            field.expected(words)
            return None
        return kind.read(field)

    keys = mapping.keys if mapping else ()
    return ValueKind(words, {"anyOf": [kind.schema for kind in kinds]}, read, keys)


def converted(kind: ValueKind[T], change: Callable[[T], U], words: str = "") -> ValueKind[U]:
    """Build a kind that converts the values of another kind."""

    def read(field: Field) -> U | None:
        value = kind.read(field)
        return None if value is None else change(value)

    return ValueKind(words or kind.words, kind.schema, read, kind.keys)


def list_of(kind: ValueKind[T], words: str, *, least: int = 1, most: int = 10_000) -> ValueKind[tuple[T, ...]]:
    """Build the kind of a list of values of one kind."""

    def read(field: Field) -> tuple[T, ...] | None:
        if not isinstance(field.node, Items) or (not field.node.items and least):
            field.expected(words)
            return None
        if len(field.node.items) < least:
            field.reject(f"too few entries: {len(field.node.items)} (expected {words})")
            return None
        if len(field.node.items) > most:
            field.reject(f"too many entries: {len(field.node.items)} (maximum {most})")
            return None
        read_all = [kind.read(item) for item in field.items()]
        values = tuple(value for value in read_all if value is not None)
        return values if len(values) == len(read_all) else None

    return ValueKind(
        words, {"type": "array", "items": kind.schema, "minItems": least, "maxItems": most}, read, kind.keys
    )


@dataclass(frozen=True)
class NamedEntry:
    """The names allowed as keys of a mapping."""

    noun: str
    pattern: str
    words: str
    reserved: Mapping[str, str] = field(default_factory=dict)
    """name → reason why it is not allowed"""


def misnamed(name: str, names: NamedEntry) -> str:
    """Return why this name is not allowed; empty if it is."""
    if len(name) > 200 or not re.fullmatch(names.pattern, name):
        return f"{quoted(name)} is not a valid name for {names.noun}; {names.words}"
    if name.casefold() in names.reserved:
        return f"{quoted(name)} cannot be the name of {names.noun}: {names.reserved[name.casefold()]}"
    return ""


def mapping_of(
    names: NamedEntry, kind: ValueKind[T], words: str, *, least: int = 0, most: int = 1000
) -> ValueKind[dict[str, T]]:
    """Build the kind of a mapping whose keys are chosen by the user, with values of one kind."""

    def read(field: Field) -> dict[str, T] | None:
        if not isinstance(field.node, Entries) or len(field.node.entries) < least:
            field.expected(words)
            return None
        if len(field.node.entries) > most:
            field.reject(f"too many entries: {len(field.node.entries)} (maximum {most})")
            return None
        values: dict[str, T] = {}
        for name, (key_node, value) in field.entries().items():
            entry = Field(key_node, value.key, field.report)
            if name == _MERGE:
                _refuse_merge(entry)
                continue
            wrong = misnamed(name, names)
            if wrong:
                entry.reject(wrong)
            read_value = kind.read(value)
            if read_value is not None:
                values[name] = read_value
        return None if _MERGE in field.entries() else values

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
