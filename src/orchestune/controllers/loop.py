"""The threads that controllers run in."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from orchestune.errors import TemporaryError
from orchestune.services.core import Core

log = logging.getLogger(__name__)

_QUIET = 30.0
"""seconds without trouble after which it has passed: who finds the disk full may have nothing to write in between"""

_REST = 0.5
"""seconds of rest after trouble"""

_Answer = TypeVar("_Answer")


class Controller(Protocol):
    """`tick` looks at the rows and does what is missing; it is called again and again."""

    def tick(self) -> None: ...


class Loop:
    """One thread that ticks its controllers whenever the topic of its name is bumped, and once per `seconds` anyway."""

    def __init__(
        self,
        name: str,
        core: Core,
        controllers: Sequence[Controller],
        seconds: float = 1.0,
        leads: Callable[[], bool] = lambda: True,
        pause: float = 0.0,
        quiet: float = _QUIET,
    ) -> None:
        self._core, self._controllers, self._seconds, self._leads = core, controllers, seconds, leads
        self._topic = name
        self._pause = pause
        """seconds from one tick to the next at least: a burst of changes is one tick, a single one waits for nothing"""
        self._quiet = quiet
        self._said: dict[str, tuple[str, float]] = {}
        """the last trouble of each of them that has not passed, and when it was: told once, and not every second"""
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End after the present tick; gives up waiting after `timeout` seconds."""
        self._ending.set()
        self._core.signals.notify(self._topic)
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._ending.is_set():
            began = time.monotonic()
            version = self._core.signals.version(self._topic)
            for controller in self._controllers if self._acts() else ():
                self._tick(controller)
            self._core.signals.wait_blocking(self._topic, version, self._seconds)
            self._ending.wait(max(self._pause - (time.monotonic() - began), 0.0))

    def _acts(self) -> bool:
        """Whether this server leads; where that cannot be known, it does not."""
        return bool(self._survive(self._topic, self._leads))

    def _tick(self, controller: Controller) -> None:
        self._survive(type(controller).__name__.lower(), controller.tick)

    def _survive(self, who: str, act: Callable[[], _Answer]) -> _Answer | None:
        """Do it, whatever comes of it: the next time looks at the rows anew. None where it failed."""
        try:
            answer = act()
        except Exception as error:  # a loop that must survive anything
            before, _ = self._said.get(who, ("", 0.0))
            said = f"{type(error).__name__}: {error}"
            self._said[who] = said, time.monotonic()
            if said != before:
                if isinstance(error, TemporaryError):
                    log.warning("%s waits: %s", who, error)
                else:
                    log.exception("%s failed", who)
            self._ending.wait(_REST)
            return None
        if who in self._said and time.monotonic() - self._said[who][1] >= self._quiet:
            del self._said[who]
            log.info("%s goes on", who)
        return answer
