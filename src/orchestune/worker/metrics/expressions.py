"""Applies the user's regular expressions to lines of output, with a timeout."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable, Sequence
from typing import Any, Dict

TIMEOUT_CPU_SECONDS = 1.0
"""CPU seconds allowed per batch of lines, because some expressions backtrack exponentially"""
MAX_SHOWN_CHARACTERS = 200

Groups = Dict[str, Any]


class Expressions:
    """The expressions of one attempt. One that exceeds the timeout is reported to `say` and disabled."""

    def __init__(self, expressions: Sequence[re.Pattern[bytes]], say: Callable[[str], None]) -> None:
        self._enabled = list(expressions)
        self._say = say

    def find(self, lines: Sequence[bytes]) -> list[Groups]:
        """Return the named groups of all matches, line by line."""
        groups_by_line: list[list[Groups]] = []
        while len(groups_by_line) < len(lines) and self._enabled:
            slow = self._match_lines(lines, groups_by_line)
            if slow is not None:
                self._enabled.remove(slow)
                self._say(_timeout_message(slow))
        return [groups for line in groups_by_line for groups in line]

    def _match_lines(self, lines: Sequence[bytes], groups_by_line: list[list[Groups]]) -> re.Pattern[bytes] | None:
        """Append the matches of the next lines to `groups_by_line`. Return the expression that timed out, if any."""
        current: re.Pattern[bytes] | None = None

        def match_all() -> None:
            nonlocal current
            for line in lines[len(groups_by_line) :]:
                groups: list[Groups] = []
                for current in self._enabled:
                    groups += [match.groupdict() for match in current.finditer(line)]
                groups_by_line.append(groups)

        return None if in_time(match_all, TIMEOUT_CPU_SECONDS) else current


def _timeout_message(expression: re.Pattern[bytes]) -> str:
    text = expression.pattern.decode("utf-8", "replace")
    if len(text) > MAX_SHOWN_CHARACTERS:
        text = f"{text[:MAX_SHOWN_CHARACTERS]}…"
    return (
        f"the expression {text} of `collect` took longer than {TIMEOUT_CPU_SECONDS:g} s and is disabled; "
        "avoid nested repetitions such as (a+)+"
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
    previous = signal.getsignal(signal.SIGVTALRM)
    if previous is None or threading.current_thread() is not threading.main_thread():
        work()
        return True
    if previous is not _alarm:
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
        if previous is not _alarm and previous is not signal.SIG_DFL:
            signal.signal(signal.SIGVTALRM, previous)
