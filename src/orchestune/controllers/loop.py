"""Threads that run the controllers.

`bootstrap.build` assigns controllers to loops; docs/explanation/threads.md says what each loop may block on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from orchestune.errors import TemporaryError
from orchestune.services.core import Core

log = logging.getLogger(__name__)

_QUIET_SECONDS = 30.0
"""seconds without an error until recovery is logged: after a full disk there may be nothing to write for a while"""

_ERROR_PAUSE_SECONDS = 0.5
"""seconds of pause after an error"""

_Answer = TypeVar("_Answer")


class Controller(Protocol):
    """An object whose `tick` reads the rows and does what is missing; it is called repeatedly."""

    def tick(self) -> None: ...


class ControllerLoop:
    """A thread that ticks its controllers when the topic of its name is notified, and at least every `seconds`."""

    def __init__(
        self,
        name: str,
        core: Core,
        controllers: Sequence[Controller],
        seconds: float = 1.0,
        leads: Callable[[], bool] = lambda: True,
        pause: float = 0.0,
        max_cores: float = 1.0,
        quiet: float = _QUIET_SECONDS,
    ) -> None:
        self._core, self._controllers, self._seconds, self._leads = core, controllers, seconds, leads
        self._topic = name
        self._pause = pause
        """minimum seconds between ticks: coalesces a burst of changes; a single change is handled at once"""
        self._max_cores = max_cores
        """cores used on average: after a tick that took much CPU time, the loop pauses for longer than `pause`"""
        self._quiet = quiet
        self._errors: dict[str, tuple[str, float]] = {}
        """controller → its last error not recovered from, and when: a repeated error is logged once"""
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Stop after the current tick; wait for it at most `timeout` seconds."""
        self._ending.set()
        self._core.signals.notify(self._topic)
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._ending.is_set():
            began, cpu = time.monotonic(), time.thread_time()
            version = self._core.signals.version(self._topic)
            for controller in self._controllers if self._acts() else ():
                self._tick(controller)
            period = max(self._pause, (time.thread_time() - cpu) / self._max_cores)
            self._core.signals.wait_blocking(self._topic, version, self._seconds)
            self._ending.wait(max(period - (time.monotonic() - began), 0.0))

    def _acts(self) -> bool:
        """Return True if this server is the leader; False if that is unknown."""
        return bool(self._survive(self._topic, self._leads))

    def _tick(self, controller: Controller) -> None:
        self._survive(type(controller).__name__, controller.tick)

    def _survive(self, name: str, action: Callable[[], _Answer]) -> _Answer | None:
        """Call `action` and log any error; the next tick reads the rows again. Returns None if it failed."""
        try:
            answer = action()
        except Exception as error:  # the loop must survive any error
            before, _ = self._errors.get(name, ("", 0.0))
            message = f"{type(error).__name__}: {error}"
            self._errors[name] = message, time.monotonic()
            if message != before:
                if isinstance(error, TemporaryError):
                    log.warning("%s will be retried: %s", name, error)
                else:
                    log.exception("%s failed", name)
            self._ending.wait(_ERROR_PAUSE_SECONDS)
            return None
        if name in self._errors and time.monotonic() - self._errors[name][1] >= self._quiet:
            del self._errors[name]
            log.info("%s has recovered", name)
        return answer
