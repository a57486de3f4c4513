"""One trial without a server: the worker's reading of the command and of its output, in a private copy of the code."""

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
from orchestune.cli.develop.trial_environment import TrialContext, TrialInputs, call_by_hand
from orchestune.cli.experiments.prepare import PreparedExperiment
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.signals import deferred, orderly_end
from orchestune.cli.terminal.temporary_folder import room, scratch
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
from orchestune.worker.processes.cores import Cores, not_pinned, on

_PRINTED = 64 * 1024
"""bytes at the end of the output in which a value that was not understood is looked for"""


def try_one(
    console: Console,
    prepared: PreparedExperiment,
    parameters: Mapping[str, Value],
    secrets: Mapping[str, str],
    hear: Callable[[bytes], None] = lambda data: None,
    look: Callable[[Path], None] = lambda folder: None,
    *,
    seed: int | None = None,
) -> Outcome:
    """Run the command once with `parameters`, its output on the screen. Leaves nothing behind, however it is ended.

    `hear` is given the output too, as it comes; `look` the folder of the command once that has ended, however it did.
    """
    specification = prepared.specification
    said = _Said(console, specification, secrets)
    with orderly_end(), scratch("orchestune-test-") as folder, ReportEndpoint() as reports:
        view = folder / "work"
        with room():
            copy_code(prepared, view)
        call = TrialContext("test", "test", 1, specification.seed & 0xFFFFFFFF if seed is None else seed, parameters)
        gpus = _cards(console, specification)
        given = TrialInputs(environment(console.environ), secrets, str(prepared.folder), reports.url, gpus)
        with room():
            environ, command = call_by_hand(specification, call, given, folder)
        metrics = FollowedFile(
            environ["ORCHESTUNE_METRICS"], JsonLinesParser(said.scanner, environ["ORCHESTUNE_METRICS"])
        )

        def take(data: bytes) -> None:
            hear(data)  # first: who sees it may press Ctrl-C
            said.take(data, metrics)

        began = time.monotonic()
        try:
            with _pinned(console, specification) as cores:
                code, problem = run_command(command, view, environ, specification, take, cores)
        finally:
            look(view)
        seconds = time.monotonic() - began
        sources = Sources([source.to_json() for source in specification.collect], str(view), said.scanner)
        said.end(metrics, sources, reports.received)
        outcome = _outcome(specification, said.reported, code, problem, seconds, said.printed())
        outcome.absent = sources.absent()
    return outcome


def _cards(console: Console, specification: Specification) -> tuple[str, ...]:
    """The GPUs that it is given, as a worker of this machine would; none where it asks for none or there are none."""
    if not specification.resources.gpu:
        return ()
    from orchestune.cli.develop.local_gpus import cards  # a backend, which most tests do not need

    chosen, problem = cards(specification.resources, console.environ)
    if problem:
        _Output(console).show(f"orchestune: {problem}\n".encode())
    return chosen


@contextmanager
def _pinned(console: Console, specification: Specification) -> Iterator[list[int]]:
    """The cores that it has for itself meanwhile, where it asks for that; a worker of this machine takes others."""
    each = specification.resources
    count = int(each.cpu) if each.cpu and each.pin else 0
    if not count:
        yield []
        return
    all_cores = Cores(state_folder(console.environ) / "cores")
    found = all_cores.take("test", count)
    if not found:
        _Output(console).show(f"orchestune: {not_pinned(count)}\n".encode())
    try:
        yield found
    finally:
        all_cores.release("test")


def copy_code(prepared: PreparedExperiment, view: Path) -> None:
    """The folder as a trial on this machine sees it: a copy of what is packed, and links to what is not."""
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
    """Run it to its end (on these cores alone), its process group with it; the exit code and what went wrong."""
    given = environ["ORCHESTUNE_PARAMS"] if specification.stdin else os.devnull
    with ExitStack() as ends:
        try:
            with open(given, "rb") as stdin, on(cores), deferred():
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
                pipe = ends.enter_context(process.stdout)
                ends.callback(_end_group, process, specification.grace)
        except OSError as exc:
            return None, f"the command cannot be started: {command[0]}: {exc.strerror}"
        deadline = time.monotonic() + specification.timeout if specification.timeout else math.inf
        if not _read(process, pipe.fileno(), deadline, take):
            return None, f"it took longer than the timeout of {specification.timeout:g} s"
    code = process.returncode
    if code < 0:
        return None, f"the command was ended by {signal_name(-code)}"
    return code, f"the command ended with exit code {code}" if code else ""


