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
_BEFORE_COMMAND = frozenset(
    ("!", "{", "}", "if", "then", "elif", "else", "while", "until", "do", "time", "fi", "done", "esac")
)
"""reserved words after which another reserved word may follow"""
_BACKTICKS = re.compile(r"`(?:[^`\\]|\\.)*`?", re.DOTALL)
_DELIMITER = re.compile(r"<<(-?)[ \t]*((?:'[^'\0]*'|\"[^\"\\$`\0]*\"|\\[^\n\0]|[^\s;&|()<>'\"\\`$\0])+)")
_EXPANSION = re.compile(r"\$\{(?:#?\w+|[@*#?$!-])(:?[-=+?])?")
_NUMBER = re.compile(r"(?:[-+]?[0-9][0-9.]*(?:e[-+]?[0-9]+)?)?")
_VARIABLE = re.compile(r"(?<!\\)\$[A-Za-z_]\w*$", re.ASCII)
_OLD_ARITHMETIC = re.compile(r"\$\[[^\]]*$")

_BRACES = "within ${…}; assign it to a variable first, and use the variable there"
_UNCLEAR = "after syntax that shells parse differently; assign it to a variable at the beginning"


class QuoteContext(NamedTuple):
    """Context of a placeholder. `kind`: empty between words, or `'`, `"`, `#` (comment), `((`, here-doc `<<`, `<<'`."""

    kind: str
    problem: str = ""
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
    contexts: Sequence[QuoteContext]
    here_documents: Sequence[HereDocument]

    def filled(self, values: Sequence[str]) -> str:
        """Return the text with `values`, already quoted. Raises ValueError if one would end a here-document."""
        for body in self.here_documents:
            content, first = self.text[body.start : body.end], self.text.count(MARK, 0, body.start)
            if MARK in content and _delimiter_line(_join_values(content, values[first:]), 0, body) is not None:
                raise ValueError(f"a value would end the here-document: one of its lines would be {body.delimiter}")
        return _join_values(self.text, values)


def _join_values(text: str, values: Sequence[str]) -> str:
    first, *rest = text.split(MARK)
    return first + "".join(value + part for value, part in zip(values, rest))


def quote_words(words: Sequence[str], context: QuoteContext, text: str) -> str:
    """Quote `words` for a context; inside quotes the joined `text` is used.

    Raises ValueError if the value within `$((…))` is not a number.
    """
    if context.kind == "((":
        if not _NUMBER.fullmatch(text):
            raise ValueError(f"within $((…)) a value must be a number, not {text!r}")
        return text
    if context.kind in ("", "#"):
        joined = " ".join(shlex.quote(word) for word in words)
        return joined.replace("\n", " ") if context.kind else joined
    if context.kind == "<<'":
        return text
    if context.kind == "'":
        return text.replace("'", "'\\''")
    return re.sub(r'([\\"$`])' if context.kind == '"' else r"([\\$`])", r"\\\1", text)


@lru_cache(maxsize=16)  # the same command for every trial
def read(text: str) -> ParsedCommand:
    """Parse a shell command and return the place of each `MARK`."""
    reader = _Reader(text)
    try:
        reader.read(0, len(text))
    except _Unclear:
        reader.contexts += [QuoteContext("", _UNCLEAR)] * (text.count(MARK) - len(reader.contexts))
    return ParsedCommand(text, reader.contexts, reader.here_documents)


