"""Applies the user's regular expressions to lines of output, with a timeout."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable, Sequence
from typing import Any, Dict

PATIENCE = 1.0
"""CPU seconds allowed per batch of lines, because some expressions backtrack exponentially"""
SHOWN = 200

Groups = Dict[str, Any]


class Expressions:
    """The expressions of one attempt. One that exceeds the timeout is reported to `say` and disabled."""

    def __init__(self, expressions: Sequence[re.Pattern[bytes]], say: Callable[[str], None]) -> None:
        self._used = list(expressions)
        self._say = say

    def find(self, lines: Sequence[bytes]) -> list[Groups]:
        """Return the named groups of all matches, line by line."""
        found: list[list[Groups]] = []
        while len(found) < len(lines) and self._used:
            slow = self._look(lines, found)
            if slow is not None:
                self._used.remove(slow)
                self._say(_told(slow))
        return [groups for line in found for groups in line]

    def _look(self, lines: Sequence[bytes], found: list[list[Groups]]) -> re.Pattern[bytes] | None:
        """Append the matches of the next lines to `found`. Return the expression that timed out, if any."""
        looking: re.Pattern[bytes] | None = None

        def look() -> None:
            nonlocal looking
            for line in lines[len(found) :]:
                here: list[Groups] = []
                for looking in self._used:
                    here += [match.groupdict() for match in looking.finditer(line)]
                found.append(here)

        return None if in_time(look, PATIENCE) else looking


def _told(expression: re.Pattern[bytes]) -> str:
    text = expression.pattern.decode("utf-8", "replace")
    return (
        f"the expression {text if len(text) <= SHOWN else f'{text[:SHOWN]}…'} of `collect` took longer than "
        f"{PATIENCE:g} s and is no longer used here; write it without a repetition of a repetition, such as (a+)+"
    )


class _TooSlow(Exception):
    pass


class _Alarm:
    """Signal handler that raises _TooSlow once if it is set; a late signal has no effect."""

    def __init__(self) -> None:
        self.is_set = False

    def __call__(self, number: int, frame: object) -> None:
        if self.is_set:
            self.is_set = False
            raise _TooSlow


_alarm = _Alarm()


def in_time(work: Callable[[], None], seconds: float) -> bool:
    """Return True if `work` finished within `seconds` of CPU time, False if it was interrupted.

    Outside of the main thread there is no timeout.

    `re` checks for signals regularly. The timer counts CPU time, so that a busy or suspended machine causes no
    timeout, and so that SIGALRM of the embedding program is not affected.
    """
    before = signal.getsignal(signal.SIGVTALRM)
    if before is None or threading.current_thread() is not threading.main_thread():
        work()
        return True
    if before is not _alarm:
        signal.signal(signal.SIGVTALRM, _alarm)
    timer = signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        try:
            _alarm.is_set = True
            work()
        finally:
            _alarm.is_set = False  # a signal before this line is handled below, a later one has no effect
        return True
    except _TooSlow:
        return False
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, *timer)
        # SIG_DFL is not restored: a signal that is still pending would terminate the process.
        if before is not _alarm and before is not signal.SIG_DFL:
            signal.signal(signal.SIGVTALRM, before)
