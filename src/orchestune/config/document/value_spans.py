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
_COLON = re.compile(r"\s*:")
_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_KEYS = rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*"
_TABLE = re.compile(rf"\[(\[)?[ \t]*({_KEYS})[ \t]*\](?(1)\])")
_PAIR = re.compile(rf"({_KEYS})[ \t]*=[ \t]*")
_VALUE = re.compile(r""""(?:[^"\\\n]|\\.)*"|'[^'\n]*'|(?:\d{4}-\d\d-\d\d (?=\d))?[^\s#\[\]{},"']+""")
_LONG = re.compile(r'''"""(?:[^\\]|\\.)*?"""+|\'\'\'.*?\'\'\'+''', re.DOTALL)
_BETWEEN = re.compile(r"(?:\s|#[^\n]*)*")
_ALONE = 500
"""so many values are looked at one by one where they cannot be all at once"""


class Unreadable(ValueError):
    """The file is not what its name says."""


def of_yaml(text: str) -> Spans:
    """The values of a YAML file. Keys of merged mappings, keys without a colon and further documents are left out."""
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
            _yaml_node(value, (*path, name), events, text, {} if name == "<<" else found)
            if isinstance(value, ScalarEvent) and value.start_mark.index == value.end_mark.index:
                found.pop(".".join((*path, name)), None)  # nothing stands there: the parser is lines further on
                if colon := _COLON.match(text, key.end_mark.index):
                    found[".".join((*path, name))] = (colon.end(), colon.end())
    elif isinstance(event, SequenceStartEvent):
        index = 0
        while not isinstance(item := next(events), SequenceEndEvent):
            _yaml_node(item, (*path, str(index)), events, text, found)
            index += 1
    elif isinstance(event, (AliasEvent, ScalarEvent)):
        start = event.start_mark.index
        end = start + len(text[start : event.end_mark.index].rstrip())  # a block of text ends with its line
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
    """The values of a TOML file."""
    try:
        whole = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        raise Unreadable(str(exc)) from exc
    candidates = _toml_candidates(text)
    if not _stand_for(text, candidates, whole):
        known = list(candidates.items())[:_ALONE]
        candidates = {path: span for path, span in known if _stand_for(text, {path: span}, whole)}
    return {".".join(path): span for path, span in candidates.items()}


_Paths = dict[tuple[str, ...], tuple[int, int]]


def _toml_candidates(text: str) -> _Paths:
    found: _Paths = {}
    table: tuple[str, ...] = ()
    lengths: dict[tuple[str, ...], int] = {}
    """of the lists of tables so far, `[[layers]]`"""
    at = _between(text, 0)
    while at < len(text):
        header, pair, end = _TABLE.match(text, at), _PAIR.match(text, at), None
        if header:
            table, end = _toml_table(_keys(header[2]), bool(header[1]), lengths), header.end()
        elif pair:
            end = _toml_node(text, pair.end(), (*table, *_keys(pair[1])), found)
        at = (text.find("\n", at) + 1 or len(text)) if end is None else end
        at = _between(text, at)
    return found


def _toml_table(keys: tuple[str, ...], listed: bool, lengths: dict[tuple[str, ...], int]) -> tuple[str, ...]:
    """The path of a table, with the index in each list of tables that it stands in."""
    path: tuple[str, ...] = ()
    for number, key in enumerate(keys, 1):
        path = (*path, key)
        if listed and number == len(keys):
            lengths[path] = lengths.get(path, 0) + 1
        if path in lengths:
            path = (*path, str(lengths[path] - 1))
    return path


def _toml_node(text: str, at: int, path: tuple[str, ...], found: _Paths) -> int | None:
    """Note what begins at `at`; where it ends, or None where that cannot be told."""
    if text[at : at + 1] not in ("[", "{"):
        value = _LONG.match(text, at) or _VALUE.match(text, at)
        if value:
            found[path] = value.span()
        return value.end() if value else None
    closing, index = "]" if text[at] == "[" else "}", 0
    at = _between(text, at + 1)
    while text[at : at + 1] != closing:
        name: tuple[str, ...] = (str(index),)
        if closing == "}":
            pair = _PAIR.match(text, at)
            if pair is None:
                return None
            name, at = _keys(pair[1]), pair.end()
        end = _toml_node(text, at, (*path, *name), found)
        if end is None:
            return None
        at, index = _between(text, end), index + 1
        if text[at : at + 1] == ",":
            at = _between(text, at + 1)
        elif text[at : at + 1] != closing:
            return None
    return at + 1


def _between(text: str, at: int) -> int:
    """Behind space, line ends and comments."""
    found = _BETWEEN.match(text, at)
    return found.end() if found else at


def _keys(text: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in re.findall(_KEY, text))


def _stand_for(text: str, candidates: _Paths, whole: dict[str, Any]) -> bool:
    """Whether other texts at the spans change the values of those paths and nothing else."""
    marks = {path: f"orchestune-was-here-{number}" for number, path in enumerate(candidates)}
    parts, position = [], 0
    for path, (start, end) in sorted(candidates.items(), key=lambda item: item[1]):
        parts += [text[position:start], f'"{marks[path]}"']
        position = end
    try:
        changed = tomllib.loads("".join((*parts, text[position:])))
    except tomllib.TOMLDecodeError:
        return False
    before, after = dict(_leaves(whole, ())), dict(_leaves(changed, ()))
    return before.keys() == after.keys() >= marks.keys() and all(
        value == repr(marks[path]) if path in marks else value == before[path] for path, value in after.items()
    )


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every single value as it is written, by its path."""
    if isinstance(value, (dict, list)) and value:
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in pairs:
            yield from _leaves(inner, (*path, str(key)))
    else:
        yield path, repr(value)


READERS: dict[str, Callable[[str], Spans]] = {
    ".yml": of_yaml, ".yaml": of_yaml, ".json": of_json, ".toml": of_toml,
}  # fmt: skip
"""by the ending of the file's name"""
