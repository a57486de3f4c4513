"""The tree of a YAML document: values with their positions in the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Atom = str | int | float | bool | None


@dataclass(frozen=True)
class SourcePosition:
    """A position in a file. Lines and columns count from 1 and are None for values that come from no file."""

    file: str
    line: int | None = None
    column: int | None = None


@dataclass(frozen=True)
class ScalarNode:
    """A single value: its source text (`text`) and its value by the core schema of YAML 1.2 (`value`)."""

    position: SourcePosition
    text: str
    value: Atom

    @property
    def size(self) -> int:
        """The number of nodes in this tree; each use of an alias counts."""
        return 1


@dataclass(frozen=True)
class Items:
    """A list."""

    position: SourcePosition
    items: tuple[Node, ...]
    size: int = 1


@dataclass(frozen=True)
class Entries:
    """A mapping; no two keys have the same text."""

    position: SourcePosition
    entries: tuple[tuple[ScalarNode, Node], ...]
    size: int = 1

    def get(self, name: str) -> Node | None:
        """Return the value of the key `name`, or None if absent."""
        return next((node for key, node in self.entries if key.text == name), None)

    def with_entry(self, key: ScalarNode, node: Node) -> Entries:
        """Return a copy with `node` as the value of `key`: in place if the key exists, otherwise at the end."""
        if self.get(key.text) is None:
            return Entries(self.position, (*self.entries, (key, node)), self.size)
        return Entries(
            self.position,
            tuple((old, node if old.text == key.text else value) for old, value in self.entries),
            self.size,
        )

    def without(self, *names: str) -> Entries:
        """Return a copy without those keys."""
        return Entries(self.position, tuple(item for item in self.entries if item[0].text not in names), self.size)


Node = ScalarNode | Items | Entries


def plain(node: Node) -> Any:
    """Convert a tree to plain lists, dictionaries and values."""
    if isinstance(node, ScalarNode):
        return node.value
    if isinstance(node, Items):
        return [plain(item) for item in node.items]
    return {key.text: plain(value) for key, value in node.entries}


def mapping(values: Mapping[str, Any], position: SourcePosition) -> Entries:
    """Build a mapping node from plain values, all at one position. Values that are nodes already are kept."""
    pairs = tuple((ScalarNode(position, key, key), node_of(value, position)) for key, value in values.items())
    return Entries(position, pairs, 1 + len(pairs))


def node_of(value: Any, position: SourcePosition) -> Node:
    """Build the node of plain lists, dictionaries and values: the inverse of `plain`. Nodes are returned unchanged."""
    if isinstance(value, (ScalarNode, Items, Entries)):
        return value
    if isinstance(value, dict):
        return mapping({str(key): item for key, item in value.items()}, position)
    if isinstance(value, (list, tuple)):
        items = tuple(node_of(item, position) for item in value)
        return Items(position, items, 1 + len(items))
    return ScalarNode(position, yaml_text(value), value)


def yaml_text(value: Atom) -> str:
    """Format a scalar as YAML text."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        mantissa, exponent, power = repr(value).partition("e")
        return f"{mantissa}e{int(power)}" if exponent else mantissa
    return str(value)


def summary(node: Node) -> str:
    """Describe a node for an error message."""
    if isinstance(node, Items):
        return "a list" if node.items else "an empty list"
    if isinstance(node, Entries):
        return "a mapping" if node.entries else "an empty mapping"
    if node.value is None:
        return "nothing"
    text = quoted(node.text)
    return text if isinstance(node.value, str) else text[1:-1]


def quoted(text: str) -> str:
    """Quote `text` on one line, shortened to the length that fits a message."""
    short = text if len(text) <= 60 else f"{text[:57]}..."
    return f"'{printable(short)}'"


def printable(text: str) -> str:
    """Escape every character that would break a line of a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
