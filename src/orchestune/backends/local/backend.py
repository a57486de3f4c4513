"""The local backend: workers are processes of this machine, each in its own session, and outlive the server."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestune.backends.local import capacity as machine
from orchestune.backends.local import client, plan
from orchestune.backends.local.termination import WorkerTerminator
from orchestune.backends.local.worker_folder import WorkerFolder
from orchestune.backends.nvidia import GpuDiscovery, ListedGpus, among
from orchestune.backends.shell import environment
from orchestune.domain.resources.gpus import Gpu
from orchestune.domain.resources.placement import Placement
from orchestune.domain.resources.resources import Capacity, Machine, Resources
from orchestune.errors import TemporaryError, UsageError
from orchestune.ports.backend import TERMINATED, Phase, PlannedWorker, WorkerOrder, WorkerStatus
from orchestune.system.private import write_private
from orchestune.system.process import Process, boot_id

_KEEP_LOGS_SECONDS = 7 * 24 * 3600.0
_RETAIN_FILES_SECONDS = 24 * 3600.0
_SWEEP_SECONDS = 6 * 3600.0
_REASON_LINES = 5
_DONE = "ending: nothing is left to do"
"""last log line of a worker that has exited cleanly (its `journal.DONE`)"""


class LocalBackend:
    """Implements `ports.backend.Backend`. A worker's backend_ref identifies its process: `{"pid", "started", "boot"}`.

    `state` is the server's state folder. `endpoint` is the file with the address of an embedded server (also its
    socket), which workers read again when it moves; `url` is the address of a permanent server. `worker_program` is the
    command line of the worker, by default that of this installation. `umask` is that of commands, by default the
    server's.

    An embedded server allocates all GPUs of the machine, and to each experiment those in the `CUDA_VISIBLE_DEVICES` of
    its shell; a permanent one allocates those in its own.
    """

    name = "local"
    slots_per_worker: int | None = None
    assigns_gpus = True
    limits_memory = False
    queues = False

    def __init__(
        self,
        state: Path,
        endpoint: Path | None,
        url: str | None,
        worker_program: Sequence[str] = (),
        capacity: Machine | None = None,
        umask: int | None = None,
    ) -> None:
        self._workers = state.absolute() / "workers"
        self._cores = state.absolute() / "cores"
        self._endpoint = endpoint.absolute() if endpoint else None
        # By TCP alone, a worker could not tell which process answers on the port of an embedded server that has
        # crashed.
        self._url = None if endpoint else url
        self._program = tuple(worker_program) or plan.installed_worker()
        self._capacity = capacity
        self._umask = umask
        self._gpus = GpuDiscovery(self._query_gpus)
        self._listed: Sequence[ListedGpus] = ()
        self._reasons: dict[str, str] = {}
        self._alive: set[Process] = set()
        """workers seen running by this object"""
        self._terminator = WorkerTerminator()
        self._lock = threading.Lock()
        self._sweep_at = time.monotonic()

    def capacity(self) -> Capacity:
        if self._capacity is not None:
            return Capacity((self._capacity,))
        environ = os.environ if self._endpoint is None else {}
        return Capacity((machine.with_gpus(self._gpus.here(), environ=environ),))

    def needs(self, each: Resources, launch: Mapping[str, Any]) -> Resources:
        visible = (launch.get("env") or {}).get(machine.VARIABLE)
        if self._endpoint is None or not each.gpu or visible is None:
            return each
        return replace(each, gpu_ids=among(self.capacity().gpus, visible, self._listed))

    def total_request(self, each: Resources, placement: Placement) -> Resources:
        return each

    def check(self, each: Resources, placement: Placement) -> Sequence[str]:
        """Accept everything: container options have no effect on processes, as the plan reports."""
        return ()

    def infeasible_nodes(self, each: Resources, placement: Placement) -> frozenset[str]:
        return frozenset()

    def plan(self, order: WorkerOrder) -> PlannedWorker:
        folder = WorkerFolder(self._workers, order.worker)
        return PlannedWorker("", ({"command": list(self._program), "folder": str(folder.state_folder)},))

    def start(self, order: WorkerOrder) -> Mapping[str, Any]:
        folder = WorkerFolder(self._workers, order.worker)
        try:
            with folder.locked_for_start() as is_first:
                process = folder.started() or (None if is_first else client.find_worker(folder.settings_file))
                if process is None:
                    process = self._spawn(order, folder)
                if folder.started() is None:
                    folder.note_started(process)
        except OSError as exc:
            raise TemporaryError(f"it cannot be started: {exc}", "see `orchestune doctor`") from exc
        return process.to_json()

    def observe(self, backend_refs: Mapping[str, Mapping[str, Any]]) -> Sequence[WorkerStatus]:
        with self._lock:
            self._sweep_if_due(backend_refs.keys())
            self._reasons = {worker: reason for worker, reason in self._reasons.items() if worker in backend_refs}
            return [self._status(worker, backend_ref) for worker, backend_ref in backend_refs.items()]

    def terminate(self, worker: str, backend_ref: Mapping[str, Any], grace: float) -> None:
        folder = _folder(self._workers, worker)
        process = _process(backend_ref, folder) if folder else None
        if folder is None or process is None:
            return
        kill_at = time.monotonic() + grace
        if process.alive() and not self._terminator.busy_with(process):
            kill_at = min(kill_at, folder.kill_at() or kill_at)
            folder.note_ending(kill_at)
        self._terminator.take(process, folder, kill_at, tell=True)

    def sweep(self, workers: frozenset[str]) -> None:
        """Do nothing: `observe` cleans up after workers, and their tokens are no longer valid."""

    def _query_gpus(self) -> tuple[Gpu, ...]:
        """Return the GPUs to allocate, by index."""
        if self._endpoint is None:
            return machine.gpus()
        gpus, self._listed = machine.every_gpu()
        return gpus

    def _spawn(self, order: WorkerOrder, folder: WorkerFolder) -> Process:
        try:
            # a permanent server is shared, and its disk is not the user's
            retained = folder.retained if self._endpoint is not None else None
            settings = plan.document(
                order, folder.state_folder, self._endpoint, self._url, self._cores, self._umask, retained
            )
            write_private(folder.settings_file, settings)
            environ = environment(order, folder.settings_file, os.environ)
            return client.spawn(self._program, environ, folder.state_folder, folder.log)
        except OSError:
            folder.delete_secrets()
            raise

    def _status(self, worker: str, backend_ref: Mapping[str, Any]) -> WorkerStatus:
        if worker in self._reasons:
            return WorkerStatus(worker, Phase.GONE, backend_ref, self._reasons[worker])
        folder = _folder(self._workers, worker)
        process = _process(backend_ref, folder) if folder else None
        if folder is None or process is None:
            return WorkerStatus(worker, Phase.GONE, backend_ref, "no such worker was started here")
        if process.alive():
            self._alive.add(process)
            kill_at = folder.kill_at()
            if kill_at is not None:  # noted by an earlier server
                self._terminator.take(process, folder, kill_at)
            return WorkerStatus(worker, Phase.RUNNING, process.to_json())
        code = client.exit_code(process)
        self._reasons[worker] = _reason_of_end(process, folder, code)
        folder.delete_secrets()
        if not _exited_cleanly(folder, code):  # its guard may have been killed too; later attempts must run alone
            client.kill_all(lambda: client.left_by_trials(worker))
        self._terminator.take(process, folder, 0.0, just_died=process in self._alive)
        self._alive.discard(process)
        return WorkerStatus(worker, Phase.GONE, process.to_json(), self._reasons[worker])

    def _sweep_if_due(self, tracked: Set[str]) -> None:
        """Clean up after workers that ended while no server ran and that are no longer tracked; delete old logs."""
        if time.monotonic() < self._sweep_at:
            return
        self._sweep_at = time.monotonic() + _SWEEP_SECONDS
        for name in set(os.listdir(self._workers) if self._workers.is_dir() else ()) - tracked:
            folder = _folder(self._workers, name)
            process = folder.started() if folder else None
            if folder is not None and (process is None or not process.alive()):
                if process is not None and not folder.emptied:
                    self._terminator.take(process, folder, 0.0)
                folder.remove_retained_if_older(_RETAIN_FILES_SECONDS)
                folder.remove_if_older(_KEEP_LOGS_SECONDS)


def _folder(workers: Path, worker: str) -> WorkerFolder | None:
    """Return the worker's folder; None if the id is not a valid folder name."""
    try:
        return WorkerFolder(workers, worker)
    except UsageError:
        return None


