"""The tree of a YAML document: values that know where they stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Atom = str | int | float | bool | None


@dataclass(frozen=True)
class SourcePosition:
    """Where something stands; lines and columns count from 1, and are None for what stands in no file."""

    file: str
    line: int | None = None
    column: int | None = None


@dataclass(frozen=True)
class ScalarNode:
    """One value: as it was written (`text`) and as the core schema of YAML 1.2 reads it (`value`)."""

    place: SourcePosition
    text: str
    value: Atom

    @property
    def size(self) -> int:
        """Nodes in this tree, aliases counted as often as they are used."""
        return 1


@dataclass(frozen=True)
class Items:
    """A list."""

    place: SourcePosition
    items: tuple[Node, ...]
    size: int = 1


@dataclass(frozen=True)
class Entries:
    """A mapping; no two keys have the same text."""

    place: SourcePosition
    entries: tuple[tuple[ScalarNode, Node], ...]
    size: int = 1

    def get(self, name: str) -> Node | None:
        """What stands under `name`."""
        return next((node for key, node in self.entries if key.text == name), None)

    def with_entry(self, key: ScalarNode, node: Node) -> Entries:
        """The same mapping with `node` under that key: in the old one's place, or at the end."""
        if self.get(key.text) is None:
            return Entries(self.place, (*self.entries, (key, node)), self.size)
        return Entries(
            self.place, tuple((old, node if old.text == key.text else value) for old, value in self.entries), self.size
        )

    def without(self, *names: str) -> Entries:
        """The same mapping less those keys."""
        return Entries(self.place, tuple(item for item in self.entries if item[0].text not in names), self.size)


Node = ScalarNode | Items | Entries


def plain(node: Node) -> Any:
    """The tree as ordinary lists, dictionaries and values."""
    if isinstance(node, ScalarNode):
        return node.value
    if isinstance(node, Items):
        return [plain(item) for item in node.items]
    return {key.text: plain(value) for key, value in node.entries}


def mapping(values: Mapping[str, Any], place: SourcePosition) -> Entries:
    """A mapping of ordinary values, all of it at one place; values may be nodes already."""
    pairs = tuple((ScalarNode(place, key, key), built(value, place)) for key, value in values.items())
    return Entries(place, pairs, 1 + len(pairs))


def built(value: Any, place: SourcePosition) -> Node:
    """The tree of ordinary lists, dictionaries and values: the inverse of `plain`. Nodes stay what they are."""
    if isinstance(value, (ScalarNode, Items, Entries)):
        return value
    if isinstance(value, dict):
        return mapping({str(key): item for key, item in value.items()}, place)
    if isinstance(value, (list, tuple)):
        items = tuple(built(item, place) for item in value)
        return Items(place, items, 1 + len(items))
    return ScalarNode(place, written(value), value)


def written(value: Atom) -> str:
    """One value as it stands in a file."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        mantissa, exponent, power = repr(value).partition("e")
        return f"{mantissa}e{int(power)}" if exponent else mantissa
    return str(value)


def shown(node: Node) -> str:
    """What was found, for an error message."""
    if isinstance(node, Items):
        return "a list" if node.items else "an empty list"
    if isinstance(node, Entries):
        return "a mapping" if node.entries else "an empty mapping"
    if node.value is None:
        return "nothing"
    text = quoted(node.text)
    return text if isinstance(node.value, str) else text[1:-1]


def quoted(text: str) -> str:
    """`text` in quotes, on one line and not longer than a message bears."""
    short = text if len(text) <= 60 else f"{text[:57]}..."
    return f"'{printable(short)}'"


def printable(text: str) -> str:
    """`text` with everything escaped that would spoil a line of a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
