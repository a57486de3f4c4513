"""Spans of the values of a YAML, JSON or TOML file: start and end offset of each single value by its dotted path."""

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
_MULTILINE_STRING = re.compile(r'''"""(?:[^\\]|\\.)*?"""+|\'\'\'.*?\'\'\'+''', re.DOTALL)
_BLANK = re.compile(r"(?:\s|#[^\n]*)*")
_MAX_SINGLE_CHECKS = 500
"""number of values that are verified one by one if verifying all at once fails"""


class Unreadable(ValueError):
    """The file is not valid YAML, JSON or TOML, as its extension says."""


def of_yaml(text: str) -> Spans:
    """Return the spans of a YAML file.

    Keys of merged mappings, keys without a colon and further documents are left out.
    """
    events = YAML(typ="safe", pure=True).parse(text)
    spans: Spans = {}
    try:
        for event in events:
            if isinstance(event, DocumentStartEvent):
                _yaml_node(next(events), (), events, text, spans)
                break
    except (YAMLError, StopIteration, ValueError) as exc:
        mark = exc.problem_mark if isinstance(exc, MarkedYAMLError) else None
        reason = (
            f"line {mark.line + 1}: {exc.problem}" if isinstance(exc, MarkedYAMLError) and mark else "not valid YAML"
        )
        raise Unreadable(reason) from exc
    return spans


def _yaml_node(event: Event, path: tuple[str, ...], events: Iterator[Event], text: str, spans: Spans) -> None:
    if isinstance(event, MappingStartEvent):
        while not isinstance(key := next(events), MappingEndEvent):
            name = str(key.value) if isinstance(key, ScalarEvent) else "?"
            if not isinstance(key, (ScalarEvent, AliasEvent)):
                _yaml_node(key, ("?",), events, text, {})
            value = next(events)
            _yaml_node(value, (*path, name), events, text, {} if name == "<<" else spans)
            if isinstance(value, ScalarEvent) and value.start_mark.index == value.end_mark.index:
                spans.pop(".".join((*path, name)), None)  # an empty value: the parser's mark is lines further down
                if colon := _COLON.match(text, key.end_mark.index):
                    spans[".".join((*path, name))] = (colon.end(), colon.end())
    elif isinstance(event, SequenceStartEvent):
        index = 0
        while not isinstance(item := next(events), SequenceEndEvent):
            _yaml_node(item, (*path, str(index)), events, text, spans)
            index += 1
    elif isinstance(event, (AliasEvent, ScalarEvent)):
        start = event.start_mark.index
        end = start + len(text[start : event.end_mark.index].rstrip())  # a block scalar ends with its last line
        properties = _PROPERTIES.match(text, start, end)
        spans[".".join(path)] = (properties.end() if properties else start, end)


def of_json(text: str) -> Spans:
    """Return the spans of a JSON file."""
    spans: Spans = {}
    try:
        json.loads(text)
        _json_node(text, _skip(text, 0), (), spans)
    except (ValueError, RecursionError) as exc:
        raise Unreadable(str(exc)) from exc
    return spans


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _json_node(text: str, at: int, path: tuple[str, ...], spans: Spans) -> int:
    """Record the span of the value at `at` in valid JSON. Returns the offset of its end."""
    if text[at] not in "{[":
        _, end = json.JSONDecoder().raw_decode(text, at)
        spans[".".join(path)] = (at, end)
        return end
    named, index = text[at] == "{", 0
    at = _skip(text, at + 1)
    while text[at] not in "}]":
        name = str(index)
        if named:
            name, at = json.JSONDecoder().raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)
        at = _skip(text, _json_node(text, at, (*path, name), spans))
        index += 1
        if text[at] == ",":
            at = _skip(text, at + 1)
    return at + 1