def _process(backend_ref: Mapping[str, Any], folder: WorkerFolder) -> Process | None:
    """Return the worker's process: from the backend_ref, its note, or by search if the server died before noting it."""
    process = Process.from_json(backend_ref) or folder.started()
    if process is None and folder.path.is_dir():
        process = client.find_worker(folder.settings_file)
    return process


def _exited_cleanly(folder: WorkerFolder, code: int | None) -> bool:
    """Return True if a worker exited cleanly: then none of its trials' processes is left."""
    return code == 0 or (code is None and "".join(folder.last_lines(1)).endswith(_DONE))


def _reason_of_end(process: Process, folder: WorkerFolder, code: int | None) -> str:
    """Return why a worker is gone, as a message for users."""
    if process.boot != boot_id():
        return "the machine has rebooted, or this is another one"
    if folder.kill_at() is not None:
        return TERMINATED
    if _exited_cleanly(folder, code):
        return "the worker ended"
    lines = folder.last_lines(_REASON_LINES)
    if code is not None and code > 128:  # the guard's exit code for death by a signal
        code = 128 - code
    if code is None:
        reason = "the worker's process is gone"
    elif code < 0:
        reason = f"the worker was killed by signal {-code} ({_signal_name(-code)})"
        reason += "; perhaps the machine ran out of memory" if -code == signal.SIGKILL else ""
    else:
        reason = f"the worker ended with exit code {code}"
    return "\n".join([f"{reason}; its last lines:", *lines]) if lines else reason


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
