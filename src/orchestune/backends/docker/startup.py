"""Container startup in background threads: pulling an image may take minutes and must not block callers."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from orchestune.backends.docker import plan, preflight, pulling, runtime
from orchestune.backends.docker.client import DaemonError, DockerEngine
from orchestune.backends.docker.plan import ContainerDefaults, DockerHost
from orchestune.backends.docker.worker_folder import WorkerFolder
from orchestune.backends.worker_notes import WorkerEnd
from orchestune.errors import OrchestuneError, TemporaryError
from orchestune.ports.backend import WorkerLoss, WorkerOrder
from orchestune.system.isolation import failure_of

_log = logging.getLogger(__name__)

AT_ONCE = 2
"""maximum containers of one image that start concurrently"""
_PAUSE = 1.0
"""seconds between retries if the daemon does not answer"""


@dataclass
class _Line:
    """The queue of workers pending on one image."""

    workers: deque[WorkerFolder] = field(default_factory=deque)
    threads: int = 0
    reason: str = "starting its container"
    lock: threading.Lock = field(default_factory=threading.Lock)
    """held by the thread that pulls the image"""
    refusal: pulling.ImageUnavailable | None = None
    """why the image cannot be pulled: reported once for all workers of the queue"""

    def say(self, reason: str) -> None:
        """Set the reason for which these workers are pending."""
        self.reason = reason


class ContainerStarter:
    """Starts containers. Each accepted worker ends up with a running container, or a `WorkerEnd` in its folder."""

    def __init__(
        self, engine: DockerEngine, site: Callable[[], ContainerDefaults], private: Callable[[], Path]
    ) -> None:
        self._engine, self._site, self._runtime = engine, site, private
        self._lock = threading.Lock()
        self._lines: dict[str, _Line] = {}
        self._reasons: dict[str, _Line] = {}
        """worker → its queue, for every worker that is starting"""
        self._dropped: set[str] = set()
        self._inspected: set[str] = set()
        """images of which `_warn` has been called"""
        self._awake = threading.Event()

    def take(self, folder: WorkerFolder, order: WorkerOrder) -> None:
        """Start the worker's container in the background. Idempotent, does not block."""
        image = pulling.reference(order.placement)
        with self._lock:
            if folder.worker in self._reasons:
                return
            line = self._lines.setdefault(image, _Line())
            line.workers.append(folder)
            self._reasons[folder.worker] = line
            if line.threads < AT_ONCE:
                line.threads += 1
                name = f"docker-start-{line.threads}"
                threading.Thread(target=self._run, args=(image, line), name=name, daemon=True).start()

    def drop(self, worker: str) -> None:
        """Stop starting the worker; existing parts of it are kept."""
        with self._lock:
            if worker in self._reasons:
                self._dropped.add(worker)
        self._awake.set()

    def waiting(self, worker: str) -> str | None:
        """Return what a starting worker is pending on; None if it is not starting."""
        with self._lock:
            line = self._reasons.get(worker)
            return line.reason if line is not None else None

    def _run(self, image: str, line: _Line) -> None:
        while True:
            with self._lock:
                if not line.workers:
                    line.threads -= 1
                    if not line.threads:
                        self._lines.pop(image, None)
                    return
                folder = line.workers.popleft()
            try:
                unexpected = failure_of(partial(self._bring_up, image, line, folder), passing=OSError)
                if unexpected is not None:
                    _log.error("cannot start worker %s", folder.worker, exc_info=unexpected)
                    self._fail(folder, OrchestuneError(f"{type(unexpected).__name__}: {unexpected}"))
            except OSError as error:  # the next observation starts it again
                _log.warning("cannot record the result of starting worker %s: %s", folder.worker, error)
            finally:
                with self._lock:
                    self._reasons.pop(folder.worker, None)
                    self._dropped.discard(folder.worker)

    def _bring_up(self, image: str, line: _Line, folder: WorkerFolder) -> None:
        while self._is_needed(folder.worker):
            try:
                order = folder.order()
                if order is None:
                    return
                self._fetch(image, line, folder)
                with folder.locked_for_start():
                    order = folder.order()
                    if order is not None:
                        self._start(folder, order, line)
                return
            except pulling.PullCancelled:
                return
            except (TemporaryError, OSError) as error:
                line.say(str(error))
                self._pause(_PAUSE)
            except OrchestuneError as error:
                self._fail(folder, error)
                return

    def _fetch(self, image: str, line: _Line, folder: WorkerFolder) -> None:
        with line.lock:
            if line.refusal is not None:
                raise line.refusal
            try:
                pulling.fetch(self._engine, image, line.say, lambda: self._is_image_needed(line, folder), self._pause)
            except pulling.ImageUnavailable as refusal:
                line.refusal = refusal
                raise

    def _start(self, folder: WorkerFolder, order: WorkerOrder, line: _Line) -> None:
        line.say("preparing the worker's Python")
        site, name = self._site(), plan.name(order)
        line.say("starting its container")
        inspection = self._engine.inspect(name)
        if inspection is None or inspection["State"]["Status"] == "created":
            try:
                if inspection is not None:  # left half-started by an earlier server, perhaps of another version
                    self._engine.remove(name)
                self._create(order, site, name)
                self._engine.start(name)
            except DaemonError:
                self._remove(name)
                raise
        folder.note_started(name)
        if not self._is_needed(folder.worker):
            self._remove(name)

    def _create(self, order: WorkerOrder, site: ContainerDefaults, name: str) -> None:
        image = pulling.reference(order.placement)
        self._engine.create(name, plan.container(order, site))
        self._warn(image, site.host)
        if not site.host.here:
            runtime.fill(self._engine, image, site.runtime, self._runtime())
        self._engine.put(name, plan.WORKER, plan.archive(plan.document(order, site)))

    def _warn(self, image: str, host: DockerHost) -> None:
        """Log once for each image if another user of this machine can read its trials."""
        with self._lock:
            if image in self._inspected:
                return
            self._inspected.add(image)
        if warning := preflight.exposure(self._engine, image, host):
            _log.warning("%s", warning)

    def _remove(self, name: str) -> None:
        try:
            self._engine.remove(name)
        except OrchestuneError as error:
            _log.warning("cannot remove the container %s before the next sweep: %s", name, error)

    def _fail(self, folder: WorkerFolder, error: OrchestuneError) -> None:
        """Record a failed start: permanent if the daemon rejects the order.

        Internal errors of the daemon may not affect the next worker.
        """
        own = isinstance(error, DaemonError) and error.answer >= 500 and "device driver" not in error.message
        gone = WorkerLoss.UNKNOWN if own else WorkerLoss.REFUSED
        hint = f" ({error.hint})" if error.hint else ""
        folder.note_end(WorkerEnd(gone, f"{error.message}{hint}"), [])

    def _is_needed(self, worker: str) -> bool:
        with self._lock:
            return worker not in self._dropped

    def _is_image_needed(self, line: _Line, folder: WorkerFolder) -> bool:
        with self._lock:
            pending = {folder.worker, *(other.worker for other in line.workers)}
            return bool(pending - self._dropped)

    def _pause(self, seconds: float) -> None:
        self._awake.wait(seconds)
        self._awake.clear()
