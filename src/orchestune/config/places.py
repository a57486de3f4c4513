"""Where the values of a YAML, JSON or TOML file stand: the span of each single value by its path with dots."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

Spans = dict[str, tuple[int, int]]
_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)+")
_SPACE = re.compile(r"[ \t\r\n]*")
_TABLE = re.compile(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?")
_PAIR = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=\s*""")
_VALUE = re.compile(r""""(?!"")(?:[^"\\]|\\.)*"|'(?!'')[^']*'|[^\s#\[{"']+""")


class Unreadable(ValueError):
    """The file is not what its name says."""


def of_yaml(text: str) -> Spans:
    """The values of a YAML file. Blocks of text, keys of merged mappings and further documents are left out."""
    events = YAML(typ="safe", pure=True).parse(text)
    found: Spans = {}
    try:
        for event in events:
            if isinstance(event, DocumentStartEvent):
                _yaml_node(next(events), (), events, text, found)
                break
    except (YAMLError, StopIteration, ValueError) as exc:
        mark = exc.problem_mark if isinstance(exc, MarkedYAMLError) else None
        where = f"line {mark.line + 1}: {exc.problem}" if isinstance(exc, MarkedYAMLError) and mark else "no valid YAML"
        raise Unreadable(where) from exc
    return found


def _yaml_node(event: Event, path: tuple[str, ...], events: Iterator[Event], text: str, found: Spans) -> None:
    if isinstance(event, MappingStartEvent):
        while not isinstance(key := next(events), MappingEndEvent):
            name = str(key.value) if isinstance(key, ScalarEvent) else "?"
            if not isinstance(key, (ScalarEvent, AliasEvent)):
                _yaml_node(key, ("?",), events, text, {})
            value = next(events)
            _yaml_node(value, (*path, name), events, text, found)
            if isinstance(value, ScalarEvent) and value.start_mark.index == value.end_mark.index:
                after = text.index(":", key.end_mark.index) + 1  # nothing stands there: the parser is lines further on
                found[".".join((*path, name))] = (after, after)
    elif isinstance(event, SequenceStartEvent):
        index = 0
        while not isinstance(item := next(events), SequenceEndEvent):
            _yaml_node(item, (*path, str(index)), events, text, found)
            index += 1
    elif isinstance(event, AliasEvent) or (isinstance(event, ScalarEvent) and event.style not in ("|", ">")):
        start, end = event.start_mark.index, event.end_mark.index
        properties = _PROPERTIES.match(text, start, end)
        found[".".join(path)] = (properties.end() if properties else start, end)


def of_json(text: str) -> Spans:
    """The values of a JSON file."""
    found: Spans = {}
    try:
        json.loads(text)
        _json_node(text, _skip(text, 0), (), found)
    except (ValueError, RecursionError) as exc:
        raise Unreadable(str(exc)) from exc
    return found


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _json_node(text: str, at: int, path: tuple[str, ...], found: Spans) -> int:
    """Note what begins at `at`; where it ends. The text is known to be right."""
    if text[at] not in "{[":
        _, end = json.JSONDecoder().raw_decode(text, at)
        found[".".join(path)] = (at, end)
        return end
    named, index = text[at] == "{", 0
    at = _skip(text, at + 1)
    while text[at] not in "}]":
        name = str(index)
        if named:
            name, at = json.JSONDecoder().raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)
        at = _skip(text, _json_node(text, at, (*path, name), found))
        index += 1
        if text[at] == ",":
            at = _skip(text, at + 1)
    return at + 1


def of_toml(text: str) -> Spans:
    """The values of a TOML file that stand alone on their line; of those in arrays and in braces there are none."""
    try:
        whole = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise Unreadable(str(exc)) from exc
    table: tuple[str, ...] | None = ()
    candidates: dict[tuple[str, ...], tuple[int, int]] = {}
    position = 0
    for line in text.splitlines(keepends=True):
        header, pair = _TABLE.fullmatch(line.rstrip("\r\n")), _PAIR.match(line)
        if line.lstrip().startswith("["):
            table = _keys(header[1]) if header else None
        elif pair and table is not None:
            value = _VALUE.match(line, pair.end())
            if value:
                candidates[(*table, *_keys(pair[1]))] = (position + value.start(), position + value.end())
        position += len(line)
    return {".".join(path): span for path, span in candidates.items() if _stands_for(text, span, path, whole)}


def _keys(text: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in re.findall(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""", text))


def _stands_for(text: str, span: tuple[int, int], path: tuple[str, ...], whole: dict[str, Any]) -> bool:
    """Whether another text at the span changes the value of that path and nothing else (it might be in a comment)."""
    mark = "orchestune-was-here"
    try:
        changed = tomllib.loads(f'{text[: span[0]]}"{mark}"{text[span[1] :]}')
    except tomllib.TOMLDecodeError:
        return False
    one: Any = changed
    other: Any = whole
    for name in path[:-1]:
        one, other = one.get(name), other.get(name)
        if not isinstance(one, dict) or not isinstance(other, dict):
            return False
    if one.get(path[-1]) != mark or path[-1] not in other:
        return False
    one[path[-1]] = other[path[-1]]
    return changed == whole


READERS: dict[str, Callable[[str], Spans]] = {
    ".yml": of_yaml, ".yaml": of_yaml, ".json": of_json, ".toml": of_toml,
}  # fmt: skip
"""by the ending of the file's name"""
