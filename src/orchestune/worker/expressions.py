"""The user's own expressions: what they find in lines of output, in a bounded time."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable, Sequence
from typing import Any, Dict

PATIENCE = 1.0
"""seconds of the processor for what came at once; some expressions take longer than a life for one line"""
SHOWN = 200

Groups = Dict[str, Any]


class Expressions:
    """Those of one attempt. One that takes too long is given up: `say` is told, and it finds nothing any more."""

    def __init__(self, expressions: Sequence[re.Pattern[bytes]], say: Callable[[str], None]) -> None:
        self._used = list(expressions)
        self._say = say

    def find(self, lines: Sequence[bytes]) -> list[Groups]:
        """The groups of every match, line by line."""
        found: list[list[Groups]] = []
        while len(found) < len(lines) and self._used:
            slow = self._look(lines, found)
            if slow is not None:
                self._used.remove(slow)
                self._say(_told(slow))
        return [groups for line in found for groups in line]

    def _look(self, lines: Sequence[bytes], found: list[list[Groups]]) -> re.Pattern[bytes] | None:
        """Add what is in the lines that come next; the expression that took too long, if one did."""
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
    """Raises where it rings while it is set, once, and does nothing otherwise, however late it rings."""

    def __init__(self) -> None:
        self.is_set = False

    def __call__(self, number: int, frame: object) -> None:
        if self.is_set:
            self.is_set = False
            raise _TooSlow


_alarm = _Alarm()


def in_time(work: Callable[[], None], seconds: float) -> bool:
    """Return True if the work was done within `seconds` of processor time, False if it was broken off.

    Outside of the main thread it takes as long as it takes.

    `re` looks for signals now and then. That of the processor's time, so that a machine which is busy or asleep
    ends nothing, and so that an alarm of the program that this is in stays as it is.
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
            _alarm.is_set = False  # an alarm that rings before this is heard below, and none is after it
        return True
    except _TooSlow:
        return False
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, *timer)
        if before is not _alarm and before is not signal.SIG_DFL:  # by default, one on its way would end the process
            signal.signal(signal.SIGVTALRM, before)
