"""One attempt: the process of the user's command, its output and its outcome."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from orchestune.worker.job import PreparedJob
from orchestune.worker.mask import Mask
from orchestune.worker.metrics.formats import JsonLinesParser
from orchestune.worker.metrics.gpus import own
from orchestune.worker.metrics.points import PointQueue
from orchestune.worker.metrics.scanner import Reported, Scanner
from orchestune.worker.metrics.sources import FollowedFile, Sources, in_order
from orchestune.worker.metrics.usage import Sample, Series
from orchestune.worker.missing_path import ProjectCopy, explain_missing
from orchestune.worker.output import LogBuffer, last_lines
from orchestune.worker.processes.memory import ControlGroup, explain
from orchestune.worker.processes.preload import Zygote
from orchestune.worker.processes.spawn import StartedProcess, TrialCommand
from orchestune.worker.slot import Slot

_MEMORY_UNIT = 1 if sys.platform == "darwin" else 1024
CHUNK_BYTES = 64 * 1024
CHUNKS_PER_READ = 8
"""chunks read from one attempt before the loop handles the others"""
MAX_FINAL_READS = 64
"""reads of CHUNKS_PER_READ chunks allowed after the process has exited: more than a pipe holds, but bounded in case a
process that could not be killed keeps writing
"""
MAX_MERGED_VALUES = 50_000
"""values from files that are merged in order with the final output; earlier ones are added in batches before it"""

PREPARING, STARTING, RUNNING, STOPPING, SWEEPING, READING, COLLECTING, OVER = (
    "preparing", "starting", "running", "stopping", "sweeping", "reading", "collecting", "over",
)  # fmt: skip


class StartError(Exception):
    """The user's command cannot be started because it is wrong; the message is shown to the user."""


