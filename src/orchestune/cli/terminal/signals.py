"""SIGTERM and the end of the terminal as an exception, so that what this program started ends with it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def orderly_end() -> Iterator[None]:
    """Meanwhile the first of them raises SystemExit with the exit code that shells know; what comes after it would
    only disturb the end that has begun. What is ignored (`nohup`) stays so. For the main thread.
    """
    told: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        told.append(number)
        if len(told) == 1:
            raise SystemExit(128 + number)

    caught = [number for number in _ENDS if signal.getsignal(number) is signal.SIG_DFL]
    for number in caught:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in caught:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def deferred() -> Iterator[None]:
    """Meanwhile these, and Ctrl-C, wait: for the start of a program, which nobody ends before its number is known.

    They are not blocked, which the program would inherit. For the main thread.
    """
    came: list[int] = []
    before = {int(number): signal.getsignal(number) for number in (signal.SIGINT, *_ENDS)}
    heard = {number: handler for number, handler in before.items() if callable(handler)}
    for number in heard:
        signal.signal(number, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in heard.items():
            signal.signal(number, handler)
        for number in came:
            heard[number](number, None)
