"""Parsing of one file of gitignore patterns, with git's semantics.

`pathspec` translates each glob. The decision is made here, because its `GitIgnoreSpec` also matches a file by the name
of a folder above it, which differs from git when patterns are negated: of `data` and `!src/`, the second would include
`src/data`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pathspec import GitIgnoreSpec

_VIA_FOLDER = "ps_d"
"""group in pathspec's regular expressions that is set if a folder above the path matched"""

_STAR = "[^/]*"
_ANY = "[^/]"
"""pathspec's expressions for `*` and `?`"""
_MAX_DOUBLE_STARS = 4
"""times `**` in a pattern: the time to match grows with the depth of a path to this power"""


@dataclass(frozen=True, slots=True)
class Pattern:
    """The pattern of one line. `ignores` is False if it is negated."""

    regex: re.Pattern[str]
    ignores: bool
    folders_only: bool
    by_name: bool
    """without a slash, the pattern matches names at any depth"""

    def matches(self, path: str, name: str, is_folder: bool) -> bool:
        """Return True if the pattern matches `path` itself, not a folder above it."""
        if self.folders_only and not is_folder:
            return False
        match = self.regex.match(name if self.by_name else path)
        return match is not None and not match.groupdict().get(_VIA_FOLDER)


def parse(line: str) -> Pattern | None:
    """Parse one line. Returns None for a comment or a blank line; raises ValueError for an invalid pattern."""
    text = _without_trailing_blanks(line)
    if not text or text.startswith("#"):
        return None
    glob = text.rstrip("/") if text.endswith("/") else text
    if not glob.removeprefix("!"):
        return None
    if glob.count("**") > _MAX_DOUBLE_STARS:
        raise ValueError(f"more than {_MAX_DOUBLE_STARS} times '**' in '{glob:.100}'")
    try:
        compiled = next(iter(GitIgnoreSpec.from_lines([glob]).patterns))
    except re.error as exc:  # such as a reversed range
        raise ValueError(str(exc)) from exc
    ignores, regex = compiled.include, getattr(compiled, "regex", None)
    if ignores is None or not isinstance(regex, re.Pattern):
        return None
    return Pattern(_in_linear_time(regex.pattern), ignores, folders_only=text != glob, by_name="/" not in glob)


def _in_linear_time(expression: str) -> re.Pattern[str]:
    """Compile pathspec's expression so that `*` does not backtrack: five of them in one name would take minutes.

    What stands between two stars may match at the first place where it can: if the rest matches after a later one, it
    also matches after the first.
    """
    first, *between = expression.split(_STAR)
    if len(between) < 2:
        return re.compile(expression)
    *inner, last = between
    parts = [_STAR + part if "/" in part.replace(_ANY, "") else f"(?>[^/]*?{part})" for part in inner if part]
    return re.compile("".join([first, *parts, _STAR, last]))


def parse_all(lines: Iterable[str]) -> tuple[Pattern, ...]:
    """Parse all lines, and return the patterns with the last line first. Skips invalid lines, as git does."""
    patterns = []
    for line in lines:
        try:
            pattern = parse(line)
        except ValueError:
            continue
        if pattern is not None:
            patterns.append(pattern)
    return tuple(reversed(patterns))


def parse_file(content: bytes) -> tuple[Pattern, ...]:
    """Parse an ignore file, the last line first; bytes that are not UTF-8 match the same bytes in names."""
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    return parse_all(line.removesuffix("\r") for line in text.split("\n"))


def _without_trailing_blanks(line: str) -> str:
    text = line.rstrip(" ")
    escaped = len(text) < len(line) and (len(text) - len(text.rstrip("\\"))) % 2 == 1
    return text + " " if escaped else text
