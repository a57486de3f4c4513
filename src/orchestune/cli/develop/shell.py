"""`shell`: the folder of a trial once more, with its variables and parameters, for the user's own hands."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from orchestune.cli.develop.changed_folder import OriginalExperiment, model
from orchestune.cli.develop.local_gpus import cards
from orchestune.cli.develop.report_endpoint import ReportEndpoint
from orchestune.cli.develop.trial_environment import TrialContext, TrialInputs, call_by_hand
from orchestune.cli.inspect.trials import SHORT
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command, add_experiment
from orchestune.cli.terminal.render import one_line
from orchestune.cli.terminal.signals import deferred, orderly_end
from orchestune.cli.terminal.temporary_folder import room, scratch
from orchestune.client.local.launch_context import environment, secret_values
from orchestune.errors import NotFound, UsageError
from orchestune.sdk.submitting import at_hand
from orchestune.worker.files.bundle import BundleError, UnpackedBundle, unpack
from orchestune.worker.files.view import project_links
from orchestune.worker.processes import tree

_LOOK = 0.05
"""seconds between two looks at whether the user's program has ended"""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "shell",
        shell,
        details="Where the trial ran, in a cluster or a container too. Nothing is recorded, and the folder is removed"
        " at the end. A command after -- is run in the shell's place; `-- {run}` is the trial's own. A"
        " single word with spaces goes to a shell.",
        example="orchestune shell sgd-7f3a/12\norchestune shell sgd-7f3a/12 -- python -m pdb train.py",
        json=False,
    )
    add_experiment(parser, trial="must")
    parser.add_argument("--fold", type=int, default=0, metavar="K", help="which fold of the trial (default: 0)")
    parser.add_argument("--keep", action="store_true", help="do not remove the folder")
    parser.set_defaults(words=())


def shell(console: Console, args: argparse.Namespace) -> int:
    """The exit code of the shell, or of the command."""
    ref, number = console.trial(args.exp)
    found = model(console, ref, number)
    if not 0 <= args.fold < found.specification.folds.count:
        raise UsageError(f"there is no fold {args.fold}", f"it has {found.specification.folds.count}, from 0")
    given = _given(args.words)
    if not at_hand(console.place):
        from orchestune.cli.develop.remote_shell import shell_there  # which shells on this machine do without

        assert found.trial is not None
        return shell_there(console, found, found.trial, args.fold, given)
    with orderly_end(), _own_folder(console, args.keep) as own, ReportEndpoint() as reports:
        with room():
            environ, command = _prepare(console, found, args.fold, own, reports.url)
        words = [environ.get("SHELL") or "/bin/sh", *(["-i"] if console.out.isatty() else [])]
        if given:
            words = [part for word in given for part in (command if word == "{run}" else [word])]
        else:
            _explain(console, found, own / "work", command)
        ending = signal.SIGTERM if given else signal.SIGHUP  # a shell at a terminal ignores the first one
        return _run(words, own / "work", environ, ending, found.specification.grace)


def _given(words: Sequence[str]) -> Sequence[str]:
    """What stands after --: a single word with spaces is a text for `sh -c`, as it is for `run`."""
    if len(words) != 1 or not re.search(r"\s", words[0]):
        return words
    if "{run}" in words[0]:
        raise UsageError("{run} is a word of its own after --, which no shell reads", "write -- {run}")
    return ["sh", "-c", words[0]]


@contextmanager
def _own_folder(console: Console, keep: bool) -> Iterator[Path]:
    if not keep:
        with scratch("orchestune-shell-") as own:
            yield own
        return
    with room():
        folder = tempfile.mkdtemp(prefix="orchestune-shell-")
    yield Path(folder)
    console.note(f"the folder is kept: {folder}")


