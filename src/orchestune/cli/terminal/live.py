"""A block of lines at the bottom of the terminal that is painted again and again in place."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import TextIO

from orchestune.cli.terminal.render import Paint, cut, width

_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"
_ENDS = (signal.SIGTSTP, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""what suspends or ends this program, so that another one has the terminal"""


class LiveBlock:
    """Each paint is one write (so that nothing flickers) and never wraps or scrolls what stands above.

    For the main thread. Nothing is painted in the background; back from there, or from Ctrl-Z, it begins anew below
    what was written meanwhile. The cursor is hidden only while this program has the terminal.
    """

    def __init__(self, out: TextIO, paint: Paint) -> None:
        self._out, self._paint = out, paint
        self._painted: list[str] = []
        self._anew = False
        self._caught: list[int] = []

    def size(self) -> tuple[int, int]:
        """Columns and lines that a block may use now."""
        terminal = shutil.get_terminal_size()
        return max(terminal.columns - 1, 1), max(terminal.lines - 1, 1)

    def draw(self, lines: Sequence[str]) -> None:
        """Show `lines` in place of what was shown before."""
        if not self._foreground():
            self._anew = True
            return
        self._catch()
        if self._anew:
            self._anew, self._painted = False, []
        columns, rows = self.size()
        shown = [cut(line, columns, self._paint) for line in lines[:rows]]
        hide = "" if self._painted else _HIDE
        body = "".join(f"{line}\x1b[K\n" for line in shown)
        self._out.write(f"{hide}{self._back(columns)}{body}\x1b[J")
        self._out.flush()
        self._painted = shown

    def close(self, *, erase: bool = False) -> None:
        """Leave what is shown (or nothing), the cursor below it and visible again."""
        if self._painted and self._foreground():
            back = "" if self._anew else f"{self._back(self.size()[0])}\x1b[J" if erase else "\r\x1b[K"  # of Ctrl-C
            self._out.write(f"{back}{_SHOW}")
            self._out.flush()
        self._painted = []
        while self._caught:
            signal.signal(self._caught.pop(), signal.SIG_DFL)

    def _back(self, columns: int) -> str:
        """To the first line of the block; a terminal that became narrower has folded its lines."""
        if not self._painted:
            return ""
        folded = columns + 1  # what fits into a line of the terminal
        rows = sum(max(1, -(-width(line) // folded)) for line in self._painted)
        return f"\r\x1b[{rows}A"

    def _foreground(self) -> bool:
        try:
            return os.tcgetpgrp(self._out.fileno()) == os.getpgrp()
        except OSError:  # a terminal without jobs
            return True

    def _catch(self) -> None:
        """What somebody else handles or ignores stays so."""
        for number in _ENDS if not self._caught else ():
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, self._leave)
                self._caught.append(number)

    def _leave(self, number: int, frame: FrameType | None) -> None:
        """Do what the signal asks for, the cursor visible; goes on after Ctrl-Z and `fg`."""
        self._anew = True
        if self._foreground():
            with suppress(OSError):  # not `self._out`, in the middle of whose writing this may be
                os.write(self._out.fileno(), _SHOW.encode())
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, self._leave)
