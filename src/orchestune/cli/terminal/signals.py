"""SIGTERM and SIGHUP as an exception, so that the processes that this program started terminate with it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_TERMINATION_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """Raise SystemExit with the shell's exit code at the first of these signals.

    Later ones are ignored: they would only disturb the cleanup.

    Signals that were ignored (`nohup`) stay ignored. Main thread only.
    """
    received: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) == 1:
            raise SystemExit(128 + number)

    handled = [number for number in _TERMINATION_SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in handled:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def deferred_signals() -> Iterator[None]:
    """Defer these signals and Ctrl-C until the end of the block: for the start of a process, until its pid is known.

    They are not blocked, since the process would inherit that. Main thread only.
    """
    received: list[int] = []
    previous = {int(number): signal.getsignal(number) for number in (signal.SIGINT, *_TERMINATION_SIGNALS)}
    handlers = {number: handler for number, handler in previous.items() if callable(handler)}
    for number in handlers:
        signal.signal(number, lambda number, frame: received.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in received:
            handlers[number](number, None)
