"""Collects all problems of a file while it is read to its end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from orchestune.config.document.nodes import Entries, Items, Node, ScalarNode, SourcePosition, printable, summary
from orchestune.errors import PROBLEMS_SHOWN, BadInput, Problem


@dataclass
class ProblemReport:
    """The problems and notes of one file, in the order of their discovery."""

    _problems: dict[Problem, None] = field(default_factory=dict, init=False)
    """each problem once, even if an alias repeats it"""
    notes: list[str] = field(default_factory=list)
    misspelled: set[str] = field(default_factory=set)
    """dotted keys whose misspelling is reported already, so that they are not reported as missing"""

    @property
    def problems(self) -> list[Problem]:
        """The problems so far."""
        return list(self._problems)

    def add(self, position: SourcePosition, key: str, message: str, hint: str = "") -> None:
        """Add a problem."""
        key = "" if position.file == f"--{key}" else _short(key)  # the option of that name is the position
        self._problems[Problem(message, key, position.file, position.line, position.column, hint)] = None

    @property
    def crowded(self) -> bool:
        """True if there are more problems than are shown; spelling hints, which cost time, are skipped then."""
        return len(self._problems) > PROBLEMS_SHOWN

    def error(self) -> BadInput:
        """Build the error of all problems, in the order of the file; only the first ones if there are very many."""
        files = list(dict.fromkeys(problem.file for problem in self._problems))
        ordered = sorted(self._problems, key=lambda p: (files.index(p.file), p.line or 0, p.column or 0))
        return BadInput.first_of(ordered)

    def clear(self) -> None:
        """Discard all problems."""
        self._problems.clear()

    def raise_if_bad(self) -> None:
        """Raise BadInput if there are any problems."""
        if self._problems:
            raise self.error()


@dataclass(frozen=True)
class Field:
    """A node, its dotted key, and the report that collects its problems."""

    node: Node
    key: str
    report: ProblemReport

    def reject(self, message: str, hint: str = "") -> None:
        """Add a problem with this value."""
        self.report.add(self.node.position, self.key, message, hint)

    def expected(self, words: str, hint: str = "") -> None:
        """Add the problem that this value is not what `words` describe."""
        prefix = "has no value" if self.empty else f"found {summary(self.node)}"
        self.reject(f"{prefix}, expected {words}", hint)

    def note(self, message: str) -> None:
        """Add a note, prefixed with the key."""
        self.report.notes.append(f"{_short(self.key)}: {message}")

    @property
    def empty(self) -> bool:
        """True if there is no value here, or `null`."""
        return isinstance(self.node, ScalarNode) and self.node.value is None

    def entries(self) -> dict[str, tuple[ScalarNode, Field]]:
        """Return the mapping's keys and values by name; empty if this is not a mapping."""
        if not isinstance(self.node, Entries):
            return {}
        return {key.text: (key, self._child(key.text, node)) for key, node in self.node.entries}

    def items(self) -> list[Field]:
        """Return the list's items; empty if this is not a list."""
        if not isinstance(self.node, Items):
            return []
        return [Field(item, f"{self.key}[{index}]", self.report) for index, item in enumerate(self.node.items)]

    def below(self, name: str) -> str:
        """Return the dotted key of `name` in this mapping."""
        return f"{self.key}.{name}" if self.key else name

    def find(self, *names: str) -> Field:
        """Return the deepest existing field on the path `names`."""
        field = self
        for name in names:
            entry = field.entries().get(name)
            if entry is None:
                break
            field = entry[1]
        return field

    def _child(self, name: str, node: Node) -> Field:
        return Field(node, self.below(name), self.report)


def located(problem: Problem, root: Node) -> Problem:
    """Return the problem with the position of its key in a document, or of the deepest key of its path that exists.

    Unchanged if not even the first does.
    """
    node = root
    for name in problem.key.split("."):
        if isinstance(node, Items):
            below = dict(enumerate(node.items)).get(int(name)) if name.isdecimal() else None
        else:
            below = node.get(name) if isinstance(node, Entries) else None
        if below is None:
            break
        node = below
    if node is root:
        return problem
    return replace(problem, file=node.position.file, line=node.position.line, column=node.position.column)


def _short(key: str) -> str:
    return printable(key if len(key) <= 120 else f"{key[:117]}...")
