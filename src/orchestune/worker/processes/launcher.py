"""Starts the commands of attempts with their files, variables, pinned cores and preloaded modules."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from orchestune.worker import attempt as phases
from orchestune.worker import environment
from orchestune.worker.attempt import RunningAttempt
from orchestune.worker.files import config_copy, constants
from orchestune.worker.processes.cores import Cores, not_pinned_message
from orchestune.worker.processes.preload import Preloader, PreloadFailed, Zygote, program
from orchestune.worker.processes.spawn import StartedProcess, TrialCommand, spawn
from orchestune.worker.thread_pool import ThreadPool


class Launcher:
    """Starts commands, with the resources that all attempts of a worker share."""

    def __init__(self, crew: ThreadPool, state: Path, cores: Path | None = None) -> None:
        """`crew` has a single thread, which is used for starts only."""
        self._crew = crew
        self._preloader = Preloader(str(state))
        self._cores = Cores(cores or state / "cores")

    @property
    def pids(self) -> set[int]:
        """Pids of the processes with preloaded modules."""
        return self._preloader.pids

    def handle_exit(self, pid: int) -> None:
        """Handle a reaped child that belongs to no attempt."""
        self._preloader.handle_exit(pid)

    def shut_down(self) -> None:
        """Kill the processes with preloaded modules, at shutdown."""
        self._preloader.shut_down()

    def expect(self, attempt: RunningAttempt) -> None:
        """Start preloading for an attempt; if that is impossible, log the reason once."""
        job = attempt.job
        if not job.preload:
            return
        try:
            arguments = job.arguments(attempt.lease["parameters"], "config" if job.config else "")
        except ValueError:
            return  # starting it reports the error
        zygote_or_reason = self._preloader.zygote(
            job, [phases.find_program(arguments[0], job.environment), *arguments[1:]]
        )
        if isinstance(zygote_or_reason, Zygote):
            attempt.zygote = zygote_or_reason
        elif self._preloader.is_first_time(zygote_or_reason):
            attempt.write(f"preload has no effect: {zygote_or_reason}")

    def start(self, attempt: RunningAttempt, then: Callable[[BaseException | None], None]) -> None:
        """Start the command, and call `then` when it runs or has failed to start.

        `then` receives None or the error: a StartError if the command is at fault. Raises StartError and OSError if the
        start fails immediately.
        """
        job, slot, lease = attempt.job, attempt.slot, attempt.lease
        slot.write_files(lease["parameters"], job.config)
        if job.config and job.config.get("path"):
            config_copy.replace(str(attempt.folder), str(job.config["path"]), slot.config)
        if job.constants:
            try:
                constants.substitute(str(attempt.folder), job.constants, lease["parameters"])
            except ValueError as exc:
                raise phases.StartError(str(exc)) from exc
        variables = _variables(attempt)
        if job.pin:
            attempt.cores = self._cores.reserve(attempt.id, job.pin)
            if not attempt.cores:
                attempt.write(not_pinned_message(job.pin))
        command = attempt.command({**job.environment, **environment.encoded(variables)})

        def done(started: StartedProcess | None, error: BaseException | None) -> None:
            if started is not None:
                attempt.record_start(command, started)
            then(attempt.record_failed_start(command, error) if error else None)

        forked = self._fork_zygote(attempt, command)
        if forked is None:
            self._crew.run(lambda: spawn(command), done)
        else:
            done(forked, None)

    def release(self, attempt: RunningAttempt) -> None:
        """Release the cores of a finished attempt."""
        if attempt.cores:
            self._cores.release(attempt.id)

    def _fork_zygote(self, attempt: RunningAttempt, command: TrialCommand) -> StartedProcess | None:
        """Fork the process with preloaded modules to run the command; None if that is impossible."""
        zygote = attempt.zygote
        if zygote is None:
            return None
        python_program = program(command.arguments)
        if isinstance(python_program, str):
            return None
        if zygote.error:
            if self._preloader.is_first_time(zygote.error):
                attempt.write(f"preload has no effect: {zygote.error}")
            return None
        try:
            started_at = time.monotonic()
            return StartedProcess(zygote.fork(python_program, command), started_at)
        except PreloadFailed as exc:
            self._preloader.drop_failed(zygote, exc)
            return None


def _variables(attempt: RunningAttempt) -> dict[str, str]:
    slot, lease = attempt.slot, attempt.lease
    variables = environment.of_attempt(lease, slot.parameters, slot.metrics, slot.stop, slot.artifacts)
    if attempt.checkpoint is not None:
        variables["ORCHESTUNE_CHECKPOINT_DIR"] = str(attempt.checkpoint)
        published = lease.get("checkpoint")
        if published:
            step = published.get("step")
            variables["ORCHESTUNE_RESUMED_STEP"] = f"{step:.17g}" if isinstance(step, (int, float)) else ""
    if slot.config:
        variables["ORCHESTUNE_CONFIG"] = slot.config
    return variables
