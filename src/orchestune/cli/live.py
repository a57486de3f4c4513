"""A block of lines at the bottom of the terminal that is painted again and again in place."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import TextIO

from orchestune.cli.render import Paint, cut, width


class Block:
    """Each paint is one write (so that nothing flickers) and never wraps or scrolls what stands above."""

    def __init__(self, out: TextIO, paint: Paint) -> None:
        self._out, self._paint = out, paint
        self._painted: list[str] = []
        self._columns = 0

    def size(self) -> tuple[int, int]:
        """Columns and lines that a block may use now."""
        terminal = shutil.get_terminal_size()
        return max(terminal.columns - 1, 1), max(terminal.lines - 1, 1)

    def draw(self, lines: Sequence[str]) -> None:
        """Show `lines` in place of what was shown before."""
        columns, rows = self.size()
        shown = [cut(line, columns, self._paint) for line in lines[:rows]]
        hide = "" if self._painted else "\x1b[?25l"
        body = "".join(f"{line}\x1b[K\n" for line in shown)
        self._out.write(f"{hide}{self._back(columns)}{body}\x1b[J")
        self._out.flush()
        self._painted, self._columns = shown, columns

    def close(self, *, erase: bool = False) -> None:
        """Leave what is shown (or nothing), the cursor below it and visible again."""
        if self._painted:
            back = f"{self._back(self.size()[0])}\x1b[J" if erase else ""
            self._out.write(f"{back}\x1b[?25h")
            self._out.flush()
        self._painted = []

    def _back(self, columns: int) -> str:
        """To the first line of the block; a terminal that became narrower has folded its lines."""
        if not self._painted:
            return ""
        folded = columns + 1  # what fits into a line of the terminal
        rows = sum(max(1, -(-width(line) // folded)) for line in self._painted)
        return f"\r\x1b[{rows}A"
