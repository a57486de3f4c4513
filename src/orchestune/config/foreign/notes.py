"""Access to a document of another tool: values by path, and a note on everything that is not converted."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from orchestune.config.document.kinds import MAX_NUMBER
from orchestune.config.document.nodes import Entries, Items, Node, ScalarNode, SourcePosition, plain
from orchestune.config.document.report import ProblemReport

_NOTHING = SourcePosition("")


class ForeignFile:
    """A mapping in a file of another tool. Keys that are never read are noted by `leave`."""

    def __init__(
        self, node: Node | None, path: str, report: ProblemReport, parent_position: SourcePosition = _NOTHING
    ) -> None:
        self.path, self.report = path, report
        self.position = node.position if node is not None else parent_position
        entries = node.entries if isinstance(node, Entries) else ()
        self._entries = {key.text: (key, value) for key, value in entries}

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._entries))

    def take(self, name: str) -> Node | None:
        """Return the node under `name`, which counts as read; None if absent."""
        entry = self._entries.pop(name, None)
        return None if entry is None else entry[1]

    def value(self, name: str) -> Any:
        """Return the plain value under `name`."""
        node = self.take(name)
        return None if node is None else plain(node)

    def values(self, name: str) -> list[Any]:
        """Return the plain values of the list under `name`; empty if it is not a list."""
        items = self.value(name)
        return items if isinstance(items, list) else []

    def mapping(self, name: str) -> dict[str, Any]:
        """Return the plain values of the mapping under `name`; empty if it is not a mapping."""
        entries = self.value(name)
        return entries if isinstance(entries, dict) else {}

    def text(self, name: str) -> str | None:
        """Return the text of the single value under `name`, or None."""
        node = self.take(name)
        return node.text if isinstance(node, ScalarNode) and node.value is not None else None

    def below(self, name: str) -> ForeignFile:
        """Return the mapping under `name`; an empty one if absent."""
        return ForeignFile(self.take(name), self._path(name), self.report, self.position)

    def each(self, name: str) -> list[ForeignFile]:
        """Return the mappings of the list under `name`."""
        node = self.take(name)
        items = node.items if isinstance(node, Items) else ()
        return [ForeignFile(item, f"{self._path(name)}[{index}]", self.report) for index, item in enumerate(items)]

    def note(self, message: str, name: str = "") -> None:
        """Add a note about a key of this mapping."""
        path = self._path(name) if name else self.path
        self.report.notes.append(f"{path}: {message}" if path else message)

    def reject(self, message: str, hint: str = "", name: str = "") -> None:
        """Add a problem at the position of this mapping."""
        self.report.add(self.position, self._path(name) if name else self.path, message, hint)

    def leave(self, *ignored: str) -> None:
        """Add a note with the keys that were not read, except `ignored`."""
        unread = [name for name in self._entries if name not in ignored]
        if unread:
            self.note(f"has no counterpart: {', '.join(unread)}")

    def _path(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name


def valid_names(section: str, names: Collection[str], notes: list[str]) -> dict[str, str]:
    """Map names of parameters or metrics to unique valid names; changed names are noted."""
    extra_characters = "@%" if section == "metrics" else ""
    new_names: dict[str, str] = {}
    for name in names:
        new_name = re.sub(rf"[^A-Za-z0-9_.\-/{extra_characters}]+", "_", name.lstrip("-"))
        new_name = new_name if re.match(r"[A-Za-z_]", new_name) else f"_{new_name}"
        while new_name != name and (new_name in names or new_name in new_names.values()):
            new_name += "_"
        new_names[name] = new_name
        if new_name != name:
            notes.append(
                f"{section}.{name}: renamed to {new_name}: names can only have ASCII letters, digits and _ . - /"
            )
    return new_names


def number(value: Any) -> int | float | None:
    """Parse a number within the limits of an experiment file, also from text, as in Katib."""
    parsed = _parse(value) if isinstance(value, str) else value
    if not isinstance(parsed, (int, float)) or isinstance(parsed, bool) or not abs(parsed) <= MAX_NUMBER:
        return None
    return parsed


def _parse(text: str) -> int | float | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return None


def rounded(value: float) -> float:
    """Round to six significant digits."""
    return float(f"{value:.6g}")


def without_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries that are not empty."""
    return {key: value for key, value in values.items() if value not in (None, {}, [], ())}
