"""Run one trial without a server, in a private copy of the code, with the worker's parsing of command and output."""

from __future__ import annotations

import codecs
import math
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from orchestune.bundles.listing import EntryKind, plan, unreadable
from orchestune.cli.develop.outcome import Outcome
from orchestune.cli.develop.report_endpoint import ReportEndpoint
from orchestune.cli.develop.trial_environment import TrialContext, TrialInputs, environment_and_command
from orchestune.cli.experiments.prepare import PreparedExperiment
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.signals import deferred_signals, exit_on_signals
from orchestune.cli.terminal.temporary_folder import temporary_folder, translated_disk_errors
from orchestune.client.local.home import state_folder
from orchestune.client.local.launch_context import environment
from orchestune.domain.search.parameters import Value
from orchestune.domain.specification.experiment import Specification
from orchestune.domain.specification.metrics import Point, reduce
from orchestune.domain.specification.stopping import not_finite
from orchestune.errors import BadInput
from orchestune.sdk.submitting import ours
from orchestune.worker.attempt import signal_name
from orchestune.worker.mask import Mask, spellings
from orchestune.worker.metrics.formats import JsonLinesParser
from orchestune.worker.metrics.scanner import Declared, Reported, Scanner
from orchestune.worker.metrics.sources import FollowedFile, Sources, in_order
from orchestune.worker.processes.cores import Cores, not_pinned_message, pinned_to

_MAX_PRINTED_BYTES = 64 * 1024
"""last bytes of the output that are searched for an unparsed value"""


def run_locally(
    console: Console,
    prepared: PreparedExperiment,
    parameters: Mapping[str, Value],
    secrets: Mapping[str, str],
    on_output: Callable[[bytes], None] = lambda data: None,
    inspect: Callable[[Path], None] = lambda folder: None,
    *,
    seed: int | None = None,
) -> Outcome:
    """Run the command once with `parameters`, its output on the screen. Leaves no files or processes behind.

    `on_output` gets the output too, as it arrives; `inspect` the folder of the command once that has ended, in any way.
    """
    specification = prepared.specification
    parser = _OutputParser(console, specification, secrets)
    with exit_on_signals(), temporary_folder("orchestune-test-") as folder, ReportEndpoint() as reports:
        view = folder / "work"
        with translated_disk_errors():
            copy_code(prepared, view)
        context = TrialContext("test", "test", 1, specification.seed & 0xFFFFFFFF if seed is None else seed, parameters)
        gpus = _assigned_gpus(console, specification)
        inputs = TrialInputs(environment(console.environ), secrets, str(prepared.folder), reports.url, gpus)
        with translated_disk_errors():
            environ, command = environment_and_command(specification, context, inputs, folder)
        metrics = FollowedFile(
            environ["ORCHESTUNE_METRICS"], JsonLinesParser(parser.scanner, environ["ORCHESTUNE_METRICS"])
        )

        def take(data: bytes) -> None:
            on_output(data)  # first: the callback may see Ctrl-C
            parser.take(data, metrics)

        started = time.monotonic()
        try:
            with _reserved_cores(console, specification) as cores:
                code, problem = run_command(command, view, environ, specification, take, cores)
        finally:
            inspect(view)
        seconds = time.monotonic() - started
        sources = Sources([source.to_json() for source in specification.collect], str(view), parser.scanner)
        parser.end(metrics, sources, reports.received)
        outcome = _outcome(specification, parser.reported, code, problem, seconds, parser.printed())
        outcome.absent = sources.absent()
    return outcome


def _assigned_gpus(console: Console, specification: Specification) -> tuple[str, ...]:
    """Return the GPUs that a worker of this machine would assign; empty if none is requested or available."""
    if not specification.resources.gpu:
        return ()
    from orchestune.cli.develop.local_gpus import assign_gpus  # a backend, not needed by most tests

    assigned, problem = assign_gpus(specification.resources, console.environ)
    if problem:
        _Output(console).show(f"orchestune: {problem}\n".encode())
    return assigned


@contextmanager
def _reserved_cores(console: Console, specification: Specification) -> Iterator[list[int]]:
    """Reserve cores during the block if the experiment pins them; workers of this machine use others."""
    resources = specification.resources
    count = int(resources.cpu) if resources.cpu and resources.pin else 0
    if not count:
        yield []
        return
    all_cores = Cores(state_folder(console.environ) / "cores")
    reserved = all_cores.reserve("test", count)
    if not reserved:
        _Output(console).show(f"orchestune: {not_pinned_message(count)}\n".encode())
    try:
        yield reserved
    finally:
        all_cores.release("test")


def copy_code(prepared: PreparedExperiment, view: Path) -> None:
    """Create the folder as a trial on this machine sees it: a copy of the packed files, and links to the others."""
    view.mkdir()
    for entry in plan(prepared.folder, prepared.ignore, prepared.code.limit, ours(prepared.code)).entries:
        target = view / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if entry.kind is EntryKind.FOLDER:
            target.mkdir(exist_ok=True)
        elif entry.kind is EntryKind.LINK:
            target.symlink_to(entry.target)
        else:
            try:
                shutil.copy2(prepared.folder / (entry.source or entry.path), target)
            except PermissionError as exc:
                raise BadInput([unreadable(entry.path, exc)]) from exc
    for link in prepared.links:
        target = view / link
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(prepared.folder / link)


