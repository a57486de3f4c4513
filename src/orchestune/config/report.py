"""Collecting what is wrong while a file is read to its end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from orchestune.config.nodes import Entries, Items, Node, Place, Scalar, printable, shown
from orchestune.errors import BadInput, Problem

_LONGEST_NAME = 60  # nobody mistypes more than that, and comparing long texts takes its time


@dataclass
class Report:
    """Mistakes and remarks of one file, in the order in which they were met."""

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, place: Place, key: str, message: str, hint: str = "") -> None:
        """Note a mistake; the same one twice (through an alias) counts once."""
        problem = Problem(message, _short(key), place.file, place.line, place.column, hint)
        if problem not in self.problems:
            self.problems.append(problem)

    def raise_if_bad(self) -> None:
        """BadInput with everything found, in the order of the file."""
        if self.problems:
            order = [problem.file for problem in self.problems]
            raise BadInput(sorted(self.problems, key=lambda p: (order.index(p.file), p.line or 0, p.column or 0)))


@dataclass(frozen=True)
class Field:
    """A node, the path of keys that leads to it, and the report that hears of its mistakes."""

    node: Node
    key: str
    report: Report

    def wrong(self, message: str, hint: str = "") -> None:
        """Note that this value is wrong."""
        self.report.add(self.node.place, self.key, message, hint)

    def expected(self, words: str, hint: str = "") -> None:
        """Note that something else stands here than `words` say."""
        found = "has no value" if self.empty else f"found {shown(self.node)}"
        self.wrong(f"{found}, expected {words}", hint)

    def note(self, message: str) -> None:
        """Say something that is no mistake, with the key before it."""
        self.report.notes.append(f"{_short(self.key)}: {message}")

    @property
    def empty(self) -> bool:
        """Nothing stands here, or `null`."""
        return isinstance(self.node, Scalar) and self.node.value is None

    def entries(self) -> dict[str, tuple[Scalar, Field]]:
        """The mapping's keys and values by name; empty where this is no mapping."""
        if not isinstance(self.node, Entries):
            return {}
        return {key.text: (key, self._child(key.text, node)) for key, node in self.node.entries}

    def items(self) -> list[Field]:
        """The list's items; empty where this is no list."""
        if not isinstance(self.node, Items):
            return []
        return [Field(item, f"{self.key}[{index}]", self.report) for index, item in enumerate(self.node.items)]

    def find(self, *names: str) -> Field:
        """The deepest field that `names` lead to, one mapping after the other."""
        here = self
        for name in names:
            below = here.entries().get(name)
            if below is None:
                break
            here = below[1]
        return here

    def _child(self, name: str, node: Node) -> Field:
        return Field(node, f"{self.key}.{name}" if self.key else name, self.report)


def did_you_mean(name: str, allowed: Iterable[str], known: Mapping[str, str] | None = None) -> str:
    """`did you mean budget?` for a name close to an allowed one, or known under another; else nothing."""
    if len(name) > _LONGEST_NAME:
        return ""
    candidates = {option.casefold(): option for option in allowed}
    other = (known or {}).get(name.casefold())
    if other:
        return f"did you mean {other}?"
    close = get_close_matches(name.casefold(), candidates, n=1, cutoff=0.6)
    return f"did you mean {candidates[close[0]]}?" if close else ""


def _short(key: str) -> str:
    return printable(key if len(key) <= 120 else f"{key[:117]}...")
