"""Slurm client based on its commands, which every site has, whatever its plugins and authentication."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestune.backends.slurm.quantities import amount, gpu_count
from orchestune.errors import OrchestuneError, TemporaryError, UsageError

_TIMEOUT_SECONDS = 20
"""timeout of a command in seconds; it retries for a minute by itself if the controller is down"""
_FORMAT = "%i|%T|%N|%r|%C|%m|%b|%j"
_RETRY_SECONDS = 30.0
"""seconds without requests after the controller has not answered"""
_AWAY = re.compile(
    r"unable to contact|timed? ?out|connection (refused|reset|failure)|unexpected message|protocol authentication",
    re.IGNORECASE,
)
_PASSING = re.compile(r"temporarily|try again|(submit|job) limit|AssocMax|AssocGrp|QOSMax|QOSGrp", re.IGNORECASE)
"""messages of rejections that may succeed on a retry: too many jobs of this user"""
_OURS = ("SLURM_CONF", "SLURM_CLUSTERS")
_PREFIX = "SBATCH_"
_NOT_TAKEN = frozenset({"SBATCH_ARRAY_INX", "SBATCH_WAIT", "SBATCH_DEBUG"})
"""variables that would turn one order into many jobs, or make `sbatch` block until the job has ended"""
_NEEDED = ("PATH", "HOME", "USER", "LD_LIBRARY_PATH")


@dataclass(frozen=True)
class SlurmJob:
    """A job as listed by `squeue`."""

    id: str
    state: str
    """job state, such as `RUNNING`"""
    node: str
    reason: str
    """why it is pending, as a keyword of Slurm"""
    name: str
    cpus: int = 0
    memory: int = 0
    """bytes per node"""
    gpus: int = 0


class Slurm:
    """Slurm's commands. They raise TemporaryError if the controller does not answer, UsageError if not installed."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ
        self._away: tuple[float, TemporaryError] | None = None
        """(time until which no requests are made, the error), after the controller has not answered"""

    def submit(self, script: str, options: Sequence[str], environ: Mapping[str, str]) -> str:
        """Submit a job and return its number. Raises UsageError if Slurm never accepts such a job."""
        answer = self._run("sbatch", ["--parsable", *options], {**self._own(), **environ}, script)
        return answer.strip().partition(";")[0]

    def dry_run(self, script: str, options: Sequence[str]) -> None:
        """Raise UsageError if Slurm would reject such a job."""
        self._run("sbatch", ["--test-only", *options], self._usual(), script)

    def jobs(self) -> dict[str, SlurmJob]:
        """Return this user's jobs by number, including those that ended some minutes ago."""
        words = ["--noheader", "--states=all", f"--user={os.getuid()}", f"--format={_FORMAT}"]
        jobs = {}
        for line in self._run("squeue", words, self._usual()).splitlines():
            parts = line.strip().split("|", 7)
            if len(parts) == 8:
                number, state, node, reason, cpus, memory, gpus, name = parts
                jobs[number] = SlurmJob(number, state, node, reason, name, int(cpus), amount(memory), gpu_count(gpus))
        return jobs

    def cancel(self, job: str) -> None:
        """Cancel a job: SIGTERM, then SIGKILL after `KillWait`; a pending job is removed at once. Idempotent."""
        self._try("scancel", ["--quiet", job])

    def signal(self, job: str, signal: str, *, full: bool) -> None:
        """Send a signal to the job's worker, or with `full` to all its processes. No effect if it is not running."""
        self._try("scancel", ["--quiet", f"--signal={signal}", "--full" if full else "--batch", job])

    def exit_code(self, job: str) -> tuple[int, int] | None:
        """Return exit code and signal of a finished job; None if Slurm no longer knows it."""
        match = re.search(r"\bExitCode=(\d+):(\d+)", self.show("job", job))
        return (int(match[1]), int(match[2])) if match else None

    def show(self, kind: str, *names: str) -> str:
        """Return the output of `scontrol show`, one line per object; empty if it knows none."""
        try:
            return self._run("scontrol", ["--oneliner", "show", kind, *names], self._usual())
        except UsageError:
            return ""

    def _own(self) -> dict[str, str]:
        """Return the variables by which users and sites configure Slurm's commands."""
        return {
            name: value
            for name, value in self._environ.items()
            if name in _OURS or (name.startswith(_PREFIX) and name not in _NOT_TAKEN)
        }

    def _usual(self) -> dict[str, str]:
        """Return the environment of commands that start nothing."""
        return {name: self._environ[name] for name in _NEEDED if name in self._environ} | self._own()

    def _try(self, command: str, words: Sequence[str]) -> None:
        """Run a command for which a rejection means success: the job no longer exists."""
        try:
            self._run(command, words, self._usual())
        except UsageError:
            return

    def _run(self, command: str, words: Sequence[str], environ: Mapping[str, str], text: str = "") -> str:
        path = shutil.which(command, path=self._environ.get("PATH", os.defpath))
        if path is None:
            raise SlurmMissing(
                f"Slurm's command {command} is not on the PATH of the server",
                "run this on a machine from which you submit jobs, such as a login node; if its commands came to the"
                " PATH later, `orchestune doctor --restart` tells the server",
            )
        if self._away is not None and time.monotonic() < self._away[0]:
            raise TemporaryError(self._away[1].message, self._away[1].hint)
        try:
            done = subprocess.run(
                [path, *words], input=text, env={**environ, "LC_ALL": "C"}, capture_output=True, text=True,
                timeout=_TIMEOUT_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as exc:
            raise self._unreachable(f"{command} has not answered for {_TIMEOUT_SECONDS} s") from exc
        except OSError as exc:
            raise OrchestuneError(f"{command} cannot be started: {exc.strerror}") from exc
        if done.returncode == 0:
            return done.stdout
        message = error_message(command, done.stderr)
        if _AWAY.search(message):
            raise self._unreachable(f"Slurm: {message}")
        if _PASSING.search(message):
            raise TemporaryError(f"Slurm: {message}", "see `sinfo`, `squeue --me` and `sacctmgr show qos`")
        raise UsageError(f"Slurm rejects the job: {message}", "see `slurm:`, `pool:` and `resources:` of the file")

    def _unreachable(self, message: str) -> TemporaryError:
        """Suspend requests for a while, so that callers do not time out one by one while the controller is down."""
        error = TemporaryError(message, "is Slurm's controller up? `scontrol ping` tells")
        self._away = (time.monotonic() + _RETRY_SECONDS, error)
        return error


class SlurmMissing(UsageError):
    """Slurm's commands are not installed on this machine."""


def error_message(command: str, output: str) -> str:
    """Return the error message of a Slurm command, without the command's name before each line."""
    lines = [re.sub(rf"^{command}: (error|fatal|allocation failure)?:? ?", "", line) for line in output.splitlines()]
    return "; ".join(line for line in lines if line.strip()) or f"{command} failed"
