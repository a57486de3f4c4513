"""Background termination of workers with all processes that they started, without blocking callers."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from orchestune.backends.local.client import belongings, kill_all
from orchestune.backends.local.worker_folder import WorkerFolder
from orchestune.system.isolation import failure_of
from orchestune.system.process import Process

_log = logging.getLogger(__name__)
_POLL = 0.1
_GUARD = 1.0
"""seconds that a worker's own guard has to kill the processes that the worker leaves behind"""
_GIVE_UP = 60.0
"""seconds until a process that cannot be killed (it hangs in the kernel) is given up"""


@dataclass
class _Ending:
    process: Process
    folder: WorkerFolder
    kill_at: float
    session: bool
    """True if the session id still belongs to the worker"""
    processes: set[Process] = field(default_factory=set)
    dead_since: float | None = None


class WorkerTerminator:
    """Kills workers at their deadline, then their leftover processes, then empties their folders.

    Its thread runs only while there is work.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._endings: dict[Process, _Ending] = {}
        self._thread: threading.Thread | None = None

    def take(
        self, process: Process, folder: WorkerFolder, kill_at: float, *, tell: bool = False, just_died: bool = False
    ) -> None:
        """Kill the worker at `kill_at` and clean up once it is gone. Does not block.

        The earliest of several deadlines for a worker applies. `tell`: send SIGTERM now, once. `just_died`: it was seen
        alive moments ago.
        """
        with self._lock:
            ending = self._endings.get(process)
            if ending is not None:
                ending.kill_at = min(ending.kill_at, kill_at)
                return
            alive = process.alive()
            ending = _Ending(process, folder, kill_at, session=alive or just_died)
            if alive:
                ending.processes = _left(ending)
            if alive and tell:
                process.send(signal.SIGTERM)
            self._endings[process] = ending
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="local-termination", daemon=True)
                self._thread.start()

    def busy_with(self, process: Process) -> bool:
        """Return True if the worker is being terminated."""
        with self._lock:
            return process in self._endings

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._endings:
                    self._thread = None
                    return
                endings = list(self._endings.values())
            for ending in endings:
                error = failure_of(partial(self._advance, ending))
                if error is not None:  # retried after the next pause; the other workers must still end
                    _log.error("cannot end worker %s", ending.folder.path.name, exc_info=error)
            time.sleep(_POLL)

    def _advance(self, ending: _Ending) -> None:
        """Advance by one step; forget the worker once none of its processes is left."""
        now = self._clock()
        if ending.process.alive():
            if now >= ending.kill_at:
                ending.processes |= _left(ending)
                ending.process.send(signal.SIGKILL)
            return
        if ending.dead_since is None:
            ending.dead_since = now
            ending.folder.delete_secrets()
        dead_for = now - ending.dead_since
        if dead_for < _GIVE_UP:
            ending.processes = _left(ending)
            if ending.processes and (dead_for < _GUARD or kill_all(lambda: _left(ending))):
                return
        ending.folder.empty()
        with self._lock:
            del self._endings[ending.process]


def _left(ending: _Ending) -> set[Process]:
    return belongings(ending.process, ending.folder.settings_file, ending.processes, session=ending.session)
