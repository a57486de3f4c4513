"""The blocks of code that stand in the pages, README included."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_FENCE = re.compile(r"^( *)```(\w*) ?(\S*)$")
_PROMPT = re.compile(r"^\$ ")


class Block(NamedTuple):
    """One block between fences."""

    page: str
    """its path in the repository"""
    line: int
    language: str
    name: str
    """of the file that it shows; empty where it shows none"""
    text: str

    @property
    def place(self) -> str:
        """`docs/search.md:131`."""
        return f"{self.page}:{self.line}"

    def commands(self) -> list[str]:
        """Return the commands, continued lines joined: all lines of a script, those with a prompt of anything else."""
        text = self.text.replace("\\\n", " ")
        if self.language == "sh":
            return [line for line in map(str.strip, text.splitlines()) if line and not self.name]
        return [line[2:].strip() for line in text.splitlines() if _PROMPT.match(line)]


def blocks() -> Iterator[Block]:
    """All of them, in the order of the pages."""
    for path in PAGES:
        yield from _of(path.relative_to(ROOT).as_posix(), path.read_text())


def _of(page: str, text: str) -> Iterator[Block]:
    opened: tuple[int, str, str] | None = None
    lines: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.match(line)
        if fence is None:
            lines.append(line)
        elif opened is None:
            opened, lines = (number, fence[2], fence[3]), []
        else:
            yield Block(page, *opened, textwrap.dedent("\n".join(lines) + "\n"))
            opened = None
    assert opened is None, f"{page}: the block of line {opened} does not end"