def _prepare(
    console: Console, found: OriginalExperiment, fold: int, own: Path, report: str
) -> tuple[dict[str, str], Sequence[str]]:
    """Make the folder; the variables and the command of the trial."""
    trial, launch, specification = found.trial, found.document["launch"] or {}, found.specification
    assert trial is not None
    folder, code = own / "work", None
    if trial["bundle"]:
        archive = own / "code.tar.gz"
        try:
            console.client.fetch_bundle(trial["bundle"], archive)
            unpack(archive, folder)
        except (NotFound, BundleError) as exc:
            raise NotFound(f"the code of {found.why} is no longer there ({trial['bundle'][:SHORT]})") from exc
        archive.unlink()
        code = UnpackedBundle(folder)
    folder.mkdir(exist_ok=True)
    root = launch.get("root")
    for path, target in project_links(root, list(launch.get("links") or ()), code).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).symlink_to(target)
    sources = [(secret.name, secret.source) for secret in specification.secrets]
    secrets = secret_values(sources, console.environ, Path(root or console.folder))
    call = TrialContext(
        found.status["id"], found.status["handle"], trial["number"], trial["seed"], trial["parameters"], fold
    )  # fmt: skip
    gpus, problem = cards(specification.resources, console.environ)
    if problem:
        console.note(problem)
    given = TrialInputs(_base(console.environ, launch.get("env")), secrets, root, report, gpus)
    return call_by_hand(specification, call, given, own)


def _base(here: Mapping[str, str], given: Mapping[str, str] | None) -> dict[str, str]:
    """This shell's variables (its terminal, its session), with those that the trial was started with."""
    if given is None:
        return dict(here)
    own = environment(here)
    return {**{name: value for name, value in here.items() if name not in own}, **given}


def _explain(console: Console, found: OriginalExperiment, folder: Path, command: Sequence[str]) -> None:
    paint = console.paint
    shown = command[2] if command[:2] == ["sh", "-c"] else shlex.join(command)
    rows = [("trial", paint.bold(found.why)), ("folder", str(folder)), ("command", paint.bold(one_line(shown)))]
    console.say(*(f"{name:8} {text}" for name, text in rows))
    console.say(paint.dim("`exit` leaves; the parameters are in $ORCHESTUNE_PARAMS and $ORCHESTUNE_PARAM_..."))


def _run(words: Sequence[str], folder: Path, environ: Mapping[str, str], ending: signal.Signals, grace: float) -> int:
    """Run it on this terminal; where this program has to end before it, it gets `ending`.

    Ctrl-C is its affair: a handler of ours, unlike an ignored signal, ends with `exec`.
    """
    with ExitStack() as ends:
        ends.callback(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, lambda number, frame: None))
        try:
            with deferred():
                process = subprocess.Popen(words, cwd=folder, env=dict(environ))
                ends.callback(_end, process, ending, grace)
        except OSError as exc:
            raise UsageError(f"{words[0]} cannot be started: {exc.strerror}") from exc
        # not `wait`: the signal that ends this program may reach another thread, which does not interrupt that
        while (code := process.poll()) is None:
            time.sleep(_LOOK)
    return code if code >= 0 else 128 - code


def _end(process: subprocess.Popen[bytes], number: signal.Signals, grace: float) -> None:
    """Where it has not ended, end it and what it started, whose process groups are its own affair; SIGKILL to what is
    left after `grace`.
    """
    if process.returncode is not None:
        return
    family = _held(process.pid)
    for pid in {process.pid, *(one.pid for one in family)}:
        _send(pid, number)
        _send(pid, signal.SIGCONT)
    deadline = time.monotonic() + grace
    while (process.poll() is None or _left(family)) and time.monotonic() < deadline:
        time.sleep(_LOOK)
    process.kill()
    for pid in _left(family):
        _send(pid, signal.SIGKILL)
    process.wait()


def _held(pid: int) -> Collection[tree.ProcessEntry]:
    """The process and what it started, each stopped: one that runs on starts others, which are lost once it ends."""
    family: dict[int, tree.ProcessEntry] = {}
    while True:
        table = tree.processes()
        new = tree.descendants({pid}, table) - family.keys()
        if not new:
            return family.values()
        for one in new:
            family[one] = table[one]
            _send(one, signal.SIGSTOP)


def _left(family: Collection[tree.ProcessEntry]) -> list[int]:
    """Who of it still runs. A later process of the same number is in another session or group."""
    now = tree.processes()
    return [one.pid for one in family if _place(now.get(one.pid)) == _place(one)]


def _place(entry: tree.ProcessEntry | None) -> tuple[int, int] | None:
    return (entry.session, entry.group) if entry else None


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
