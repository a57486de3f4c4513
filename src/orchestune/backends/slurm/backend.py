"""The Slurm backend: a worker is a job, warm from one trial to the next, with an allocation sized for one trial.

Jobs outlive the server; after a restart they are found by job id or name. Slurm decides when each job starts: pending
jobs hold no resources here.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestune.backends.server_address import ADDRESS, ServerAddressFile
from orchestune.backends.shell import environment
from orchestune.backends.slurm import job_end, plan, preflight
from orchestune.backends.slurm import survey as surveying
from orchestune.backends.slurm.client import Slurm, SlurmJob
from orchestune.backends.slurm.worker_folder import WorkerFolder, all_worker_folders
from orchestune.backends.worker_notes import WorkerEnd, identity, planned_identity, read_note
from orchestune.domain.resources.placement import Placement
from orchestune.domain.resources.resources import Capacity, Resources
from orchestune.domain.resources.survey import MachineAllocation
from orchestune.errors import TemporaryError, UsageError
from orchestune.images.runtime import local_build
from orchestune.ports.backend import TERMINATED, Phase, PlannedWorker, WorkerLoss, WorkerOrder, WorkerStatus
from orchestune.system.private import refuse_foreign, require_own_folder

_log = logging.getLogger(__name__)

_MIN_LIST_CACHE_SECONDS, _LIST_CACHE_SECONDS = 1.0, 5.0
"""seconds for which the job list is cached: while a job was recently submitted or stopped, and otherwise"""
_RECENT_SECONDS = 30.0
"""seconds after which a submission or a stop no longer counts as recent"""
_SIGNAL_INTERVAL_SECONDS = 5.0
"""seconds between two signals of the same kind"""
_KEEP_SECONDS = 7 * 24 * 3600.0
_SWEEP_SECONDS = 3600.0
_REASON_LINES = 5
_TERMINATED = WorkerEnd(WorkerLoss.UNKNOWN, TERMINATED)
_UNKNOWN = "no such worker was started here"
_SHARED = "the folder that nodes share"


class SlurmBackend:
    """Implements `ports.backend.Backend`. A worker's backend_ref is `{"job": NUMBER}`.

    `state` is the server's state folder, `shared` one that the nodes see under the same path. `reached` makes the
    server reachable from the nodes when the first worker starts, on the given port if it is free, and returns its URL;
    `moves` is True if a restart may change that URL. Slurm is not called before the first use. `worker_program` starts
    the worker, by default the private Python. `umask` is that of commands, by default the server's.
    """

    name = "slurm"
    slots_per_worker: int | None = 1
    assigns_gpus = False
    limits_memory = True
    queues = True

    def __init__(
        self,
        state: Path,
        shared: Path,
        reached: Callable[[int], str],
        *,
        moves: bool = False,
        slurm: Slurm | None = None,
        worker_program: Sequence[str] = (),
        umask: int | None = None,
    ) -> None:
        self._umask = umask
        self._state = state.absolute() / "slurm"
        self._notes_folder = self._state / "workers"
        self._common = shared.absolute() / "slurm"
        self._reached, self._moves = reached, moves
        self._slurm = slurm or Slurm()
        self._program = tuple(worker_program)
        self._address_file: ServerAddressFile | None = None
        self._url = ""
        self._listed: tuple[float, Mapping[str, SlurmJob]] = (0.0, {})
        self._changed_at = 0.0
        self._ends: dict[str, WorkerEnd] = {}
        self._last_signals: dict[str, tuple[bool, float]] = {}
        """worker → (True if killed, False if asked to terminate; time of the last signal)"""
        self._surveyed: tuple[float, Sequence[MachineAllocation], str] = (-_LIST_CACHE_SECONDS, (), "")
        """time of the survey, the nodes, and the error if it failed"""
        self._swept = 0.0
        self._nodes: frozenset[str] | None = None
        self._making: Future[Path] | None = None
        self._lock = threading.RLock()

    def capacity(self) -> Capacity:
        return Capacity(elastic=True)

    def needs(self, each: Resources, launch: Mapping[str, Any]) -> Resources:
        return each

    def total_request(self, each: Resources, placement: Placement) -> Resources:
        return each

    def check(self, each: Resources, placement: Placement) -> Sequence[str]:
        try:
            preflight.check(self._slurm, each, placement)
        except TemporaryError as exc:
            return (f"not checked whether Slurm accepts the jobs: {exc}",)
        return ()

    def infeasible_nodes(self, each: Resources, placement: Placement) -> frozenset[str]:
        return frozenset()

    def plan(self, order: WorkerOrder) -> PlannedWorker:
        self._refuse_foreign()
        folder = WorkerFolder(
            self._notes_folder, self._common / planned_identity(self._state) / "workers", order.worker
        )
        return PlannedWorker(
            "each worker would be a Slurm job with these options:", ({"sbatch": self._options(order, folder)},)
        )

    def start(self, order: WorkerOrder) -> Mapping[str, Any]:
        folder = self._folder(order.worker)
        try:
            with self._lock, folder.locked_for_start() as is_first:
                if folder.end() is not None:
                    return {"job": folder.job_id() or ""}
                job = folder.job_id()
                if job is None:
                    existing = None if is_first else self._find(order.worker)
                    job = existing.id if existing else self._submit(order, folder)
                    folder.note_job(job)
        except OSError as exc:
            raise TemporaryError(f"it cannot be started: {exc}", "see the state folder, and ORCHESTUNE_SHARED") from exc
        return {"job": job}

    def observe(self, backend_refs: Mapping[str, Mapping[str, Any]]) -> Sequence[WorkerStatus]:
        if not backend_refs:
            return []
        with self._lock:
            self._publish_address()
            self._ends = {worker: end for worker, end in self._ends.items() if worker in backend_refs}
            self._last_signals = {worker: at for worker, at in self._last_signals.items() if worker in backend_refs}
            return [self._status(worker, backend_ref) for worker, backend_ref in backend_refs.items()]

    def terminate(self, worker: str, backend_ref: Mapping[str, Any], grace: float) -> None:
        folder = self._known(worker)
        if folder is None or folder.end() is not None:
            return
        with self._lock:
            self._changed_at = time.monotonic()
            folder.note_ending(self._changed_at + grace)
            job = self._job(folder, backend_ref)
            if job is None or job_end.phase(job)[0] is Phase.GONE:
                self._conclude(folder, job)
            else:
                self._repeat_signal(folder, job)

    def sweep(self, workers: frozenset[str]) -> None:
        """Cancel the jobs of workers that no experiment needs, and delete the notes of workers that ended long ago."""
        now = time.monotonic()
        if not self._notes_folder.is_dir() or (self._swept and now < self._swept + _SWEEP_SECONDS):
            return
        with self._lock:
            for folder in all_worker_folders(self._notes_folder, self._own / "workers"):
                if folder.worker in workers:
                    continue
                if folder.end() is None:
                    if job := self._job(folder, {}):
                        _log.info("cancelling the job %s, whose worker no experiment needs", job.id)
                        self._slurm.cancel(job.id)
                    self._record_end(folder, _TERMINATED)
                elif folder.ended_more_than(_KEEP_SECONDS):
                    folder.remove()
            self._swept = now

    def survey(self) -> Sequence[MachineAllocation]:
        """Return every node. Implements `ports.backend.Surveyor`, with `notes`."""
        with self._lock:
            try:
                if time.monotonic() - self._surveyed[0] > _LIST_CACHE_SECONDS:
                    ours = [job for job in self._list().values() if plan.is_ours(job.name) and job.state == "RUNNING"]
                    self._surveyed = (time.monotonic(), surveying.survey(self._slurm.show("nodes"), ours), "")
            except (TemporaryError, UsageError) as exc:
                self._surveyed = (time.monotonic(), (), str(exc))
            return self._surveyed[1]

    def notes(self) -> Sequence[str]:
        """Return the error of the last survey, if it failed."""
        return [self._surveyed[2]] if self._surveyed[2] else []

    @cached_property
    def _own(self) -> Path:
        """This server's part of the shared folder."""
        return self._common / identity(self._state)

    def _folder(self, worker: str) -> WorkerFolder:
        return WorkerFolder(self._notes_folder, self._own / "workers", worker)

    def _known(self, worker: str) -> WorkerFolder | None:
        """Return the worker's folder; None if no such worker was ever started here."""
        try:
            folder = self._folder(worker)
        except UsageError:
            return None
        return folder if folder.path.is_dir() else None

    def _publish_address(self) -> Path | None:
        """Make the server reachable from the nodes, once.

        Return the file with its address if that may change, else None.
        """
        if not self._url:
            folder = self._own / "server"
            self._url = self._reached(_port(read_note(folder / ADDRESS).get("url")))
            self._address_file = ServerAddressFile(folder, self._url) if self._moves else None
        return self._address_file.write() / ADDRESS if self._address_file else None

    def _submit(self, order: WorkerOrder, folder: WorkerFolder) -> str:
        self._refuse_foreign()
        require_own_folder(self._common, _SHARED, "see --shared")
        runtime, address = self._runtime(), self._publish_address()
        folder.prepare(plan.document(order, self._url, address, folder.state_folder, self._umask))
        script = plan.script(runtime, folder.settings_file, self._program)
        options = self._options(order, folder)
        self._changed_at = time.monotonic()
        return self._slurm.submit(script, options, environment(order, folder.settings_file, os.environ))

    def _refuse_foreign(self) -> None:
        """Raise UsageError if other users could place programs in the shared folder, which the nodes run."""
        refuse_foreign(self._common.parent, _SHARED, "see --shared")

    def _options(self, order: WorkerOrder, folder: WorkerFolder) -> list[str]:
        """Return the `sbatch` options of the worker's job."""
        excluded = order.avoid & self._node_names() if order.avoid else frozenset[str]()
        return plan.job(order, folder.log, folder.state_folder, excluded)

    def _runtime(self) -> Path:
        """Return the private Python. The first call starts building it in a thread, without blocking other callers.

        Raises TemporaryError until it is built, and OrchestuneError if that fails.
        """
        if self._program:
            return Path("/")
        if self._making is None:
            maker = ThreadPoolExecutor(1, "slurm-runtime")
            self._making = maker.submit(local_build.build, self._common)
            maker.shutdown(wait=False)
        if not self._making.done():
            raise TemporaryError("the worker's Python is being built, once, in the folder that nodes share")
        making, failed = self._making, self._making.exception()
        if failed is not None:
            self._making = None
        return making.result()

    def _node_names(self) -> frozenset[str]:
        """Return Slurm's node names; it rejects options with unknown names."""
        if self._nodes is None:
            words = self._slurm.show("nodes").split()
            self._nodes = frozenset(word.removeprefix("NodeName=") for word in words if word.startswith("NodeName="))
        return self._nodes

    def _job(self, folder: WorkerFolder, backend_ref: Mapping[str, Any]) -> SlurmJob | None:
        """Return the worker's job; None if Slurm has none of its name, even if another job has its number now."""
        number = folder.job_id() or str(backend_ref.get("job") or "")
        for jobs in (self._list(), self._list(fresh=True)) if number else ():
            if number in jobs:
                return jobs[number] if plan.is_named_for(jobs[number].name, folder.worker) else None
        return None if number else self._find(folder.worker)

    def _find(self, worker: str) -> SlurmJob | None:
        """Return the job that an earlier server submitted without recording its number."""
        return next((job for job in self._list(fresh=True).values() if plan.is_named_for(job.name, worker)), None)

    def _list(self, fresh: bool = False) -> Mapping[str, SlurmJob]:
        """Return this user's jobs by number. Raises TemporaryError if Slurm does not answer."""
        at, listed = self._listed
        now = time.monotonic()
        if fresh or now - at > (
            _MIN_LIST_CACHE_SECONDS if now - self._changed_at < _RECENT_SECONDS else _LIST_CACHE_SECONDS
        ):
            listed = self._slurm.jobs()
            self._listed = (time.monotonic(), listed)
        return listed

    def _status(self, worker: str, backend_ref: Mapping[str, Any]) -> WorkerStatus:
        folder = self._known(worker)
        if folder is None:
            return WorkerStatus(worker, Phase.GONE, backend_ref, _UNKNOWN)
        end = self._ends.get(worker) or folder.end()
        if end is not None:
            self._ends[worker] = end
            return WorkerStatus(worker, Phase.GONE, backend_ref, end.reason, end.loss)
        job = self._job(folder, backend_ref)
        if job is None and folder.job_id() is None:
            return WorkerStatus(worker, Phase.GONE, backend_ref, _UNKNOWN)  # no recorded end: `start` may follow
        phase, reason = job_end.phase(job) if job else (Phase.GONE, "")
        if job is None or phase is Phase.GONE:
            end = self._conclude(folder, job)
            return WorkerStatus(worker, Phase.GONE, backend_ref, end.reason, end.loss)
        self._repeat_signal(folder, job)
        return WorkerStatus(worker, phase, {"job": job.id}, reason, node=job.node if phase is Phase.RUNNING else "")

    def _repeat_signal(self, folder: WorkerFolder, job: SlurmJob) -> None:
        """Kill a worker past its deadline; until then repeat SIGTERM, as a worker does not handle it at its very start.

        A pending job is cancelled at once. `scancel` follows the SIGKILL, as it also ends jobs that hang.
        """
        kill_at, now = folder.kill_at(), time.monotonic()
        if kill_at is None:
            return
        kill = now >= kill_at or job_end.phase(job)[0].waits
        was_kill, at = self._last_signals.get(folder.worker, (False, -_SIGNAL_INTERVAL_SECONDS))
        is_first_kill = kill and not was_kill
        if now < at + _SIGNAL_INTERVAL_SECONDS and not is_first_kill:
            return
        self._last_signals[folder.worker] = (kill, now)
        if kill:
            self._slurm.signal(job.id, "KILL", full=True)
            self._slurm.cancel(job.id)
        else:
            self._slurm.signal(job.id, "TERM", full=False)

    def _conclude(self, folder: WorkerFolder, job: SlurmJob | None) -> WorkerEnd:
        """Record and return the end of a job that has finished or that Slurm no longer knows."""
        terminated, lines = folder.kill_at() is not None, folder.last_lines(_REASON_LINES)
        if job is None:
            end = (
                _TERMINATED
                if terminated
                else WorkerEnd(WorkerLoss.UNKNOWN, f"Slurm no longer knows its job {folder.job_id()}")
            )
        else:
            code = self._slurm.exit_code(job.id) if job.state == "FAILED" else None
            end = WorkerEnd(*job_end.judge(job, code, terminated, lines, str(self._common)))
        self._record_end(folder, end)
        return end

    def _record_end(self, folder: WorkerFolder, end: WorkerEnd) -> None:
        """Record the end and delete the trials' files in a thread, as that is slow on remote file systems."""
        folder.note_end(end)
        self._ends[folder.worker] = end
        threading.Thread(target=folder.delete_trial_files, name="slurm-emptying", daemon=True).start()


def _port(url: object) -> int:
    """Return the port of a URL; 0 if it has none."""
    return urlsplit(str(url)).port or 0 if url else 0
