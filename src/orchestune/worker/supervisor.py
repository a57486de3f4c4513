"""Runs attempts: starts their commands, watches the processes and terminates whatever they leave behind.

Each attempt goes through the phases of `attempt.py`, and only the supervisor decides when. It is event-driven: the loop
calls `read` for output, `reap` after SIGCHLD and `tick` for timers; thread pools deliver callbacks. Everything runs in
the loop's thread, so no state needs a lock; anything that may block (downloads, `posix_spawn`, copies of files) runs in
a pool and calls back.

Invariants:

- An attempt ends in `_finish` exactly once: it reports a result, releases its slot and cores, and leaves `attempts`.
- `verdict` overrides the exit status. It is set before the first signal is sent, so whatever the command does after it
  was told to stop, the reason of the stop is reported. If the process exited by itself before, its own outcome counts.
- A slot is reused only after no process of its attempt is left, since all of them may still write to its files.
- An unexpected exception fails the attempt that caused it (`_isolated`); the loop and other attempts keep running.

Races:

- A command may exit before its pid is known: the thread that starts it has not called back yet. Children that are
  reaped while attempts are starting are therefore kept in `_exited_early`.
- An order to stop may arrive while an attempt is prepared or started: the verdict is set and the signal follows in
  `_launched`; until then no process exists that could receive it.
- A pid may be reused as soon as it is reaped, so the leader's process group is killed before that (`reap_children`).
- Processes may fork while they are killed, and orphans arrive later: sweeping repeats until none is left. A process of
  another user cannot be killed; the log says so and it is no longer tracked, as the attempt would never end otherwise.
"""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from orchestune.worker import attempt as phases
from orchestune.worker.attempt import RunningAttempt, StartError
from orchestune.worker.connection.reporting import Reporting, UnsentReport
from orchestune.worker.files.collect import Collector
from orchestune.worker.files.removal import remove
from orchestune.worker.files.spool import Spool
from orchestune.worker.files.written import WrittenFiles
from orchestune.worker.job import PreparedJob
from orchestune.worker.journal import say, traceback_of
from orchestune.worker.metrics.usage import Sampler, WatchedTree
from orchestune.worker.pending_leases import PendingLeases
from orchestune.worker.prepare import Preparation, PreparationFailed
from orchestune.worker.processes import tree
from orchestune.worker.processes.guard import Lifeline
from orchestune.worker.processes.launcher import Launcher
from orchestune.worker.processes.orphans import Orphans
from orchestune.worker.processes.reaping import ExitedProcess, reap_children
from orchestune.worker.settings import Settings
from orchestune.worker.slot import Slot
from orchestune.worker.thread_pool import ThreadPool

SWEEP_SECONDS = 0.02
"""interval of sweeps while processes of an ended attempt are left"""
MIN_SAMPLED_RUNTIME_SECONDS = 1.0
"""runtime after which an attempt's usage is sampled and its metric files are read while it runs"""
SAMPLE_SECONDS = 0.5
"""interval of samples and of reads of metric files"""
MAX_READ_SECONDS = 0.05
"""duration of one uninterrupted read of a finished attempt's remaining output, so that the loop stays responsive"""
_NOT_KILLABLE = "process {} belongs to another user: it cannot be killed and keeps running"


