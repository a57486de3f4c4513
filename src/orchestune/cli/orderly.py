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