def _read(process: subprocess.Popen[bytes], pipe: int, deadline: float, take: Callable[[bytes], None]) -> bool:
    """Pass the output on until the command has ended; False where it did not in time."""
    while time.monotonic() < deadline:
        ended = _has_ended(process)  # asked first: what it wrote before its end is in the pipe by then
        if select.select([pipe], [], [], 0 if ended else 0.1)[0]:
            data = os.read(pipe, 1 << 16)
            if data:
                take(data)
                continue
            process.wait()
            return True
        if ended:
            return True
    return False


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """As `poll` tells it, without its lock: Ctrl-C at the wrong moment there would make every later `wait` hang."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end_group(process: subprocess.Popen[bytes], grace: float) -> None:
    """SIGTERM, then SIGKILL, to whatever of the command's process group still runs."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    finally:  # at a second Ctrl-C too
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class _Output:
    """The command's output as it stands; with `--json` beside the document."""

    def __init__(self, console: Console) -> None:
        self._stream = console.err if console.json else console.out
        self._decoder = codecs.getincrementaldecoder(self._stream.encoding or "utf-8")("replace")

    def show(self, data: bytes) -> None:
        """Of a character that the data ends within, the rest has yet to come."""
        self._stream.write(self._decoder.decode(data))
        self._stream.flush()


class _Said:
    """What the command says, on its way to the screen, and the metrics that it reports there and elsewhere."""

    def __init__(self, console: Console, specification: Specification, secrets: Mapping[str, str]) -> None:
        self.reported: list[Reported] = []
        self._printed = bytearray()
        self._output = _Output(console)
        self._mask = Mask(spellings(secrets.values()))
        expressions = [source.where for source in specification.collect if source.kind == "regex"]
        declared = Declared((metric.name for metric in specification.metrics), expressions)
        self.scanner = Scanner(declared, self._say, self._mask.text)

    def take(self, data: bytes, metrics: FollowedFile) -> None:
        """Some of its output. What stands in the file of `metrics` by now came before it."""
        self._printed[:] = (self._printed + data)[-_PRINTED:]
        self._output.show(self._mask.feed(data))
        found = self.scanner.feed(data)
        if found:
            self.reported += in_order(metrics.read(), found)

    def end(self, metrics: FollowedFile, sources: Sources, received: Iterable[bytes]) -> None:
        """The command has ended: all that it left in files, and that was sent."""
        self._output.show(self._mask.flush())
        self.reported += in_order([*metrics.finish(), *sources.finish()], self.scanner.flush())
        for report in received:
            self.reported += self.scanner.document(report)
        for text in self.scanner.no_numbers({item.name for item in self.reported}):
            self._say(text)

    def printed(self) -> str:
        """The end of its output, without secrets."""
        return self._mask.once(bytes(self._printed)).decode("utf-8", "replace")

    def _say(self, text: str) -> None:
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
    printed: str,
) -> Outcome:
    points: dict[str, list[Point]] = {}
    for name, value, step, stddev in reported:
        points.setdefault(name, []).append(Point(name, value, step, stddev))
    outcome = Outcome(problem, code, seconds, printed=printed)
    for metric in specification.metrics:
        if metric.name in points:
            measured = reduce(metric, points.pop(metric.name))
            outcome.metrics[metric.name] = measured.to_json()
            if not math.isfinite(measured.value) and not outcome.problem:
                outcome.problem = not_finite(metric.name, measured.value, printed)
    outcome.extra = {name: found[-1].value for name, found in points.items()}
    return outcome
