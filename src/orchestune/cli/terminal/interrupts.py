"""Ctrl-C as a count instead of an exception, so that it never arrives in the middle of something."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType


class Interrupts:
    """`with Interrupts() as pressed:` counts SIGINT in `pressed.count`. For the main thread; look at it often.

    Who presses a third time has seen nothing come of it: that is the usual KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.count = 0
        self._before: object = None

    def __enter__(self) -> Interrupts:
        self._before = signal.signal(signal.SIGINT, self._pressed)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._before)  # type: ignore[arg-type]

    def _pressed(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count > 2:
            raise KeyboardInterrupt
