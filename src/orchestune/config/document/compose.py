"""Parse YAML text into a tree of nodes with positions; reject everything that an experiment file cannot be."""

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

MAX_NODES = 50_000
MAX_DEPTH = 32
_STRING_TAGS = ("!", "tag:yaml.org,2002:str")
_PLAIN_TAGS = ("tag:yaml.org,2002:float", "tag:yaml.org,2002:int", "tag:yaml.org,2002:bool", "tag:yaml.org,2002:null")
"""tags that state the type a plain scalar has anyway: files for older parsers have `!!float 1e-5`"""
_HINTS = {
    "mapping values are not allowed here": "quote values that contain ': ', and check the indentation",
    "could not find expected ':'": "each line of a mapping is `key: value`",
    "found character '@' that cannot start any token": "quote the value",
    "found character '`' that cannot start any token": "quote the value",
    "found character '%' that cannot start any token": "quote the value",
}

_NOT_PLAIN = ("'", '"', "|", ">", "!", "&")
"""first characters of values that are not plain scalars"""
_QUOTE_HINT = "quote text that starts with {}"


def compose(text: str, file: str, report: ProblemReport, *, lines: bool = True) -> Node:
    """Parse the single document in `text`. Raises BadInput if it is not YAML; duplicate keys are added to the report.

    Without `lines`, positions name only the file (for a value from the command line).
    """
    return _Composer(text, file, report, lines).document()


def compose_value(text: str, file: str, report: ProblemReport) -> Node | None:
    """Parse a value from the command line. An unquoted value is taken whole: it has no comments and no folded lines.

    Returns None if it is not YAML; the problem is in the report.
    """
    try:
        node = compose(text, file, report, lines=False)
    except BadInput:  # already in the report
        return None
    source = text.strip()
    if isinstance(node, ScalarNode) and node.text != source and not source.startswith(_NOT_PLAIN):
        return ScalarNode(node.position, source, source)
    if _count_hashes(node) >= text.count("#"):
        return node
    report.add(node.position, "", "contains a '#', which starts a comment in YAML", "quote text that contains '#'")
    return None


def _count_hashes(node: Node) -> int:
    """Return the number of `#` characters within the values of a tree."""
    if isinstance(node, ScalarNode):
        return node.text.count("#")
    if isinstance(node, Items):
        return sum(map(_count_hashes, node.items))
    return sum(key.text.count("#") + _count_hashes(value) for key, value in node.entries)


class _Composer:
    def __init__(self, text: str, file: str, report: ProblemReport, lines: bool) -> None:
        self.text, self.file, self.report, self.lines = text, file, report, lines
        self.last = self._position(0, 0)
        self.anchors: dict[str, Node | None] = {}  # None while the anchored node is incomplete
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
            self._fail("a second YAML document starts here (expected one document)")
        return root

    def _parse(self) -> Iterator[Event]:
        try:
            yield from YAML(typ="safe", pure=True).parse(self.text)
        except MarkedYAMLError as exc:
            mark = exc.problem_mark or exc.context_mark
            if mark is not None:
                self.last = self._position(mark.line, mark.column)
            self._fail_syntax(exc.problem or "syntax error")
        except ReaderError as exc:
            before = self.text[: exc.position]
            self.last = self._position(before.count("\n"), len(before) - before.rfind("\n") - 1)
            self._fail("invalid control character (expected printable text)")
        except (YAMLError, ValueError, OverflowError, IndexError, AttributeError, AssertionError):
            self._fail("not valid YAML from here")  # escapes such as "\UFFFFFFFF" overflow within the parser

    def _fail_syntax(self, problem: str) -> Never:
        if "'\\t'" in problem:
            self._fail("tab used for indentation (YAML allows only spaces)", "replace each tab with two spaces")
        hint = _HINTS.get(problem, "")
        if problem.startswith("expected alphabetic or numeric character"):
            hint = _QUOTE_HINT.format("* or &")
        if problem.startswith("found unknown escape character"):
            hint = "a backslash starts an escape sequence in double quotes; use single quotes, such as '\\d+'"
        self._fail(f"not valid YAML: {problem}", hint)

    def _next(self) -> Event:
        event = next(self.events)
        if event.start_mark is not None:
            self.last = self._position(event.start_mark.line, event.start_mark.column)
        return event

    def _position(self, line: int, column: int) -> SourcePosition:
        return SourcePosition(self.file, line + 1, column + 1) if self.lines else SourcePosition(self.file)

    def _node(self, event: Event, path: tuple[str, ...]) -> Node:
        if len(path) > MAX_DEPTH:
            self._fail(f"nested too deeply (maximum {MAX_DEPTH} levels)")
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
            self._fail(
                f"undefined alias {quoted(str(event.anchor))} (no such anchor before this line)",
                _QUOTE_HINT.format("*"),
            )
        node = self.anchors[event.anchor]
        if node is None:
            self._fail(f"the alias {quoted(str(event.anchor))} refers to a value that contains it")
        self._count(node.size)
        return node

    def _scalar(self, event: ScalarEvent) -> ScalarNode:
        text, position = str(event.value), self.last
        self._check_tag(event)
        if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
            self._fail("invalid character in text (U+0000 or a lone surrogate)")
        as_written = event.style is None and event.tag not in _STRING_TAGS
        return ScalarNode(position, text, resolve(text) if as_written else text)

    def _sequence(self, event: SequenceStartEvent, path: tuple[str, ...]) -> Items:
        position = self.last
        self._check_tag(event)
        items: list[Node] = []
        while not isinstance(item := self._next(), SequenceEndEvent):
            items.append(self._node(item, (*path, str(len(items)))))
        return Items(position, tuple(items), 1 + sum(node.size for node in items))

    def _mapping(self, event: MappingStartEvent, path: tuple[str, ...]) -> Entries:
        position, size = self.last, 1
        self._check_tag(event)
        entries: dict[str, tuple[ScalarNode, Node]] = {}
        while not isinstance(item := self._next(), MappingEndEvent):
            key = self._node(item, (*path, ""))
            if not isinstance(key, ScalarNode):
                self.last = key.position
                self._fail("a mapping key must be a single value, not a list or a mapping")
            key_path = (*path, key.text)
            value = self._node(self._next(), key_path)
            if isinstance(value, ScalarNode) and value.value is None and not value.text:
                value = ScalarNode(key.position, "", None)  # an empty value has no position of its own: use the key's
            size += 1 + value.size
            first = entries.setdefault(key.text, (key, value))[0]
            if first is not key:
                first_line = f" (first on line {first.position.line})" if first.position.line else ""
                self.report.add(key.position, ".".join(key_path), f"duplicate key{first_line}", "remove one of them")
        return Entries(position, tuple(entries.values()), size)

    def _check_tag(self, event: ScalarEvent | SequenceStartEvent | MappingStartEvent) -> None:
        tag = event.tag
        if tag is not None and not (tag in (*_STRING_TAGS, *_PLAIN_TAGS) and isinstance(event, ScalarEvent)):
            message = f"tag {quoted(str(tag))} is not allowed (expected a scalar tag such as !!str)"
            self._fail(message, _QUOTE_HINT.format("!"))

    def _count(self, nodes: int) -> None:
        self.size += nodes
        if self.size > MAX_NODES:
            self._fail(f"more than {MAX_NODES} values (each use of an alias counts)")

    def _fail(self, message: str, hint: str = "") -> Never:
        if self.report.crowded:
            self.report.clear()
        self.report.add(self.last, "", message, hint)
        raise self.report.error()