def run_command(
    command: list[str],
    folder: Path,
    environ: Mapping[str, str],
    specification: Specification,
    take: Callable[[bytes], None],
    cores: Collection[int] = (),
) -> tuple[int | None, str]:
    """Run the command (on these cores only), terminating its process group at the end; return the exit code and the
    error.
    """
    stdin_path = environ["ORCHESTUNE_PARAMS"] if specification.stdin else os.devnull
    with ExitStack() as cleanup:
        try:
            with open(stdin_path, "rb") as stdin, pinned_to(cores), deferred_signals():
                process = subprocess.Popen(
                    command,
                    cwd=folder,
                    env=dict(environ),
                    stdin=stdin,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                assert process.stdout is not None
                pipe = cleanup.enter_context(process.stdout)
                cleanup.callback(_end_group, process, specification.grace)
        except OSError as exc:
            return None, f"cannot start the command: {command[0]}: {exc.strerror}"
        deadline = time.monotonic() + specification.timeout if specification.timeout else math.inf
        if not _read(process, pipe.fileno(), deadline, take):
            return None, f"the command exceeded the timeout of {specification.timeout:g} s"
    code = process.returncode
    if code < 0:
        return None, f"the command was terminated by {signal_name(-code)}"
    return code, f"the command exited with code {code}" if code else ""


def _read(process: subprocess.Popen[bytes], pipe: int, deadline: float, take: Callable[[bytes], None]) -> bool:
    """Forward the output until the command has ended; return False if it reached the deadline."""
    while time.monotonic() < deadline:
        has_ended = _has_ended(process)  # checked first: its last output is in the pipe by then
        if select.select([pipe], [], [], 0 if has_ended else 0.1)[0]:
            chunk = os.read(pipe, 1 << 16)
            if chunk:
                take(chunk)
                continue
            process.wait()
            return True
        if has_ended:
            return True
    return False


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Like `poll`, but without its lock: Ctrl-C while it is held would make every later `wait` hang."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end_group(process: subprocess.Popen[bytes], grace: float) -> None:
    """Send SIGTERM, then SIGKILL, to the rest of the command's process group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    finally:  # also at a second Ctrl-C
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class _Output:
    """The command's output, unchanged; with `--json` on standard error."""

    def __init__(self, console: Console) -> None:
        self._stream = console.err if console.json else console.out
        self._decoder = codecs.getincrementaldecoder(self._stream.encoding or "utf-8")("replace")

    def show(self, data: bytes) -> None:
        """Print output; an incomplete character at its end is held back for the next call."""
        self._stream.write(self._decoder.decode(data))
        self._stream.flush()


class _OutputParser:
    """Prints the command's output and collects the metrics that it reports there and in other sources."""

    def __init__(self, console: Console, specification: Specification, secrets: Mapping[str, str]) -> None:
        self.reported: list[Reported] = []
        self._printed = bytearray()
        self._output = _Output(console)
        self._mask = Mask(spellings(secrets.values()))
        expressions = [source.where for source in specification.collect if source.kind == "regex"]
        declared = Declared((metric.name for metric in specification.metrics), expressions)
        self.scanner = Scanner(declared, self._print_message, self._mask.text)

    def take(self, data: bytes, metrics: FollowedFile) -> None:
        """Process some output. Lines in the file of `metrics` by now were written before it."""
        self._printed[:] = (self._printed + data)[-_MAX_PRINTED_BYTES:]
        self._output.show(self._mask.feed(data))
        reports = self.scanner.feed(data)
        if reports:
            self.reported += in_order(metrics.read(), reports)

    def end(self, metrics: FollowedFile, sources: Sources, received: Iterable[bytes]) -> None:
        """Process everything that the ended command has left in files or sent."""
        self._output.show(self._mask.flush())
        self.reported += in_order([*metrics.finish(), *sources.finish()], self.scanner.flush())
        for report in received:
            self.reported += self.scanner.document(report)
        for text in self.scanner.no_numbers({item.name for item in self.reported}):
            self._print_message(text)

    def printed(self) -> str:
        """Return the end of the output, without secrets."""
        return self._mask.once(bytes(self._printed)).decode("utf-8", "replace")

    def _print_message(self, text: str) -> None:
        start = "\n" if self._printed and not self._printed.endswith(b"\n") else ""
        line = f"{start}orchestune: {self._mask.text(text)}\n".encode()
        self._printed.extend(line)
        self._output.show(line)


def _outcome(
    specification: Specification,
    reported: list[Reported],
    code: int | None,
    problem: str,
    seconds: float,
    output_tail: str,
) -> Outcome:
    points: dict[str, list[Point]] = {}
    for name, value, step, stddev in reported:
        points.setdefault(name, []).append(Point(name, value, step, stddev))
    outcome = Outcome(problem, code, seconds, printed=output_tail)
    for metric in specification.metrics:
        if metric.name in points:
            measured = reduce(metric, points.pop(metric.name))
            outcome.metrics[metric.name] = measured.to_json()
            if not math.isfinite(measured.value) and not outcome.problem:
                outcome.problem = not_finite(metric.name, measured.value, output_tail)
    outcome.extra = {name: series[-1].value for name, series in points.items()}
    return outcome
