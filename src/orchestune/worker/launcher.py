"""Starts the commands of attempts: their files, variables and cores, and what is imported before they begin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestune.worker import attempt as phases
from orchestune.worker import environment
from orchestune.worker.attempt import Attempt
from orchestune.worker.cores import Cores, not_pinned, on
from orchestune.worker.preload import Broken, Preloader, Zygote, program


class Launcher:
    """What all attempts of a worker have in common when their commands start."""

    def __init__(self, state: Path, cores: Path | None = None) -> None:
        self._preloader = Preloader(str(state))
        self._cores = Cores(cores or state / "cores")

    @property
    def pids(self) -> set[int]:
        """Its own processes, which import for attempts to come."""
        return self._preloader.pids

    def ended(self, pid: int) -> None:
        """A child ended that is no attempt's."""
        self._preloader.ended(pid)

    def end(self) -> None:
        """Nothing is started any more."""
        self._preloader.end()

    def expect(self, attempt: Attempt) -> None:
        """It will start soon: have a process ready that becomes its command; where there is none, say once why."""
        job = attempt.job
        if not job.preload:
            return
        try:
            arguments = job.arguments(attempt.lease["parameters"], "config" if job.config else "")
        except ValueError:
            return  # starting it says so
        found = self._preloader.zygote(job, [phases.find_program(arguments[0], job.environment), *arguments[1:]])
        if isinstance(found, Zygote):
            attempt.zygote = found
        elif self._preloader.first_time(found):
            attempt.write(f"preload has no effect: {found}")

    def start(self, attempt: Attempt) -> None:
        """Start it. StartError where that fails by the command's fault, OSError where by the machine's."""
        job, slot, lease = attempt.job, attempt.slot, attempt.lease
        slot.write_files(lease["parameters"], job.config)
        variables = _variables(attempt)
        if job.pin:
            attempt.cores = self._cores.take(attempt.id, job.pin)
            if not attempt.cores:
                attempt.write(not_pinned(job.pin))
        with on(attempt.cores):
            attempt.start({**job.environment, **environment.encoded(variables)}, self._start_for(attempt))

    def release(self, attempt: Attempt) -> None:
        """It is over: its cores are free again."""
        if attempt.cores:
            self._cores.release(attempt.id)

    def _start_for(self, attempt: Attempt) -> phases.Start:
        """How the attempt's command is started: by becoming it where that can be, otherwise as usual."""
        zygote = attempt.zygote
        if zygote is None:
            return phases.popen

        def start(command: Sequence[str], environ: Mapping[bytes, bytes], folder: str, files: tuple[int, int]) -> int:
            found = program(command)
            if not zygote.error and not isinstance(found, str):
                try:
                    return zygote.become(found, environ, folder, files, attempt.cores)
                except Broken as exc:
                    self._preloader.lost(zygote, exc)
            elif self._preloader.first_time(zygote.error):
                attempt.write(f"preload has no effect: {zygote.error}")
            return phases.popen(command, environ, folder, files)

        return start


def _variables(attempt: Attempt) -> dict[str, str]:
    slot, lease = attempt.slot, attempt.lease
    variables = environment.of_attempt(lease, slot.parameters, slot.metrics, slot.stop, slot.artifacts)
    if attempt.checkpoint is not None:
        variables["ORCHESTUNE_CHECKPOINT_DIR"] = str(attempt.checkpoint)
        published = lease.get("checkpoint")
        if published:
            step = published.get("step")
            variables["ORCHESTUNE_RESUMED_STEP"] = "" if step is None else f"{step:.17g}"
    if slot.config:
        variables["ORCHESTUNE_CONFIG"] = slot.config
    return variables
