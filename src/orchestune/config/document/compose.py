"""From text to a tree of nodes, with every guard against files that are no experiment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Never

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from ruamel.yaml.reader import ReaderError

from orchestune.config.document.nodes import Entries, Items, Node, ScalarNode, SourcePosition, quoted
from orchestune.config.document.report import ProblemReport
from orchestune.config.document.scalars import resolve
from orchestune.errors import BadInput

MOST_NODES = 50_000
DEEPEST = 32
_STRING_TAGS = ("!", "tag:yaml.org,2002:str")
_PLAIN_TAGS = ("tag:yaml.org,2002:float", "tag:yaml.org,2002:int", "tag:yaml.org,2002:bool", "tag:yaml.org,2002:null")
"""say what a plain word means anyway: files for older parsers have `!!float 1e-5`"""
_HINTS = {
    "mapping values are not allowed here": "put quotes around a value that holds ': ', and check the indentation",
    "could not find expected ':'": "each line of a mapping is `key: value`",
    "found character '@' that cannot start any token": "put the value into quotes",
    "found character '`' that cannot start any token": "put the value into quotes",
    "found character '%' that cannot start any token": "put the value into quotes",
}

_MARKED = ("'", '"', "|", ">", "!", "&")
"""how a value begins that is not written as it is"""
_TEXT = "put quotes around a text that begins with {}"


def compose(text: str, file: str, report: ProblemReport, *, lines: bool = True) -> Node:
    """The tree of the one document in `text`. BadInput where it is no YAML; duplicate keys go into the report.

    Without `lines` the places name the file alone (for a value from the command line).
    """
    return _Composer(text, file, report, lines).document()


def compose_value(text: str, file: str, report: ProblemReport) -> Node | None:
    """The tree of a value from the command line. What stands there without quotes is all of it: nobody means a comment,
    or folded lines. None where it is no YAML, which goes into the report.
    """
    try:
        node = compose(text, file, report, lines=False)
    except BadInput:  # which the report knows already
        return None
    whole = text.strip()
    if isinstance(node, ScalarNode) and node.text != whole and not whole.startswith(_MARKED):
        return ScalarNode(node.place, whole, whole)
    if _signs(node) >= text.count("#"):
        return node
    report.add(
        node.place, "", "has a # in it, behind which YAML reads nothing", "put quotes around texts that have one"
    )
    return None


def _signs(node: Node) -> int:
    """How many signs of a comment are part of its values."""
    if isinstance(node, ScalarNode):
        return node.text.count("#")
    if isinstance(node, Items):
        return sum(map(_signs, node.items))
    return sum(key.text.count("#") + _signs(value) for key, value in node.entries)


class _Composer:
    def __init__(self, text: str, file: str, report: ProblemReport, lines: bool) -> None:
        self.text, self.file, self.report, self.lines = text, file, report, lines
        self.last = self._place(0, 0)
        self.anchors: dict[str, Node | None] = {}  # None: the node of that name is not complete yet
        self.size = 0
        self.events = self._parse()

    def document(self) -> Node:
        self._next()  # the start of the stream
        event = self._next()
        if isinstance(event, StreamEndEvent):
            return ScalarNode(self.last, "", None)
        root = self._node(self._next(), ())
        self._next()  # the end of the document
        event = self._next()
        if isinstance(event, DocumentStartEvent):
            self._fail("a second YAML document starts here; a file holds one")
        return root

    def _parse(self) -> Iterator[Event]:
        try:
            yield from YAML(typ="safe", pure=True).parse(self.text)
        except MarkedYAMLError as exc:
            mark = exc.problem_mark or exc.context_mark
            if mark is not None:
                self.last = self._place(mark.line, mark.column)
            self._fail_syntax(exc.problem or "it cannot be read")
        except ReaderError as exc:
            before = self.text[: exc.position]
            self.last = self._place(before.count("\n"), len(before) - before.rfind("\n") - 1)
            self._fail("a control character stands here; a file holds printable text alone")
        except (YAMLError, ValueError, OverflowError, IndexError, AttributeError, AssertionError):
            self._fail("what follows is not valid YAML")  # escapes such as "\UFFFFFFFF" overflow within the parser

    def _fail_syntax(self, problem: str) -> Never:
        if "'\\t'" in problem:
            self._fail("a tab stands here; YAML is indented with spaces alone", "replace each tab by two spaces")
        hint = _HINTS.get(problem, "")
        if problem.startswith("expected alphabetic or numeric character"):
            hint = _TEXT.format("* or &")
        if problem.startswith("found unknown escape character"):
            hint = "in double quotes a backslash begins an escape; use single quotes, such as '\\d+'"
        self._fail(f"is not valid YAML: {problem}", hint)

    def _next(self) -> Event:
        event = next(self.events)
        if event.start_mark is not None:
            self.last = self._place(event.start_mark.line, event.start_mark.column)
        return event

    def _place(self, line: int, column: int) -> SourcePosition:
        return SourcePosition(self.file, line + 1, column + 1) if self.lines else SourcePosition(self.file)

    def _node(self, event: Event, path: tuple[str, ...]) -> Node:
        if len(path) > DEEPEST:
            self._fail(f"is nested too deeply; {DEEPEST} levels are allowed")
        if isinstance(event, AliasEvent):
            return self._alias(event)
        self._count(1)
        anchor = event.anchor if isinstance(event, NodeEvent) else None
        if anchor:
            self.anchors[anchor] = None
        if isinstance(event, ScalarEvent):
            node: Node = self._scalar(event)
        elif isinstance(event, SequenceStartEvent):
            node = self._sequence(event, path)
        else:
            assert isinstance(event, MappingStartEvent)
            node = self._mapping(event, path)
        if anchor:
            self.anchors[anchor] = node
        return node

    def _alias(self, event: AliasEvent) -> Node:
        if event.anchor not in self.anchors:
            self._fail(f"no anchor named {quoted(str(event.anchor))} stands before this", _TEXT.format("*"))
        node = self.anchors[event.anchor]
        if node is None:
            self._fail(f"the alias {quoted(str(event.anchor))} stands within itself")
        self._count(node.size)
        return node

    def _scalar(self, event: ScalarEvent) -> ScalarNode:
        text, place = str(event.value), self.last
        self._check_tag(event)
        if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
            self._fail("the text holds a character that no program could be given (U+0000 or half a pair)")
        as_written = event.style is None and event.tag not in _STRING_TAGS
        return ScalarNode(place, text, resolve(text) if as_written else text)

    def _sequence(self, event: SequenceStartEvent, path: tuple[str, ...]) -> Items:
        place = self.last
        self._check_tag(event)
        items: list[Node] = []
        while not isinstance(item := self._next(), SequenceEndEvent):
            items.append(self._node(item, (*path, str(len(items)))))
        return Items(place, tuple(items), 1 + sum(node.size for node in items))

    def _mapping(self, event: MappingStartEvent, path: tuple[str, ...]) -> Entries:
        place, size = self.last, 1
        self._check_tag(event)
        found: dict[str, tuple[ScalarNode, Node]] = {}
        while not isinstance(item := self._next(), MappingEndEvent):
            key = self._node(item, (*path, ""))
            if not isinstance(key, ScalarNode):
                self.last = key.place
                self._fail("a key of a mapping must be a word, not a list or a mapping")
            here = (*path, key.text)
            value = self._node(self._next(), here)
            if isinstance(value, ScalarNode) and value.value is None and not value.text:
                value = ScalarNode(key.place, "", None)  # nothing stands there: the key does
            size += 1 + value.size
            first = found.setdefault(key.text, (key, value))[0]
            if first is not key:
                there = f" (first in line {first.place.line})" if first.place.line else ""
                self.report.add(key.place, ".".join(here), f"stands here twice{there}", "remove one of them")
        return Entries(place, tuple(found.values()), size)

    def _check_tag(self, event: ScalarEvent | SequenceStartEvent | MappingStartEvent) -> None:
        tag = event.tag
        if tag is not None and not (tag in (*_STRING_TAGS, *_PLAIN_TAGS) and isinstance(event, ScalarEvent)):
            message = f"the tag {quoted(str(tag))} is not allowed; those of single values are, such as !!str for text"
            self._fail(message, _TEXT.format("!"))

    def _count(self, nodes: int) -> None:
        self.size += nodes
        if self.size > MOST_NODES:
            self._fail(f"holds more than {MOST_NODES} values (aliases count as often as they are used)")

    def _fail(self, message: str, hint: str = "") -> Never:
        if self.report.crowded:
            self.report.found.clear()
        self.report.add(self.last, "", message, hint)
        raise self.report.error()