def of_toml(text: str) -> Spans:
    """Return the spans of a TOML file."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        raise Unreadable(str(exc)) from exc
    candidates = _toml_candidates(text)
    if not _spans_match(text, candidates, document):
        unverified = list(candidates.items())[:_MAX_SINGLE_CHECKS]
        candidates = {path: span for path, span in unverified if _spans_match(text, {path: span}, document)}
    return {".".join(path): span for path, span in candidates.items()}


_Paths = dict[tuple[str, ...], tuple[int, int]]


def _toml_candidates(text: str) -> _Paths:
    spans: _Paths = {}
    table: tuple[str, ...] = ()
    lengths: dict[tuple[str, ...], int] = {}
    """length of each array of tables so far, `[[layers]]`"""
    at = _skip_blank(text, 0)
    while at < len(text):
        header, pair, end = _TABLE.match(text, at), _PAIR.match(text, at), None
        if header:
            table, end = _toml_table(_keys(header[2]), bool(header[1]), lengths), header.end()
        elif pair:
            end = _toml_node(text, pair.end(), (*table, *_keys(pair[1])), spans)
        at = (text.find("\n", at) + 1 or len(text)) if end is None else end
        at = _skip_blank(text, at)
    return spans


def _toml_table(keys: tuple[str, ...], listed: bool, lengths: dict[tuple[str, ...], int]) -> tuple[str, ...]:
    """Return the path of a table, with its index in each array of tables that contains it."""
    path: tuple[str, ...] = ()
    for number, key in enumerate(keys, 1):
        path = (*path, key)
        if listed and number == len(keys):
            lengths[path] = lengths.get(path, 0) + 1
        if path in lengths:
            path = (*path, str(lengths[path] - 1))
    return path


def _toml_node(text: str, at: int, path: tuple[str, ...], spans: _Paths) -> int | None:
    """Record the span of the value at `at`. Returns the offset of its end, or None if that is unknown."""
    if text[at : at + 1] not in ("[", "{"):
        value = _MULTILINE_STRING.match(text, at) or _VALUE.match(text, at)
        if value:
            spans[path] = value.span()
        return value.end() if value else None
    closing, index = "]" if text[at] == "[" else "}", 0
    at = _skip_blank(text, at + 1)
    while text[at : at + 1] != closing:
        name: tuple[str, ...] = (str(index),)
        if closing == "}":
            pair = _PAIR.match(text, at)
            if pair is None:
                return None
            name, at = _keys(pair[1]), pair.end()
        end = _toml_node(text, at, (*path, *name), spans)
        if end is None:
            return None
        at, index = _skip_blank(text, end), index + 1
        if text[at : at + 1] == ",":
            at = _skip_blank(text, at + 1)
        elif text[at : at + 1] != closing:
            return None
    return at + 1


def _skip_blank(text: str, at: int) -> int:
    """Return the offset after whitespace, line ends and comments."""
    spans = _BLANK.match(text, at)
    return spans.end() if spans else at


def _keys(text: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in re.findall(_KEY, text))


def _spans_match(text: str, candidates: _Paths, document: dict[str, Any]) -> bool:
    """Return True if replacing the text at the spans changes the values of exactly those paths."""
    marks = {path: f"orchestune-was-here-{number}" for number, path in enumerate(candidates)}
    parts, position = [], 0
    for path, (start, end) in sorted(candidates.items(), key=lambda item: item[1]):
        parts += [text[position:start], f'"{marks[path]}"']
        position = end
    try:
        changed = tomllib.loads("".join((*parts, text[position:])))
    except tomllib.TOMLDecodeError:
        return False
    old_values, new_values = dict(_leaves(document, ())), dict(_leaves(changed, ()))
    return old_values.keys() == new_values.keys() >= marks.keys() and all(
        value == repr(marks[path]) if path in marks else value == old_values[path] for path, value in new_values.items()
    )


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield every single value as source text, by its path."""
    if isinstance(value, (dict, list)) and value:
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in pairs:
            yield from _leaves(inner, (*path, str(key)))
    else:
        yield path, repr(value)


READERS: dict[str, Callable[[str], Spans]] = {
    ".yml": of_yaml, ".yaml": of_yaml, ".json": of_json, ".toml": of_toml,
}  # fmt: skip
"""by file extension"""
