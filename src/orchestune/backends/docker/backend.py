"""The Docker backend: a worker is a container of the experiment's image, warm from one trial to the next.

Containers outlive the server; after a restart they are found by their label and the notes in the state folder.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestune.backends.docker import container_end, gpus, plan, preflight, runtime
from orchestune.backends.docker.client import DaemonError, DaemonUnreachable, DockerEngine
from orchestune.backends.docker.config import Daemon
from orchestune.backends.docker.mounts import MountPolicy
from orchestune.backends.docker.plan import ContainerDefaults, DockerHost
from orchestune.backends.docker.startup import ContainerStarter
from orchestune.backends.docker.worker_folder import WorkerFolder, all_worker_folders
from orchestune.backends.nvidia import GpuDiscovery
from orchestune.backends.server_address import ServerAddressFile
from orchestune.backends.worker_notes import WorkerEnd, identity, planned_identity
from orchestune.domain.resources.placement import Placement
from orchestune.domain.resources.resources import Capacity, Machine, Resources
from orchestune.errors import TemporaryError, UsageError
from orchestune.images.runtime import local_build
from orchestune.ports.backend import TERMINATED, Phase, PlannedWorker, WorkerLoss, WorkerOrder, WorkerStatus

_log = logging.getLogger(__name__)

_LIST_CACHE_SECONDS = 0.2
"""seconds for which the container list is cached"""
_SIGTERM_INTERVAL_SECONDS = 1.0
"""seconds between two SIGTERMs"""
_SWEEP_RETRY_SECONDS = 30.0
"""seconds before the next sweep if the daemon is unreachable or a removal has failed"""
_LOG_LINES, _REASON_LINES = 200, 5
_TERMINATED = WorkerEnd(WorkerLoss.UNKNOWN, TERMINATED)
Containers = Mapping[str, Mapping[str, Any]]


class DockerBackend:
    """Implements `ports.backend.Backend`. A worker's backend_ref is `{"container": NAME}`.

    `state` is the server's state folder, `url` its address, `moves` is True if a restart may change the address. Docker
    is not called before the first use. `worker_program` starts the worker, by default the one in the private Python.
    `mounts` defines which host paths containers may mount, by default none.
    """

    name = "docker"
    slots_per_worker: int | None = 1
    assigns_gpus = True
    limits_memory = True
    queues = False

    def __init__(
        self,
        state: Path,
        url: str,
        *,
        moves: bool = False,
        cache: Path | None = None,
        daemon: Daemon | None = None,
        worker_program: Sequence[str] = (),
        mounts: MountPolicy | None = None,
    ) -> None:
        self._state = state.absolute() / "docker"
        self._cache = cache or state.absolute() / "cache"
        self._url = url
        self._program = tuple(worker_program)
        sockets = [daemon.address.partition("://")[2]] if daemon is not None and daemon.here else []
        mounts = mounts or MountPolicy()
        self._mounts = replace(mounts, state=state.absolute(), sockets=[*mounts.sockets, *sockets])
        self._workers = self._state / "workers"
        self._address_file = ServerAddressFile(self._state / "server", url) if moves else None
        self._engine = DockerEngine(10, daemon)
        self._starting = ContainerStarter(DockerEngine(120, daemon), self._site, self._runtime)
        self._host: DockerHost | None = None
        self._gpus = GpuDiscovery(gpus.ask)
        self._ends: dict[str, WorkerEnd] = {}
        self._sigterm_at: dict[str, float] = {}
        self._listed: tuple[float, Containers] = (0.0, {})
        self._swept = False
        self._sweep_at = 0.0
        self._lock = threading.RLock()

    def capacity(self) -> Capacity:
        host = self._daemon_host()
        local_gpus = self._gpus.here() if host.here else ()
        return Capacity((Machine(host.cpu, host.memory, local_gpus, host.name or "docker"),))

    def needs(self, each: Resources, launch: Mapping[str, Any]) -> Resources:
        return each

    def total_request(self, each: Resources, placement: Placement) -> Resources:
        return each

    def refuse(self, each: Resources, placement: Placement, launch: Mapping[str, Any]) -> None:
        if placement.volumes:
            try:
                here = self._daemon_host().here
            except DaemonUnreachable:
                return  # `check` follows, and raises an error with a hint
            self._mounts.refuse(placement, launch, here)

    def check(self, each: Resources, placement: Placement) -> Sequence[str]:
        preflight.check(self._engine, each, placement, self._url)
        return ()

    def infeasible_nodes(self, each: Resources, placement: Placement) -> frozenset[str]:
        return frozenset()

    def plan(self, order: WorkerOrder) -> PlannedWorker:
        if order.placement.image is None:
            raise preflight.no_image()
        defaults = self._defaults(planned_identity(self._state))
        return PlannedWorker(
            "each worker would be a container with a file for its token:",
            ({"name": plan.name(order), **plan.container(order, defaults)},),
        )

    def start(self, order: WorkerOrder) -> Mapping[str, Any]:
        folder = WorkerFolder(self._workers, order.worker)
        if order.placement.image is None:
            raise preflight.no_image()
        with self._lock:
            try:
                folder.take(order)
            except OSError as exc:
                raise TemporaryError(f"it cannot be started: {exc}", "see the state folder") from exc
            if folder.order() is not None:
                self._starting.take(folder, order)
        return {"container": plan.name(order)}

    def observe(self, backend_refs: Mapping[str, Mapping[str, Any]]) -> Sequence[WorkerStatus]:
        if not backend_refs:
            return []
        if self._address_file:
            self._address_file.write()
        with self._lock:
            self._ends = {worker: end for worker, end in self._ends.items() if worker in backend_refs}
            self._sigterm_at = {worker: at for worker, at in self._sigterm_at.items() if worker in backend_refs}
            listed = self._list()
            return [
                self._status_or_error(worker, backend_ref, listed.get(worker))
                for worker, backend_ref in backend_refs.items()
            ]

    def terminate(self, worker: str, backend_ref: Mapping[str, Any], grace: float) -> None:
        folder = _folder(self._workers, worker)
        if folder is None or not folder.path.is_dir() or folder.end() is not None:
            return
        with self._lock:
            name = folder.started()
            if name is None:
                self._starting.drop(worker)
                folder.note_end(_TERMINATED, [])
                return
            folder.note_ending(time.monotonic() + grace)
        self._signal(name, "SIGTERM" if grace > 0 else "SIGKILL")

    def sweep(self, workers: frozenset[str]) -> None:
        now = time.monotonic()
        if not self._workers.is_dir() or now < self._sweep_at:
            return  # never used: Docker need not be installed
        with self._lock:
            orphans = [folder for folder in all_worker_folders(self._workers) if folder.worker not in workers]
            if self._swept and not orphans:
                return
            self._sweep_at = now + _SWEEP_RETRY_SECONDS  # reset below on success
            for folder in orphans:
                self._starting.drop(folder.worker)
            unneeded = [_name(each) for worker, each in self._list(fresh=True).items() if worker not in workers]
            for name in unneeded:
                _log.info("removing the container %s, whose worker no experiment needs", name)
            remaining = [name for name in unneeded if not self._remove(name)]
            for folder in orphans:
                if self._starting.waiting(folder.worker) is None:
                    folder.remove()
            self._swept = not remaining
            if self._swept:
                self._sweep_at = now

    def _daemon_host(self) -> DockerHost:
        if self._host is None:
            self._host = self._engine.about()
        return self._host

    def _site(self) -> ContainerDefaults:
        """Return the settings common to all containers, and create the folders that they name.

        Takes seconds the first time.
        """
        if self._daemon_host().here:
            self._runtime()
            if self._address_file:
                self._address_file.write()
        return self._defaults(self._identity())

    def _defaults(self, identity: str) -> ContainerDefaults:
        host = self._daemon_host()
        address = self._address_file.folder if self._address_file and host.here else None
        defaults = ContainerDefaults(
            state=identity,
            host=host,
            runtime=str(local_build.location(self._cache)) if host.here else runtime.volume(),
            url=self._url,
            address=str(address) if address else None,
            mounts=self._mounts,
        )
        return replace(defaults, command=self._program) if self._program else defaults

    def _runtime(self) -> Path:
        return local_build.build(self._cache)

    def _identity(self) -> str:
        """Return the id that distinguishes our containers from those of other state folders."""
        return identity(self._state)

    def _list(self, fresh: bool = False) -> Containers:
        """Return the containers of this server by worker."""
        at, listed = self._listed
        if fresh or time.monotonic() - at > _LIST_CACHE_SECONDS:
            containers = self._engine.containers(f"{plan.STATE_LABEL}={self._identity()}")
            listed = {str(container["Labels"].get(plan.WORKER_LABEL)): container for container in containers}
            self._listed = (time.monotonic(), listed)
        return listed

    def _status_or_error(
        self, worker: str, backend_ref: Mapping[str, Any], container: Mapping[str, Any] | None
    ) -> WorkerStatus:
        """Observe one worker; a daemon error for its container must not affect the others."""
        try:
            return self._status(worker, backend_ref, container)
        except DaemonError as refused:
            _log.warning("cannot observe the worker %s now: %s", worker, refused)
            return WorkerStatus(worker, Phase.RUNNING, backend_ref, refused.message)

    def _status(self, worker: str, backend_ref: Mapping[str, Any], container: Mapping[str, Any] | None) -> WorkerStatus:
        folder = _folder(self._workers, worker)
        if folder is None:
            return WorkerStatus(worker, Phase.GONE, backend_ref, "no such worker was started here")
        end = self._ends.get(worker)
        if end is None and (end := folder.end()) is not None:
            self._record_end(folder, backend_ref, end)
        if end is not None:
            return WorkerStatus(worker, Phase.GONE, backend_ref, end.reason, end.loss)
        reason = self._starting.waiting(worker)
        state = str(container["State"]) if container else ""
        if reason is None and state in ("", "created") and (order := folder.order()) is not None:
            self._starting.take(folder, order)  # an earlier server did not get to it
            reason = self._starting.waiting(worker) or ""
        if reason is not None:
            return WorkerStatus(worker, Phase.PENDING, backend_ref, reason)
        name = _name(container) if container else folder.started()
        if name is None:
            return WorkerStatus(worker, Phase.GONE, backend_ref, "no such worker was started here")
        return self._container_status(folder, name, state)

    def _container_status(self, folder: WorkerFolder, name: str, state: str) -> WorkerStatus:
        backend_ref = {"container": name}
        if folder.started() is None:
            folder.note_started(name)
        end = None if state in ("running", "paused", "restarting") else self._conclude(folder, name)
        if end is not None:
            return WorkerStatus(folder.worker, Phase.GONE, backend_ref, end.reason, end.loss)
        self._repeat_signal(folder, name)
        return WorkerStatus(folder.worker, Phase.RUNNING, backend_ref, node=self._host.name if self._host else "")

    def _repeat_signal(self, folder: WorkerFolder, name: str) -> None:
        """Kill a worker past its deadline; until then repeat SIGTERM, which a worker still starting does not handle."""
        kill_at, now = folder.kill_at(), time.monotonic()
        if kill_at is None:
            return
        if now >= kill_at:
            self._signal(name, "SIGKILL")
        elif now >= self._sigterm_at.get(folder.worker, 0.0) + _SIGTERM_INTERVAL_SECONDS:
            self._sigterm_at[folder.worker] = now
            self._signal(name, "SIGTERM")

    def _signal(self, name: str, signal: str) -> None:
        """Signal a container. If the daemon rejects that, `_repeat_signal` retries at the next observation."""
        try:
            self._engine.signal(name, signal)
        except DaemonError as refused:
            _log.warning("cannot signal the container %s now: %s", name, refused)

    def _conclude(self, folder: WorkerFolder, name: str) -> WorkerEnd | None:
        """Return the end of a container that has stopped; None if it is running."""
        inspection = self._engine.inspect(name)
        if inspection is None:
            end = (
                WorkerEnd(WorkerLoss.UNKNOWN, "its container was removed") if folder.kill_at() is None else _TERMINATED
            )
            self._record_end(folder, {}, end)
            return end
        state = inspection["State"]
        if state.get("Running") or state.get("Status") == "created":
            return None
        lines, ended = self._engine.last_lines(name, _LOG_LINES), container_end.finished(state)
        times = self._engine.killed_for_memory(name, ended - 60, ended) if state.get("OOMKilled") else []
        limit = int(inspection["HostConfig"].get("Memory") or 0)
        end = WorkerEnd(*container_end.judge(state, limit, times, folder.kill_at() is not None, lines[-_REASON_LINES:]))
        folder.note_end(end, lines)
        self._record_end(folder, {"container": name}, end)
        return end

    def _record_end(self, folder: WorkerFolder, backend_ref: Mapping[str, Any], end: WorkerEnd) -> None:
        """Remove the container of a worker that has ended, and record the end."""
        name = folder.started() or backend_ref.get("container")
        if name:
            self._remove(str(name))
        if folder.end() is None:
            folder.note_end(end, [])
        self._ends[folder.worker] = end

    def _remove(self, name: str) -> bool:
        """Remove a container. Return True if it is removed."""
        try:
            self._engine.remove(name)
        except DaemonError as refused:
            _log.warning("cannot remove the container %s now: %s", name, refused)
            return False
        return True


def _folder(workers: Path, worker: str) -> WorkerFolder | None:
    """Return the worker's folder; None if the id is not a valid folder name."""
    try:
        return WorkerFolder(workers, worker)
    except UsageError:
        return None


def _name(container: Mapping[str, Any]) -> str:
    """Return the container's name, or its id: one that the daemon failed to remove (`dead`) has no name."""
    return str((container["Names"] or [container["Id"]])[0]).lstrip("/")
