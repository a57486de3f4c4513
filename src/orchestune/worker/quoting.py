"""Quotes values for a shell command, depending on the context in which each placeholder appears.

Contexts that POSIX leaves to the shell, or in which a value would be interpreted in spite of quoting, are rejected with
a reason. dash, bash and busybox agree on all others.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from functools import lru_cache
from itertools import takewhile
from typing import NamedTuple

MARK = "\0"
"""placeholder of a value in the parsed text; no command can contain NUL"""

_COMMANDS = ("", "(", "$(", "case", "pattern", "body")
"""frames that contain commands; the last three belong to `case`: its word, its patterns and their commands"""
_WORD = re.compile(r"[^\s;&|()<>'\"\\`$\0]+")
_GO_ON = frozenset(("!", "{", "}", "if", "then", "elif", "else", "while", "until", "do", "time", "fi", "done", "esac"))
"""reserved words after which another reserved word may follow"""
_BACKTICKS = re.compile(r"`(?:[^`\\]|\\.)*`?", re.DOTALL)
_DELIMITER = re.compile(r"<<(-?)[ \t]*((?:'[^'\0]*'|\"[^\"\\$`\0]*\"|\\[^\n\0]|[^\s;&|()<>'\"\\`$\0])+)")
_EXPANSION = re.compile(r"\$\{(?:#?\w+|[@*#?$!-])(:?[-=+?])?")
_NUMBER = re.compile(r"(?:[-+]?[0-9][0-9.]*(?:e[-+]?[0-9]+)?)?")
_VARIABLE = re.compile(r"(?<!\\)\$[A-Za-z_]\w*$", re.ASCII)
_OLD_ARITHMETIC = re.compile(r"\$\[[^\]]*$")

_BRACES = "within ${…}; put it into a variable before, and the variable in there"
_UNCLEAR = "behind what shells read in different ways; put it into a variable at the beginning"


class QuoteContext(NamedTuple):
    """Context of a placeholder. `kind`: empty between words, or `'`, `"`, `#` (comment), `((`, here-doc `<<`, `<<'`."""

    kind: str
    wrong: str = ""
    """reason and hint if no value can be quoted there, otherwise empty"""


class HereDocument(NamedTuple):
    """Position of a here-document in the text, and the line that ends it."""

    start: int
    end: int
    delimiter: str
    tabs: bool
    """`<<-`: leading tabs are ignored"""
    raw: bool
    """quoted delimiter: nothing is expanded"""


class ParsedCommand(NamedTuple):
    """A parsed command: `text` with a `MARK` for each value, and the contexts of these."""

    text: str
    places: Sequence[QuoteContext]
    bodies: Sequence[HereDocument]

    def filled(self, values: Sequence[str]) -> str:
        """Return the text with `values`, already quoted. Raises ValueError if one would end a here-document."""
        for body in self.bodies:
            inner, before = self.text[body.start : body.end], self.text.count(MARK, 0, body.start)
            if MARK in inner and _end(_fill(inner, values[before:]), 0, body) is not None:
                raise ValueError(f"a value would end the here-document: one of its lines would be {body.delimiter}")
        return _fill(self.text, values)


def _fill(text: str, values: Sequence[str]) -> str:
    first, *rest = text.split(MARK)
    return first + "".join(value + part for value, part in zip(values, rest))


def written(words: Sequence[str], place: QuoteContext, text: str) -> str:
    """Quote `words` for a place; inside quotes the joined `text` is used. Raises ValueError if `((` gets no number."""
    if place.kind == "((":
        if not _NUMBER.fullmatch(text):
            raise ValueError(f"within $((…)) a value must be a number, not {text!r}")
        return text
    if place.kind in ("", "#"):
        joined = " ".join(shlex.quote(word) for word in words)
        return joined.replace("\n", " ") if place.kind else joined
    if place.kind == "<<'":
        return text
    if place.kind == "'":
        return text.replace("'", "'\\''")
    return re.sub(r'([\\"$`])' if place.kind == '"' else r"([\\$`])", r"\\\1", text)


@lru_cache(maxsize=16)  # the same command for every trial
def read(text: str) -> ParsedCommand:
    """Parse a shell command and return the place of each `MARK`."""
    reader = _Reader(text)
    try:
        reader.read(0, len(text))
    except _Unclear:
        reader.places += [QuoteContext("", _UNCLEAR)] * (text.count(MARK) - len(reader.places))
    return ParsedCommand(text, reader.places, reader.bodies)


class _Unclear(Exception):
    """Shells disagree on how to parse the rest."""


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.places: list[QuoteContext] = []
        self.bodies: list[HereDocument] = []
        self._frames = [""]
        self._awaited: list[tuple[int, HereDocument]] = []
        """here-documents that begin on the next line, with their depth of command substitution"""
        self._starts = self._first = True
        """a word begins here; it may be a reserved word"""

    def read(self, index: int, end: int) -> None:
        while index < end:
            char, kind = self.text[index], self._frames[-1]
            if char == "\\":
                index = self._escaped(index)
            elif char == MARK:
                index = self._marked(index, index + 1, {"<<": "<<", '"': '"', "((": "((", "(a": "(("}.get(kind, ""))
            elif char == "$":
                index = self._dollar(index, kind)
            elif char == "`":
                found = _BACKTICKS.match(self.text, index)
                index = self._refused(index, found.end() if found else end, "within `…`; write $(…) instead")
            elif kind in _COMMANDS:
                index = self._command(index, char)
            else:
                index = self._within(index, char, kind)
        if index > end:
            raise _Unclear

    def _marked(self, start: int, end: int, kind: str) -> int:
        """Record the places of the marks between `start` and `end`, which are in context `kind`."""
        inner = list(takewhile(lambda frame: frame != "$(", reversed(self._frames)))
        for index in range(start, end):
            if self.text[index] != MARK:
                continue
            before = self.text[:index]
            expanded = kind not in ("'", "<<'", "#")
            variable = _VARIABLE.search(before) if expanded else None
            wrong = _BRACES if any("{" in frame for frame in inner) else ""
            if variable is not None:
                name = variable.group(0)[1:]
                wrong = f"directly behind ${name}, whose name it would go on; write ${{{name}}}"
            elif expanded and _OLD_ARITHMETIC.search(before):
                wrong = "within $[…], which not every shell knows; write $((…)) instead"
            self.places.append(QuoteContext(kind, wrong))
        self._starts = self._first = False
        return end

    def _refused(self, start: int, end: int, wrong: str) -> int:
        self.places += [QuoteContext("", wrong)] * self.text.count(MARK, start, end)
        self._starts = self._first = False
        return end

    def _escaped(self, index: int) -> int:
        if self.text.startswith("\\\n", index):
            return index + 2
        return self._refused(index, index + 2, "behind a backslash; leave that out")

    def _dollar(self, index: int, kind: str) -> int:
        text = self.text
        if text.startswith("$((", index):
            self._frames.append("((")
            return index + 3
        if text.startswith("$(", index):
            self._open("$(")
            return index + 2
        self._starts = self._first = False
        if text.startswith("$'", index) and (kind in _COMMANDS or kind == "{"):
            end = self._closed(index + 2)
            if text[end - 2] == "\\":
                raise _Unclear
            return self._refused(index, end, "within $'…', which not every shell knows; write '…' instead")
        found = _EXPANSION.match(text, index)
        if found is None:
            return index + 1
        quoted = kind not in _COMMANDS and kind != "{"
        self._frames.append(("{text" if found.group(1) else "{pattern") if quoted else "{")
        return found.end()

    def _closed(self, index: int) -> int:
        end = self.text.find("'", index)
        return len(self.text) if end < 0 else end + 1

    def _open(self, frame: str) -> None:
        self._frames.append(frame)
        self._starts = self._first = True

    def _within(self, index: int, char: str, kind: str) -> int:
        """Consume one character outside of commands: in quotes, `${…}`, `$((…))` or a here-document."""
        arithmetic, braces = kind in ("((", "(a"), kind.startswith("{")
        if char == '"' and (braces or kind == '"'):
            self._frames.pop() if kind == '"' else self._frames.append('"')
        elif char == "'" and kind == "{":
            return self._marked(index, self._closed(index + 1), "'")
        elif char == "'" and kind == "{pattern":
            raise _Unclear
        elif char == "}" and braces:
            self._frames.pop()
        elif arithmetic and char == "(":
            self._frames.append("(a")
        elif arithmetic and char == ")":
            self._frames.pop()
            if kind == "((" and not self.text.startswith("))", index):
                raise _Unclear
            return index + (2 if kind == "((" else 1)
        return index + 1

    def _command(self, index: int, char: str) -> int:
        text = self.text
        if char == "'":
            return self._marked(index, self._closed(index + 1), "'")
        if char == '"':
            self._frames.append(char)
            self._starts = self._first = False
            return index + 1
        if char == "#" and self._starts:
            newline = text.find("\n", index)
            return self._marked(index, len(text) if newline < 0 else newline, "#")
        found = _WORD.match(text, index)
        if found is not None:
            self._word(found)
            return found.end()
        self._starts = True
        if char == "\n" and self._awaited:
            return self._here(index + 1)
        if text.startswith("<<", index):
            return self._announced(index)
        return self._between(index, char)

    def _word(self, found: re.Match[str]) -> None:
        kind, first, word = self._frames[-1], self._first, found.group(0)
        alone = self._starts and self.text[found.end() : found.end() + 1] not in tuple("'\"\\`$\0")
        self._starts = self._first = False
        if not alone:
            return
        if kind == "case":
            if word == "in" and not first:
                self._frames[-1], self._first = "pattern", True
        elif first and word == "esac" and kind in ("pattern", "body"):
            self._frames.pop()
            self._first = True
        elif first and word == "case" and kind != "pattern":
            self._frames.append("case")
            self._first = True
        elif first and kind != "pattern":
            self._first = word in _GO_ON

    def _between(self, index: int, char: str) -> int:
        """Consume one character between words."""
        kind = self._frames[-1]
        if char == "(":
            if kind != "pattern":
                self._open("(")
            elif not self._first:
                raise _Unclear
        elif char == ")":
            self._closing(kind)
        elif kind == "body" and self.text.startswith((";;", ";&"), index):
            self._frames[-1], self._first = "pattern", True
            return index + (3 if self.text.startswith(";;&", index) else 2)
        elif char in "\n;&|" and kind not in ("case", "pattern"):
            self._first = True
        return index + 1

    def _closing(self, kind: str) -> None:
        if kind == "pattern":
            self._frames[-1], self._first = "body", True
        elif kind == "(":
            self._frames.pop()
            self._first = True
        elif kind == "$(":
            if self._awaited and self._awaited[-1][0] == self._depth():
                raise _Unclear
            self._frames.pop()
            self._starts = self._first = False
        else:
            raise _Unclear

    def _depth(self) -> int:
        return self._frames.count("$(")

    def _announced(self, index: int) -> int:
        """Parse the operator of a here-document, whose text begins on the next line."""
        if self.text.startswith("<<<", index):
            return index + 3
        found = _DELIMITER.match(self.text, index)
        if found is None or self.text[found.end() : found.end() + 1] in tuple("'\"\\`$\0"):
            raise _Unclear
        word = re.sub(r"['\"\\]", "", found.group(2))
        self._awaited.append((self._depth(), HereDocument(0, 0, word, bool(found.group(1)), word != found.group(2))))
        self._starts = self._first = False
        return found.end()

    def _here(self, index: int) -> int:
        awaited, self._awaited = self._awaited, []
        for depth, body in awaited:
            found = _end(self.text, index, body)
            if found is None or depth != self._depth():
                raise _Unclear
            end, after = found
            self.bodies.append(body._replace(start=index, end=end))
            if body.raw:
                self._marked(index, end, "<<'")
            else:
                frames, self._frames = self._frames, ["<<"]
                self.read(index, end)
                if self._frames != ["<<"]:
                    raise _Unclear
                self._frames = frames
            index = after
        self._starts = self._first = True
        return index


def _end(text: str, index: int, body: HereDocument) -> tuple[int, int] | None:
    """Return start and end of the delimiter line of the here-document that begins at `index`; None if it is missing."""
    joined = False
    while index < len(text):
        newline = text.find("\n", index)
        after = len(text) if newline < 0 else newline + 1
        line = text[index:after].rstrip("\n")
        if not joined and (line.lstrip("\t") if body.tabs else line) == body.delimiter:
            return index, after
        joined = not body.raw and (len(line) - len(line.rstrip("\\"))) % 2 == 1
        index = after
    return None
