"""The threads that controllers run in."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from orchestune.errors import TemporaryError
from orchestune.services.core import Core

log = logging.getLogger(__name__)


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
    ) -> None:
        self._core, self._controllers, self._seconds, self._leads = core, controllers, seconds, leads
        self._topic = name
        self._pause = pause
        """seconds from one tick to the next at least: a burst of changes is one tick, a single one waits for nothing"""
        self._waits_for = ""
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
        try:
            acts, self._waits_for = self._leads(), ""
            return acts
        except TemporaryError as error:
            if str(error) != self._waits_for:  # once, and not every second of an hour
                self._waits_for = str(error)
                log.warning("%s waits: %s", self._topic, error)
        except Exception:  # as below
            log.exception("%s cannot know whether it may act", self._topic)
        self._ending.wait(0.5)
        return False

    def _tick(self, controller: Controller) -> None:
        try:
            controller.tick()
        except TemporaryError as error:
            log.warning("%s waits: %s", type(controller).__name__.lower(), error)
            self._ending.wait(0.5)
        except Exception:  # a loop that must survive anything: the next tick looks at the rows anew
            log.exception("%s failed", type(controller).__name__.lower())
            self._ending.wait(0.5)
