"""A block of lines at the bottom of the terminal that is repainted in place."""

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
_TAKEOVER_SIGNALS = (signal.SIGTSTP, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""signals that suspend or terminate this program, so that another one gets the terminal"""


class LiveBlock:
    """Each paint is one write, so that nothing flickers, and never wraps or scrolls the output above the block.

    Main thread only. A background process paints nothing; after it, or after Ctrl-Z, the block starts again below the
    output of the meantime. The cursor is hidden only while this program is in the foreground.
    """

    def __init__(self, out: TextIO, paint: Paint) -> None:
        self._out, self._paint = out, paint
        self._painted: list[str] = []
        self._must_restart = False
        self._caught: list[int] = []

    def size(self) -> tuple[int, int]:
        """Return the columns and lines available to a block."""
        terminal = shutil.get_terminal_size()
        return max(terminal.columns - 1, 1), max(terminal.lines - 1, 1)

    def draw(self, lines: Sequence[str]) -> None:
        """Replace the previous lines by `lines`."""
        if not self._foreground():
            self._must_restart = True
            return
        self._install_handlers()
        if self._must_restart:
            self._must_restart, self._painted = False, []
        columns, rows = self.size()
        visible = [cut(line, columns, self._paint) for line in lines[:rows]]
        hide = "" if self._painted else _HIDE
        body = "".join(f"{line}\x1b[K\n" for line in visible)
        self._out.write(f"{hide}{self._to_first_line(columns)}{body}\x1b[J")
        self._out.flush()
        self._painted = visible

    def close(self, *, erase: bool = False) -> None:
        """Keep or erase the block, and show the cursor again below it."""
        if self._painted and self._foreground():
            back = (
                "" if self._must_restart else f"{self._to_first_line(self.size()[0])}\x1b[J" if erase else "\r\x1b[K"
            )  # of Ctrl-C
            self._out.write(f"{back}{_SHOW}")
            self._out.flush()
        self._painted = []
        while self._caught:
            signal.signal(self._caught.pop(), signal.SIG_DFL)

    def _to_first_line(self, columns: int) -> str:
        """Return the escape sequence to the first line of the block; a narrowed terminal has wrapped its lines."""
        if not self._painted:
            return ""
        folded = columns + 1  # columns of the terminal
        rows = sum(max(1, -(-width(line) // folded)) for line in self._painted)
        return f"\r\x1b[{rows}A"

    def _foreground(self) -> bool:
        try:
            return os.tcgetpgrp(self._out.fileno()) == os.getpgrp()
        except OSError:  # a terminal without job control
            return True

    def _install_handlers(self) -> None:
        """Handle the signals that have the default action; others keep their handlers."""
        for number in _TAKEOVER_SIGNALS if not self._caught else ():
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, self._on_signal)
                self._caught.append(number)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Perform the signal's default action with a visible cursor; continue after Ctrl-Z and `fg`."""
        self._must_restart = True
        if self._foreground():
            with suppress(OSError):  # not `self._out`, which this may have interrupted
                os.write(self._out.fileno(), _SHOW.encode())
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, self._on_signal)
