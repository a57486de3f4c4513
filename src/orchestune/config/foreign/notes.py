"""Reading a foreign document: values by path, and a note on everything that nobody asked for."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from orchestune.config.document.kinds import LARGEST
from orchestune.config.document.nodes import Entries, Items, Node, ScalarNode, SourcePosition, plain
from orchestune.config.document.report import ProblemReport

_NOTHING = SourcePosition("")


class ForeignFile:
    """A mapping of another tool's file. What is not taken out of it is noted when it is left."""

    def __init__(self, node: Node | None, path: str, report: ProblemReport, above: SourcePosition = _NOTHING) -> None:
        self.path, self.report = path, report
        self.place = node.place if node is not None else above
        entries = node.entries if isinstance(node, Entries) else ()
        self._entries = {key.text: (key, value) for key, value in entries}

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._entries))

    def take(self, name: str) -> Node | None:
        """What stands under `name`; it counts as read."""
        found = self._entries.pop(name, None)
        return None if found is None else found[1]

    def value(self, name: str) -> Any:
        """The same as an ordinary value."""
        node = self.take(name)
        return None if node is None else plain(node)

    def values(self, name: str) -> list[Any]:
        """The ordinary values of the list under `name`; none where it is no list."""
        found = self.value(name)
        return found if isinstance(found, list) else []

    def mapping(self, name: str) -> dict[str, Any]:
        """The ordinary values of the mapping under `name`; none where it is no mapping."""
        found = self.value(name)
        return found if isinstance(found, dict) else {}

    def text(self, name: str) -> str | None:
        """The same as a text, where it is one value."""
        node = self.take(name)
        return node.text if isinstance(node, ScalarNode) and node.value is not None else None

    def below(self, name: str) -> ForeignFile:
        """The mapping under `name`; an empty one where there is none."""
        return ForeignFile(self.take(name), self._path(name), self.report, self.place)

    def each(self, name: str) -> list[ForeignFile]:
        """The mappings of the list under `name`."""
        node = self.take(name)
        items = node.items if isinstance(node, Items) else ()
        return [ForeignFile(item, f"{self._path(name)}[{index}]", self.report) for index, item in enumerate(items)]

    def note(self, message: str, name: str = "") -> None:
        """Say what becomes of a value."""
        path = self._path(name) if name else self.path
        self.report.notes.append(f"{path}: {message}" if path else message)

    def wrong(self, message: str, hint: str = "", name: str = "") -> None:
        """A mistake, where this mapping stands."""
        self.report.add(self.place, self._path(name) if name else self.path, message, hint)

    def leave(self, *silent: str) -> None:
        """Note what was not read, `silent` left out."""
        rest = [name for name in self._entries if name not in silent]
        if rest:
            self.note(f"has no counterpart here: {', '.join(rest)}")

    def _path(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name


def called(section: str, names: Collection[str], notes: list[str]) -> dict[str, str]:
    """What parameters or metrics are called in the characters that names have here, no two alike; a note says where
    that is another name.
    """
    also = "@%" if section == "metrics" else ""
    found: dict[str, str] = {}
    for name in names:
        here = re.sub(rf"[^A-Za-z0-9_.\-/{also}]+", "_", name.lstrip("-"))
        here = here if re.match(r"[A-Za-z_]", here) else f"_{here}"
        while here != name and (here in names or here in found.values()):
            here += "_"
        found[name] = here
        if here != name:
            notes.append(f"{section}.{name}: is called {here} here; names have ASCII letters, digits and _ . - / alone")
    return found


def number(value: Any) -> int | float | None:
    """A number that an experiment may hold, also one that is written as a text, as Katib does."""
    found = _of_text(value) if isinstance(value, str) else value
    if not isinstance(found, (int, float)) or isinstance(found, bool) or not abs(found) <= LARGEST:
        return None
    return found


def _of_text(text: str) -> int | float | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return None


def figures(value: float) -> float:
    """As many figures as anybody means."""
    return float(f"{value:.6g}")


def without_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    """The entries that say something."""
    return {key: value for key, value in values.items() if value not in (None, {}, [], ())}