class Supervisor:
    """State machine of this worker's attempts. Every method runs in the loop's thread and must not block."""

    def __init__(
        self,
        settings: Settings,
        preparation: Preparation,
        reporting: Reporting,
        spool: Spool,
        crew: ThreadPool,
        starts: ThreadPool,
        collector: Collector,
        selector: selectors.BaseSelector,
        lifeline: Lifeline,
    ) -> None:  # fmt: skip
        self._folder = settings.state / "workers" / settings.worker
        remove(self._folder)
        self._written = WrittenFiles(settings.retained)
        self._preparation, self._reporting, self._spool = preparation, reporting, spool
        self._crew, self._collector, self._selector, self._lifeline = crew, collector, selector, lifeline
        self._own_groups = {os.getpgrp(), os.getpgid(os.getppid())}
        self._free: list[Slot] = []
        self._slot_count = 0
        self._by_pid: dict[int, RunningAttempt] = {}
        self._exited_early: dict[int, ExitedProcess] = {}
        """children that exited while attempts were starting: each may be the process of one of those attempts"""
        self._orphans = Orphans()
        self._launcher = Launcher(starts, settings.state, settings.cores)
        self._sampler = Sampler()
        self._next_sample = 0.0
        self._failures = 0
        self.capacity = settings.slots
        self.attempts: dict[str, RunningAttempt] = {}
        self.waiting = PendingLeases(preparation, crew, reporting, spool)
        self.paused_until = 0.0
        """monotonic time before which no leases are requested, because this machine just failed to start attempts"""

    @property
    def idle(self) -> int:
        """Number of free slots."""
        return max(0, self.capacity - len(self.attempts) - len(self.waiting))

    def clean_up(self) -> None:
        """Remove the folders of all slots. Call it only once no attempt is running."""
        self._launcher.shut_down()
        remove(self._folder)

    def start_next(self) -> None:
        """Start the first waiting lease whose job has been fetched, if there is one."""
        pending = self.waiting.take()
        if pending is not None:
            self._start(*pending)

    def stop(self, attempt_id: str, state: str, reason: Mapping[str, Any] | None, grace: float | None = None) -> None:
        """Terminate an attempt: SIGTERM to its process tree now, SIGKILL after the grace period. Idempotent.

        It finishes in `state`, unless its process has already exited by itself: then its own outcome is kept.
        """
        self.reap()
        self.waiting.end(attempt_id, state, reason)
        attempt = self.attempts.get(attempt_id)
        if attempt is None or attempt.phase not in (phases.PREPARING, phases.STARTING, phases.RUNNING):
            return
        attempt.verdict = (state, dict(reason) if reason else None)
        self._terminate(attempt, attempt.job.grace if grace is None else grace)

    def abandon(self, attempt_id: str) -> None:
        """Kill an attempt that a newer one superseded; its result is discarded."""
        attempt = self.attempts.get(attempt_id)
        if attempt is None:
            return
        attempt.superseded = True
        attempt.verdict = ("cancelled", {"code": "superseded", "message": "a newer attempt took over"})
        self._terminate(attempt, 0.0)

    def stop_all(self, reason: Mapping[str, Any]) -> None:
        """Preempt all attempts, waiting and running, because the worker shuts down."""
        for attempt_id in [*self.waiting, *self.attempts]:
            self.stop(attempt_id, "preempted", reason)

    def reap(self) -> None:
        """Reap all exited children. The group of an attempt's leader is killed before the kernel can reuse its pid."""
        for pid, status, usage in reap_children(self._by_pid):
            attempt = self._by_pid.pop(pid, None)
            if attempt is not None:
                attempt.record_exit(status, usage)
                continue
            starting = self._starting()
            if starting:
                self._exited_early[pid] = ExitedProcess(status, usage, starting)
            self._launcher.handle_exit(pid)
        self._sweep_all()

    def read(self, attempt: RunningAttempt) -> None:
        """Read output of the attempt, and close the pipe at its end."""
        with self._isolated(attempt):
            if attempt.output >= 0 and not attempt.read():
                self._selector.unregister(attempt.output)
                os.close(attempt.output)
                attempt.output = -1

    def tick(self, now: float) -> None:
        """Enforce timeouts and grace periods, publish checkpoints, sweep leftover processes and sample usage."""
        for attempt in list(self.attempts.values()):
            if attempt.phase == phases.RUNNING:
                if attempt.deadline is not None and now >= attempt.deadline:
                    text = f"ran longer than {attempt.job.timeout:g}s"
                    attempt.verdict = ("failed", {"code": "timeout", "message": text})
                    self._terminate(attempt, attempt.job.grace)
                elif attempt.next_checkpoint is not None and now >= attempt.next_checkpoint:
                    attempt.next_checkpoint = now + float(attempt.job.checkpoint_every or 60.0)
                    self.read(attempt)
                    self._read_files(attempt)  # the checkpoint is labelled with the latest step in them
                    self._collector.publish(attempt)
            elif attempt.phase == phases.STOPPING and attempt.kill_at is not None and now >= attempt.kill_at:
                attempt.kill_at = now + 1.0
                self._signal(attempt, signal.SIGKILL)
                if not tree.kill(attempt.pid, signal.SIGKILL):
                    self._stop_tracking(attempt)
            elif attempt.phase == phases.READING:
                self._read_rest(attempt)
        self._sweep_all()
        if now >= self._next_sample and self.attempts:
            self._next_sample = now + SAMPLE_SECONDS
            self._sample_attempts(now)

    def next_tick(self) -> float:
        """Return the monotonic time at which `tick` must run next."""
        times = [self._next_sample if self.attempts else float("inf")]
        for attempt in self.attempts.values():
            if attempt.phase == phases.SWEEPING:
                times.append(time.monotonic() + SWEEP_SECONDS)
            elif attempt.phase == phases.READING:
                return 0.0
            elif attempt.phase == phases.STOPPING and attempt.kill_at is not None:
                times.append(attempt.kill_at)
            elif attempt.phase == phases.RUNNING:
                times += [at for at in (attempt.deadline, attempt.next_checkpoint) if at is not None]
        return min(times)

    def _start(self, lease: Mapping[str, Any], job: PreparedJob) -> None:
        try:
            slot = self._take_slot()
        except OSError as exc:
            self._pause_leases()
            message = f"cannot create the trial's folder: {exc}"
            self.waiting.refuse(lease, "lost", {"code": "sandbox", "message": message})
            return
        attempt = RunningAttempt(lease, job, slot, self._spool.log_file(str(lease["attempt"])))
        self.attempts[attempt.id] = attempt
        self._reporting.add(UnsentReport(attempt.id, attempt.token, attempt.log, attempt.points, attempt.usage))
        if job.checkpoint_every is not None or lease.get("checkpoint"):
            attempt.checkpoint = slot.folder / f"checkpoint-{attempt.id}"
        with self._isolated(attempt):
            self._prepare(attempt)

    def _prepare(self, attempt: RunningAttempt) -> None:
        self._launcher.expect(attempt)
        try:
            ready = self._preparation.at_once(attempt)
        except OSError as exc:
            self._fail(attempt, PreparationFailed("sandbox", f"cannot create the trial's folder: {exc}"))
            return
        if ready:
            self._launch(attempt)
        else:
            self._crew.run(
                lambda: self._preparation.prepare(attempt), lambda note, error: self._prepared(attempt, note, error)
            )

    def _take_slot(self) -> Slot:
        if self._free:
            return self._free.pop()
        self._slot_count += 1
        return Slot(self._slot_count - 1, self._folder / "slots" / str(self._slot_count - 1))

    def _prepared(self, attempt: RunningAttempt, note: str | None, error: BaseException | None) -> None:
        if attempt.verdict is not None:
            self._finish(attempt)
        elif isinstance(error, PreparationFailed):
            self._fail(attempt, error)
        elif error is not None:
            self._fail(attempt, PreparationFailed("sandbox", f"{type(error).__name__}: {error}"))
        else:
            if note:
                attempt.write(note)
            self._launch(attempt)

    def _launch(self, attempt: RunningAttempt) -> None:
        with self._isolated(attempt):
            self._written.begin(attempt)
            try:
                self._launcher.start(attempt, lambda error: self._launched(attempt, error))
            except (StartError, OSError) as exc:
                self._launched(attempt, exc)

    def _launched(self, attempt: RunningAttempt, error: BaseException | None) -> None:
        exited = self._exited_early.pop(attempt.pid, None)
        if self._exited_early:
            starting = self._starting()
            self._exited_early = {
                pid: exited for pid, exited in self._exited_early.items() if exited.starting & starting
            }
        if error is not None:
            self._not_launched(attempt, error)
            return
        self._failures = 0
        self._by_pid[attempt.pid] = attempt
        self._lifeline.note(attempt.slot.index, attempt.pid)
        self._selector.register(attempt.output, selectors.EVENT_READ, attempt)
        self._reporting.records[attempt.id].started = attempt.started
        if attempt.job.checkpoint_every is not None:
            attempt.next_checkpoint = time.monotonic() + attempt.job.checkpoint_every
        if exited is not None:  # it exited before any signal could reach it, so its own outcome counts
            del self._by_pid[attempt.pid]
            attempt.verdict = attempt.kill_at = None
            attempt.record_exit(exited.status, exited.usage)
        elif attempt.kill_at is not None:
            self._terminate(attempt, attempt.kill_at - time.monotonic())
        if not hasattr(os, "waitid"):
            self.reap()  # an earlier call skipped this pid because it was unknown, and SIGCHLD is not sent again

    def _not_launched(self, attempt: RunningAttempt, error: BaseException) -> None:
        if attempt.verdict is not None:
            self._finish(attempt)
        elif isinstance(error, StartError):
            attempt.verdict = ("failed", {"code": "command_not_found", "message": str(error)})
            self._finish(attempt)
        else:
            self._fail(attempt, PreparationFailed("sandbox", f"cannot start the command on this machine: {error}"))

    def _starting(self) -> set[str]:
        return {attempt.id for attempt in self.attempts.values() if attempt.phase == phases.STARTING}

    def _terminate(self, attempt: RunningAttempt, grace: float) -> None:
        attempt.kill_at = time.monotonic() + grace
        if attempt.phase == phases.RUNNING and attempt.verdict is not None:
            state, reason = attempt.verdict
            attempt.slot.write_stop_reason(state, reason)
            if state == "pruned":
                attempt.write(f"stopping this trial early: {(reason or {}).get('message', state)}")
        if attempt.phase in (phases.RUNNING, phases.STOPPING):
            attempt.phase = phases.STOPPING
            self._signal(attempt, signal.SIGTERM if grace > 0 else signal.SIGKILL)

    def _signal(self, attempt: RunningAttempt, number: int) -> None:
        """Send a signal to every process group of the attempt's tree, then SIGCONT so that stopped processes get it."""
        table = tree.processes()
        roots = {attempt.pid} | self._orphans.of(attempt.id, self._leaders(), self._live(), self._orphans.children())
        groups = {table[pid].group for pid in tree.descendants(roots, table)} | {attempt.pid}
        for group in groups - self._own_groups:
            tree.kill_group(group, number)
            tree.kill_group(group, signal.SIGCONT)

    def _stop_tracking(self, attempt: RunningAttempt) -> None:
        """Stop tracking a process that this worker lacks the permission to kill."""
        del self._by_pid[attempt.pid]
        attempt.write(_NOT_KILLABLE.format(attempt.pid))
        attempt.give_up_killing()

    def _leaders(self) -> set[int]:
        """Return the pids of children that the worker started itself, as opposed to adopted orphans."""
        return self._launcher.pids.union(self._by_pid)

    def _live(self) -> set[str]:
        return {attempt.id for attempt in self.attempts.values() if attempt.phase != phases.PREPARING}

    def _sweep_all(self) -> None:
        sweeping = [attempt for attempt in self.attempts.values() if attempt.phase == phases.SWEEPING]
        if sweeping:
            children = self._orphans.children()
            for attempt in sweeping:
                self._sweep(attempt, children)

    def _sweep(self, attempt: RunningAttempt, children: set[int] | None) -> None:
        """Kill the processes that the leader left behind; once none is left, read the remaining output."""
        orphans = self._orphans.of(attempt.id, self._leaders(), self._live(), children)
        if not self._orphans.are_children_listed and tree.kill_group(attempt.pid, 0):
            orphans = {attempt.pid}
        if orphans:
            attempt.ended = time.monotonic()
            if attempt.kill_at is None or time.monotonic() >= attempt.kill_at:
                for pid in {*orphans, attempt.pid}:
                    tree.kill_group(pid, signal.SIGKILL)
                for pid in orphans:
                    if not self._orphans.kill(pid):
                        attempt.write(_NOT_KILLABLE.format(pid))
            return
        self._orphans.forget(attempt.id)
        self._lifeline.note(attempt.slot.index, 0)
        if attempt.output >= 0:
            self._selector.unregister(attempt.output)
        attempt.add_usage(self._sampler.samples.get(attempt.id))
        attempt.phase, attempt.closing = phases.READING, attempt.close()
        self._read_rest(attempt)

    def _read_rest(self, attempt: RunningAttempt) -> None:
        """Read remaining output for at most MAX_READ_SECONDS per call, because it may be long, then collect files."""
        started = time.monotonic()
        with self._isolated(attempt):
            for _ in attempt.closing:
                if time.monotonic() - started > MAX_READ_SECONDS:
                    return
            attempt.phase = phases.COLLECTING
            if attempt.superseded or not self._collector.collect(attempt, lambda: self._finish(attempt)):
                self._finish(attempt)

    def _sample_attempts(self, now: float) -> None:
        watched = {}
        for attempt in self.attempts.values():
            runtime = now - (attempt.started or now)
            if attempt.phase in (phases.RUNNING, phases.STOPPING) and runtime > MIN_SAMPLED_RUNTIME_SECONDS:
                watched[attempt.id] = WatchedTree(attempt.pid, attempt.gpus)
                self._read_files(attempt)
                attempt.add_usage(self._sampler.samples.get(attempt.id))
        self._sampler.watch(watched)

    def _read_files(self, attempt: RunningAttempt) -> None:
        with self._isolated(attempt):
            attempt.read_metrics_file()
            attempt.read_sources()

    @contextmanager
    def _isolated(self, attempt: RunningAttempt) -> Iterator[None]:
        """Confine an unexpected exception to this attempt; other attempts keep running."""
        try:
            yield
        except Exception as exc:  # noqa: BLE001 - output and file names of commands are arbitrary, and the loop must survive
            say(f"attempt {attempt.id} failed: {attempt.mask.text(traceback_of(exc))}")
            self._fail_internally(attempt, f"internal error of the worker: {type(exc).__name__}: {exc}")

    def _fail_internally(self, attempt: RunningAttempt, text: str) -> None:
        """Fail the attempt after an internal error. It is not `lost`, since a retry would hit the same error."""
        attempt.verdict = attempt.verdict or ("failed", {"code": "sandbox", "message": text})
        if attempt.phase == phases.RUNNING:
            self._terminate(attempt, attempt.job.grace)
        elif attempt.phase in (phases.PREPARING, phases.STARTING, phases.READING, phases.COLLECTING):
            if attempt.output >= 0:
                os.close(attempt.output)
                attempt.output = -1
            self._finish(attempt)

    def _fail(self, attempt: RunningAttempt, error: PreparationFailed) -> None:
        """Mark the attempt as lost through this machine's fault, and back off so that a broken machine starts few."""
        self._pause_leases()
        say(f"attempt {attempt.id} is lost: {error}")
        attempt.verdict = ("lost", {"code": error.code, "message": str(error)})
        self._finish(attempt)

    def _pause_leases(self) -> None:
        self._failures += 1
        self.paused_until = time.monotonic() + min(30.0, 0.5 * 2**self._failures)

    def _finish(self, attempt: RunningAttempt) -> None:
        if attempt.log.disk_error is not None:
            say(f"the log of attempt {attempt.id} is truncated, cannot spill it: {attempt.log.disk_error.strerror}")
        self._written.end(attempt)
        self._reporting.finish(attempt.id, attempt.result(), superseded=attempt.superseded)
        attempt.phase = phases.OVER
        self._launcher.release(attempt)
        del self.attempts[attempt.id]
        if attempt.checkpoint is not None:
            remove(attempt.checkpoint)
        self._free.append(attempt.slot)
