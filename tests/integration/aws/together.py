"""Several processes on one clock: time passes while each works, and jumps when all of them wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_LOOK = 0.01
"""seconds that pass between two looks at the clock of one that works"""
_DEADLINE = 120.0


@dataclass
class Together:
    """`Together().run(one, other)` calls each with a clock, in a thread of its own; what each returned or raised."""

    now: float = 0.0
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _waking: dict[int, float] = field(default_factory=dict)
    _running: int = 0

    def __call__(self) -> float:
        with self._changed:
            self.now += _LOOK
            self._changed.notify_all()
            return self.now

    def sleep(self, seconds: float) -> None:
        me = threading.get_ident()
        with self._changed:
            until = self._waking[me] = self.now + seconds
            self._move_on()
            if not self._changed.wait_for(lambda: self.now >= until, _DEADLINE):
                raise AssertionError("the other one neither works nor waits")
            del self._waking[me]

    def _move_on(self) -> None:
        """When all wait, it is the time at which the first one wakes."""
        if self._waking and len(self._waking) == self._running:
            self.now = max(self.now, min(self._waking.values()))
        self._changed.notify_all()

    def run(self, *calls: Callable[[Together], object]) -> list[Any]:
        results: list[Any] = [None] * len(calls)
        self._running = len(calls)

        def one(number: int, call: Callable[[Together], object]) -> None:
            try:
                results[number] = call(self)
            except Exception as exc:  # noqa: BLE001  # what it is, is what the test looks at
                results[number] = exc
            finally:
                with self._changed:
                    self._running -= 1
                    self._move_on()

        threads = [threading.Thread(target=one, args=item) for item in enumerate(calls)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results