class _Unclear(Exception):
    """Shells disagree on how to parse the rest."""


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.contexts: list[QuoteContext] = []
        self.here_documents: list[HereDocument] = []
        self._frames = [""]
        self._pending: list[tuple[int, HereDocument]] = []
        """here-documents that begin on the next line, with their depth of command substitution"""
        self._at_word_start = self._at_command_start = True
        """a word begins here; it may be a reserved word"""

    def read(self, index: int, end: int) -> None:
        while index < end:
            char, kind = self.text[index], self._frames[-1]
            if char == "\\":
                index = self._escaped(index)
            elif char == MARK:
                index = self._record_marks(
                    index, index + 1, {"<<": "<<", '"': '"', "((": "((", "(a": "(("}.get(kind, "")
                )
            elif char == "$":
                index = self._dollar(index, kind)
            elif char == "`":
                backticks = _BACKTICKS.match(self.text, index)
                index = self._reject_marks(
                    index, backticks.end() if backticks else end, "within `…`; write $(…) instead"
                )
            elif kind in _COMMANDS:
                index = self._command(index, char)
            else:
                index = self._outside_command(index, char, kind)
        if index > end:
            raise _Unclear

    def _record_marks(self, start: int, end: int, kind: str) -> int:
        """Record the contexts of the marks between `start` and `end`, which are in context `kind`."""
        frames = list(takewhile(lambda frame: frame != "$(", reversed(self._frames)))
        for index in range(start, end):
            if self.text[index] != MARK:
                continue
            before = self.text[:index]
            expanded = kind not in ("'", "<<'", "#")
            variable = _VARIABLE.search(before) if expanded else None
            problem = _BRACES if any("{" in frame for frame in frames) else ""
            if variable is not None:
                name = variable.group(0)[1:]
                problem = f"directly after ${name}, whose name it would extend; write ${{{name}}}"
            elif expanded and _OLD_ARITHMETIC.search(before):
                problem = "within $[…], which not every shell supports; write $((…)) instead"
            self.contexts.append(QuoteContext(kind, problem))
        self._at_word_start = self._at_command_start = False
        return end

    def _reject_marks(self, start: int, end: int, problem: str) -> int:
        self.contexts += [QuoteContext("", problem)] * self.text.count(MARK, start, end)
        self._at_word_start = self._at_command_start = False
        return end

    def _escaped(self, index: int) -> int:
        if self.text.startswith("\\\n", index):
            return index + 2
        return self._reject_marks(index, index + 2, "after a backslash; remove the backslash")

    def _dollar(self, index: int, kind: str) -> int:
        text = self.text
        if text.startswith("$((", index):
            self._frames.append("((")
            return index + 3
        if text.startswith("$(", index):
            self._open("$(")
            return index + 2
        self._at_word_start = self._at_command_start = False
        if text.startswith("$'", index) and (kind in _COMMANDS or kind == "{"):
            end = self._end_of_quote(index + 2)
            if text[end - 2] == "\\":
                raise _Unclear
            return self._reject_marks(index, end, "within $'…', which not every shell supports; write '…' instead")
        expansion = _EXPANSION.match(text, index)
        if expansion is None:
            return index + 1
        quoted = kind not in _COMMANDS and kind != "{"
        self._frames.append(("{text" if expansion.group(1) else "{pattern") if quoted else "{")
        return expansion.end()

    def _end_of_quote(self, index: int) -> int:
        end = self.text.find("'", index)
        return len(self.text) if end < 0 else end + 1

    def _open(self, frame: str) -> None:
        self._frames.append(frame)
        self._at_word_start = self._at_command_start = True

    def _outside_command(self, index: int, char: str, kind: str) -> int:
        """Consume one character outside of commands: in quotes, `${…}`, `$((…))` or a here-document."""
        arithmetic, braces = kind in ("((", "(a"), kind.startswith("{")
        if char == '"' and (braces or kind == '"'):
            self._frames.pop() if kind == '"' else self._frames.append('"')
        elif char == "'" and kind == "{":
            return self._record_marks(index, self._end_of_quote(index + 1), "'")
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
            return self._record_marks(index, self._end_of_quote(index + 1), "'")
        if char == '"':
            self._frames.append(char)
            self._at_word_start = self._at_command_start = False
            return index + 1
        if char == "#" and self._at_word_start:
            newline = text.find("\n", index)
            return self._record_marks(index, len(text) if newline < 0 else newline, "#")
        word = _WORD.match(text, index)
        if word is not None:
            self._word(word)
            return word.end()
        self._at_word_start = True
        if char == "\n" and self._pending:
            return self._read_here_documents(index + 1)
        if text.startswith("<<", index):
            return self._begin_here_document(index)
        return self._between(index, char)

    def _word(self, match: re.Match[str]) -> None:
        kind, first, word = self._frames[-1], self._at_command_start, match.group(0)
        is_whole_word = self._at_word_start and self.text[match.end() : match.end() + 1] not in tuple("'\"\\`$\0")
        self._at_word_start = self._at_command_start = False
        if not is_whole_word:
            return
        if kind == "case":
            if word == "in" and not first:
                self._frames[-1], self._at_command_start = "pattern", True
        elif first and word == "esac" and kind in ("pattern", "body"):
            self._frames.pop()
            self._at_command_start = True
        elif first and word == "case" and kind != "pattern":
            self._frames.append("case")
            self._at_command_start = True
        elif first and kind != "pattern":
            self._at_command_start = word in _BEFORE_COMMAND

    def _between(self, index: int, char: str) -> int:
        """Consume one character between words."""
        kind = self._frames[-1]
        if char == "(":
            if kind != "pattern":
                self._open("(")
            elif not self._at_command_start:
                raise _Unclear
        elif char == ")":
            self._close_parenthesis(kind)
        elif kind == "body" and self.text.startswith((";;", ";&"), index):
            self._frames[-1], self._at_command_start = "pattern", True
            return index + (3 if self.text.startswith(";;&", index) else 2)
        elif char in "\n;&|" and kind not in ("case", "pattern"):
            self._at_command_start = True
        return index + 1

    def _close_parenthesis(self, kind: str) -> None:
        if kind == "pattern":
            self._frames[-1], self._at_command_start = "body", True
        elif kind == "(":
            self._frames.pop()
            self._at_command_start = True
        elif kind == "$(":
            if self._pending and self._pending[-1][0] == self._depth():
                raise _Unclear
            self._frames.pop()
            self._at_word_start = self._at_command_start = False
        else:
            raise _Unclear

    def _depth(self) -> int:
        return self._frames.count("$(")

    def _begin_here_document(self, index: int) -> int:
        """Parse the operator of a here-document, whose text begins on the next line."""
        if self.text.startswith("<<<", index):
            return index + 3
        operator = _DELIMITER.match(self.text, index)
        if operator is None or self.text[operator.end() : operator.end() + 1] in tuple("'\"\\`$\0"):
            raise _Unclear
        word = re.sub(r"['\"\\]", "", operator.group(2))
        self._pending.append(
            (self._depth(), HereDocument(0, 0, word, bool(operator.group(1)), word != operator.group(2)))
        )
        self._at_word_start = self._at_command_start = False
        return operator.end()

    def _read_here_documents(self, index: int) -> int:
        pending, self._pending = self._pending, []
        for depth, body in pending:
            line = _delimiter_line(self.text, index, body)
            if line is None or depth != self._depth():
                raise _Unclear
            end, after = line
            self.here_documents.append(body._replace(start=index, end=end))
            if body.raw:
                self._record_marks(index, end, "<<'")
            else:
                frames, self._frames = self._frames, ["<<"]
                self.read(index, end)
                if self._frames != ["<<"]:
                    raise _Unclear
                self._frames = frames
            index = after
        self._at_word_start = self._at_command_start = True
        return index


def _delimiter_line(text: str, index: int, body: HereDocument) -> tuple[int, int] | None:
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
