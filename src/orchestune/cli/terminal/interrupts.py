"""Ctrl-C as a counter instead of an exception, so that it never interrupts an operation."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType


class Interrupts:
    """`with Interrupts() as pressed:` counts SIGINT in `pressed.count`, which the block must poll. Main thread only.

    The third press raises KeyboardInterrupt as usual, in case the count is not acted upon.
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
