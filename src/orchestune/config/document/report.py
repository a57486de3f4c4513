"""Collecting what is wrong while a file is read to its end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from orchestune.config.document.nodes import Entries, Items, Node, ScalarNode, SourcePosition, printable, shown
from orchestune.errors import PROBLEMS_SHOWN, BadInput, Problem


@dataclass
class ProblemReport:
    """Mistakes and remarks of one file, in the order in which they were met."""

    found: dict[Problem, None] = field(default_factory=dict)
    """each mistake once, even where an alias repeats it"""
    notes: list[str] = field(default_factory=list)
    meant: set[str] = field(default_factory=set)
    """keys that are there under a wrong name, which is reported"""

    @property
    def problems(self) -> list[Problem]:
        """The mistakes so far."""
        return list(self.found)

    def add(self, place: SourcePosition, key: str, message: str, hint: str = "") -> None:
        """Note a mistake."""
        key = "" if place.file == f"--{key}" else _short(key)  # the option of that name says it
        self.found[Problem(message, key, place.file, place.line, place.column, hint)] = None

    @property
    def crowded(self) -> bool:
        """More is wrong than anybody reads; time for hints is better spent otherwise."""
        return len(self.found) > PROBLEMS_SHOWN

    def error(self) -> BadInput:
        """Everything found, in the order of the file; of very many mistakes the first ones."""
        files = list(dict.fromkeys(problem.file for problem in self.found))
        ordered = sorted(self.found, key=lambda p: (files.index(p.file), p.line or 0, p.column or 0))
        return BadInput.first_of(ordered)

    def raise_if_bad(self) -> None:
        """BadInput where anything was found."""
        if self.found:
            raise self.error()


@dataclass(frozen=True)
class Field:
    """A node, the path of keys that leads to it, and the report that hears of its mistakes."""

    node: Node
    key: str
    report: ProblemReport

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
        return isinstance(self.node, ScalarNode) and self.node.value is None

    def entries(self) -> dict[str, tuple[ScalarNode, Field]]:
        """The mapping's keys and values by name; empty where this is no mapping."""
        if not isinstance(self.node, Entries):
            return {}
        return {key.text: (key, self._child(key.text, node)) for key, node in self.node.entries}

    def items(self) -> list[Field]:
        """The list's items; empty where this is no list."""
        if not isinstance(self.node, Items):
            return []
        return [Field(item, f"{self.key}[{index}]", self.report) for index, item in enumerate(self.node.items)]

    def below(self, name: str) -> str:
        """The path of keys to `name` in this mapping."""
        return f"{self.key}.{name}" if self.key else name

    def find(self, *names: str) -> Field:
        """The deepest field that `names` lead to, one mapping after the other."""
        here = self
        for name in names:
            entry = here.entries().get(name)
            if entry is None:
                break
            here = entry[1]
        return here

    def _child(self, name: str, node: Node) -> Field:
        return Field(node, self.below(name), self.report)


def located(problem: Problem, root: Node) -> Problem:
    """The same with the place of what its key leads to in a document, or of the last step that stands there; as it is
    where not even the first does.
    """
    here = root
    for name in problem.key.split("."):
        if isinstance(here, Items):
            below = dict(enumerate(here.items)).get(int(name)) if name.isdecimal() else None
        else:
            below = here.get(name) if isinstance(here, Entries) else None
        if below is None:
            break
        here = below
    if here is root:
        return problem
    return replace(problem, file=here.place.file, line=here.place.line, column=here.place.column)


def _short(key: str) -> str:
    return printable(key if len(key) <= 120 else f"{key[:117]}...")