class RunningAttempt:
    """One attempt from lease to result. The supervisor decides when to change its phase."""

    def __init__(self, lease: Mapping[str, Any], job: PreparedJob, slot: Slot, spill: Path) -> None:
        self.lease, self.job, self.slot = lease, job, slot
        self.id, self.token = str(lease["attempt"]), int(lease["token"])
        self.log = LogBuffer(job.cap, spill)
        self.points = PointQueue(job.declared.names)
        self.usage = Series()
        self.files = 0
        """number of collected files, set once collection is done"""
        self.gpus = own(lease.get("gpus") or (), os.environ)
        self.mask = Mask(job.secrets)
        self.phase = PREPARING
        self.pid = 0
        self.output = -1
        self.started: float | None = None
        self.ended: float | None = None
        """monotonic time at which the last of its processes was still alive"""
        self.deadline: float | None = None
        """monotonic time at which the timeout expires"""
        self.kill_at: float | None = None
        self.verdict: tuple[str, dict[str, str] | None] | None = None
        """state and reason that override the exit status: server order, timeout, worker shutdown or failed start"""
        self.superseded = False
        """a newer attempt replaced this one: its result is discarded"""
        self.checkpoint: Path | None = None
        self.next_checkpoint: float | None = None
        self.zygote: Zygote | None = None
        """process with preloaded modules that is forked to run the command; None without `preload`"""
        self.cores: list[int] = []
        """CPU cores that it is pinned to"""
        self.tree_cpu = 0.0
        self.tree_memory = 0
        self.closing: Iterator[None] = iter(())
        """the running generator of `close`"""
        self._scanner = Scanner(job.declared, self.write, self.mask.text)
        self._sources = Sources(job.collect, str(self.folder), self._scanner)
        self._metrics = FollowedFile(slot.metrics, JsonLinesParser(self._scanner, slot.metrics))
        self._status = 0
        self._usage_cpu = 0.0
        self._usage_memory = 0
        self._arguments: Sequence[str] = ()
        self._kills = 0

    @property
    def folder(self) -> Path:
        """The folder in which the command runs, in the slot's view."""
        return self.slot.view.folder / self.job.folder

    def command(self, environment: Mapping[bytes, bytes]) -> TrialCommand:
        """Return the command to start and open its pipe; report the outcome to `record_start` or `record_failed_start`.

        Raises StartError if the command is wrong, and OSError if the system refuses a descriptor.
        """
        try:
            self._arguments = self.job.arguments(self.lease["parameters"], self.slot.config)
        except ValueError as exc:
            raise StartError(str(exc)) from exc
        self._kills = _group().recent_kills()
        reading_from = os.open(self.slot.parameters, os.O_RDONLY) if self.job.stdin else _null()
        try:
            self.output, writing = os.pipe()
        except OSError:
            self._close(reading_from)
            raise
        os.set_blocking(self.output, False)
        arguments = [find_program(self._arguments[0], environment), *self._arguments[1:]]
        self.phase = STARTING
        return TrialCommand(arguments, environment, str(self.folder), (reading_from, writing), self.cores)

    def record_start(self, command: TrialCommand, started: StartedProcess) -> None:
        """Record that the process is running."""
        self._close(*command.files)
        self.pid, self.started = started
        self.phase = RUNNING
        if self.job.timeout is not None:
            self.deadline = self.started + self.job.timeout

    def record_failed_start(self, command: TrialCommand, error: BaseException) -> BaseException:
        """Clean up after a failed start. Return a StartError if the command is at fault, otherwise `error`."""
        self._close(*command.files, self.output)
        self.output = -1
        return self._explain(error, command) or error

    def read(self, chunks: int = CHUNKS_PER_READ) -> bool:
        """Read output of the process into the log and points. Return False at the end of the output."""
        printed: list[Reported] = []
        has_more = self._take(chunks, printed)
        if printed:  # lines in the metrics file may have been reported earlier
            self.points.add(in_order(self._metrics.read(), printed))
        return has_more

    def read_metrics_file(self) -> None:
        """Read lines that were added to `$ORCHESTUNE_METRICS`, ordered after output printed before them."""
        files: list[Reported] = self._metrics.read()
        printed: list[Reported] = []
        if files and self.output >= 0:
            self._take(CHUNKS_PER_READ, printed)
        self.points.add(in_order(files, printed))

    def read_sources(self) -> None:
        """Read new values from the files of `collect`."""
        if self.job.collect:
            self.points.add(self._sources.read())

    def add_usage(self, sample: Sample | None) -> None:
        """Record a usage sample of its processes; None is ignored."""
        if sample is None:
            return
        self.tree_cpu, self.tree_memory = max(self.tree_cpu, sample.cpu), max(self.tree_memory, sample.memory)
        if self.started is not None:
            self.usage.add(self.started, sample)

    def write(self, text: str) -> None:
        """Append a message of the worker to the log, on a line of its own."""
        start = b"" if self.log.last[-1:] in (b"", b"\n") else b"\n"
        self.log.append(start + self.mask.text(f"orchestune: {text}\n").encode("utf-8"))

    def record_exit(self, status: int, usage: Any) -> None:
        """Record the exit status and resource usage of the reaped process."""
        self._status = status
        self._usage_cpu = usage.ru_utime + usage.ru_stime
        self._usage_memory = usage.ru_maxrss * _MEMORY_UNIT
        self.ended = time.monotonic()
        self.phase = SWEEPING

    def give_up_killing(self) -> None:
        """Treat the process as killed although SIGKILL was not permitted and it keeps running."""
        self._status = signal.SIGKILL
        self.ended = time.monotonic()
        self.phase = SWEEPING

    def close(self) -> Iterator[None]:
        """Read what remains in the pipe and metric files, yielding after each piece of a file.

        Call it when no process of the attempt is left that could be killed.
        """
        self.points.end()
        printed: list[Reported] = []
        if self.output >= 0:
            for _ in range(MAX_FINAL_READS):
                if not self._take(CHUNKS_PER_READ, printed, to_the_end=True):
                    break
            os.close(self.output)
            self.output = -1
        printed += self._scanner.flush()
        files: list[Reported] = []
        for piece in chain(self._metrics.rest(), self._sources.rest()):
            if len(files) > MAX_MERGED_VALUES:  # bounds memory for files of any size
                self.points.add(files)
                files = []
            files += piece
            yield
        self.points.add(in_order(files, printed))
        self.log.append(self.mask.flush())
        for text in self._scanner.no_numbers(self.points.names):
            self.write(text)
        for path in self._sources.absent() if self.outcome() == "succeeded" else ():
            self.write(f"`collect` names {path}, but the command did not create it")

    def outcome(self) -> str:
        """Return the final state of the attempt."""
        return self._judge()[0]

    def result(self) -> dict[str, Any]:
        """Return the attempt's `finished` entry of a report, without logs and points."""
        self.log.close()
        self.points.close()
        state, reason = self._judge()
        has_run = self.ended is not None and self.started is not None
        has_exited = has_run and os.WIFEXITED(self._status)
        if reason is not None:
            explanation = self._explain_missing_path() if reason["code"] == "exit_code" else ""
            reason = {"code": reason["code"], "message": self.mask.text(reason["message"] + explanation)}
        return {
            "attempt": self.id,
            "token": self.token,
            "state": state,
            "exit_code": os.WEXITSTATUS(self._status) if has_exited else None,
            "signal": os.WTERMSIG(self._status) if has_run and not has_exited else None,
            "reason": reason,
            "wall": round(self.ended - self.started, 6) if has_run else 0.0,  # type: ignore[operator]
            "cpu": round(max(self._usage_cpu, self.tree_cpu), 6),
            "memory": self._peak_memory(),
            "log_bytes": self.log.end,
            "tail": last_lines(self.log.last),
            **({"files": self.files} if self.files else {}),
        }

    def _peak_memory(self) -> int:
        """Return the peak memory in bytes.

        The kernel's peak of a child includes the time between fork and exec, when it was a copy of this process. So a
        sample, if there is one, is more accurate than a peak that does not exceed this process's own.
        """
        if self.tree_memory:
            own_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MEMORY_UNIT
            if self._usage_memory <= own_peak:
                return self.tree_memory
        return max(self._usage_memory, self.tree_memory)

    def _take(self, chunks: int, reported: list[Reported], *, to_the_end: bool = False) -> bool:
        """Read up to `chunks` chunks of output and append reported values to `reported`. Return False at the end.

        With `to_the_end` no writer is left, so an empty pipe is the end.
        """
        for _ in range(chunks):
            try:
                data = os.read(self.output, CHUNK_BYTES)
            except (BlockingIOError, InterruptedError):
                return not to_the_end
            if not data:
                return False
            self.log.append(self.mask.feed(data))
            reported += self._scanner.feed(data)
            if len(data) < CHUNK_BYTES // 16 and not to_the_end:
                return True
        return True

    def _judge(self) -> tuple[str, dict[str, str] | None]:
        if self.verdict is not None:
            return self.verdict
        if self._killed() and _group().kills() > self._kills:
            return "failed", {"code": "out_of_memory", "message": explain(_group().limit(), self._peak_memory())}
        if os.WIFSIGNALED(self._status):
            return "failed", {"code": "signal", "message": f"killed by {signal_name(os.WTERMSIG(self._status))}"}
        code = os.WEXITSTATUS(self._status)
        if code == 0:
            return "succeeded", None
        if code == 127 and list(self._arguments[:2]) == ["sh", "-c"]:
            path = _path(self.job.environment)
            text = f"exited with code 127: the shell did not find a command, see the log; PATH is {path}"
            return "failed", {"code": "command_not_found", "message": text}
        is_signal = 128 < code < 128 + 32
        killed = f" (a shell reports a command killed by {signal_name(code - 128)} this way)" if is_signal else ""
        return "failed", {"code": "exit_code", "message": f"exited with code {code}{killed}"}

    def _explain_missing_path(self) -> str:
        """Return an explanation if the log tail names a path of the original folder that the view lacks."""
        if not self.job.root:
            return ""
        project = ProjectCopy(self.job.root, self.job.folder, str(self.slot.view.folder))
        explanation = explain_missing(last_lines(self.log.last), project)
        return f": {explanation}" if explanation else ""

    def _killed(self) -> bool:
        """Return True if the command, or a command run by its shell, was terminated by SIGKILL."""
        if os.WIFSIGNALED(self._status):
            return os.WTERMSIG(self._status) == signal.SIGKILL
        return os.WEXITSTATUS(self._status) == 128 + signal.SIGKILL

    def _close(self, *files: int) -> None:
        """Close the given descriptors except the shared one of /dev/null."""
        for file in files:
            if file not in _null_descriptors:
                os.close(file)

    def _explain(self, error: BaseException, command: TrialCommand) -> StartError | None:
        """Return the error for the user if the command is at fault; None if it is not."""
        name = self._arguments[0] if self._arguments else ""
        if isinstance(error, ValueError):
            return StartError(f"{name!r} cannot be started: {error}")
        number = error.errno if isinstance(error, OSError) else None
        if number in (errno.ENOENT, errno.ENOTDIR) and self.folder.is_dir():
            program = command.arguments[0]
            if "/" in program and os.path.exists(os.path.join(command.folder, program)):
                cause = "the interpreter in its first line, or the dynamic loader that it needs, does not exist"
                return StartError(f"the command {name!r} cannot be started: {cause}")
            place = "in the project" if "/" in name else f"in PATH, which is {_path(command.environment)}"
            return StartError(f"the command {name!r} was not found {place}")
        if number == errno.E2BIG or (number == errno.ENAMETOOLONG and len(os.fsencode(name)) > 255):  # not from PATH
            return StartError(f"the command {name[:100]!r} cannot be started: {os.strerror(number)}")
        if number in (errno.EACCES, errno.ENOEXEC, errno.EPERM, errno.ELOOP, errno.EISDIR):
            hint = "; check that it is executable and that its first line names an interpreter"
            return StartError(f"the command {name!r} cannot be started: {os.strerror(number)}{hint}")
        return None


_null_descriptors: list[int] = []
_control_groups: list[ControlGroup] = []
_programs: dict[tuple[str, str], str] = {}


def _path(environment: Mapping[bytes, bytes]) -> str:
    return os.fsdecode(environment.get(b"PATH", os.fsencode(os.defpath)))


def _null() -> int:
    """Return the shared descriptor of /dev/null, which commands get as stdin."""
    if not _null_descriptors:
        _null_descriptors.append(os.open(os.devnull, os.O_RDONLY))
    return _null_descriptors[0]


def _group() -> ControlGroup:
    """Return the control group of this worker and its attempts."""
    if not _control_groups:
        _control_groups.append(ControlGroup())
    return _control_groups[0]


def find_program(name: str, environment: Mapping[bytes, bytes]) -> str:
    """Return the absolute path of a command, cached so that not every start searches PATH; `name` if not found."""
    path = _path(environment)
    if "/" in name:
        return name
    program = _programs.get((name, path))
    if program is None or not os.access(program, os.X_OK):
        program = shutil.which(name, path=path) or name
        if not os.path.isabs(program):
            return program
        _programs[name, path] = program
    return program


def signal_name(number: int) -> str:
    """Return the name of a signal, such as `SIGSEGV` for 11."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
