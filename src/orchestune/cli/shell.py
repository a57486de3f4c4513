"""`shell`: the folder of a trial once more, with its variables and parameters, for the user's own hands."""

from __future__ import annotations

import argparse
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from orchestune.cli.by_hand import Call, GivenTo, call_by_hand
from orchestune.cli.cards_here import cards
from orchestune.cli.changed import Model, model
from orchestune.cli.console import Console
from orchestune.cli.parser import Commands, add_command, add_experiment
from orchestune.cli.render import one_line
from orchestune.cli.reports import Reports
from orchestune.cli.trials import SHORT
from orchestune.client.launch import environment, secret_values
from orchestune.errors import NotFound, UsageError
from orchestune.sdk.submitting import at_hand
from orchestune.worker.bundle import Bundle, BundleError, unpack
from orchestune.worker.view import project_links


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "shell",
        shell,
        details="Where the trial ran, in a cluster or a container too. Nothing is recorded, and the folder is removed"
        " at the end. A command after -- is run in the shell's place; `-- {run}` is the trial's own.",
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
    if not at_hand(console.place):
        from orchestune.cli.shell_there import shell_there  # which shells on this machine do without

        assert found.trial is not None
        return shell_there(console, found, found.trial, args.fold, args.words)
    with _scratch(console, args.keep) as scratch, Reports() as reports:
        environ, command = _prepare(console, found, args.fold, scratch, reports.url)
        words = [environ.get("SHELL") or "/bin/sh", *(["-i"] if console.out.isatty() else [])]
        if args.words:
            words = [word for given in args.words for word in (command if given == "{run}" else [given])]
        else:
            _explain(console, found, scratch / "work", command)
        return _run(words, scratch / "work", environ)


@contextmanager
def _scratch(console: Console, keep: bool) -> Iterator[Path]:
    if not keep:
        with tempfile.TemporaryDirectory(prefix="orchestune-shell-", ignore_cleanup_errors=True) as folder:
            yield Path(folder)
        return
    folder = tempfile.mkdtemp(prefix="orchestune-shell-")
    yield Path(folder)
    console.note(f"the folder is kept: {folder}")


def _prepare(
    console: Console, found: Model, fold: int, scratch: Path, report: str
) -> tuple[dict[str, str], Sequence[str]]:
    """Make the folder; the variables and the command of the trial."""
    trial, launch, specification = found.trial, found.document["launch"] or {}, found.specification
    assert trial is not None
    folder, code = scratch / "work", None
    if trial["bundle"]:
        archive = scratch / "code.tar.gz"
        try:
            console.client.fetch_bundle(trial["bundle"], archive)
            unpack(archive, folder)
        except (NotFound, BundleError) as exc:
            raise NotFound(f"the code of {found.why} is no longer there ({trial['bundle'][:SHORT]})") from exc
        archive.unlink()
        code = Bundle(folder)
    folder.mkdir(exist_ok=True)
    root = launch.get("root")
    for path, target in project_links(root, list(launch.get("links") or ()), code).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).symlink_to(target)
    sources = [(secret.name, secret.source) for secret in specification.secrets]
    secrets = secret_values(sources, console.environ, Path(root or console.folder))
    call = Call(
        found.status["id"], found.status["handle"], trial["number"], trial["seed"], trial["parameters"], fold
    )  # fmt: skip
    gpus, problem = cards(specification.resources, console.environ)
    if problem:
        console.note(problem)
    given = GivenTo(_base(console.environ, launch.get("env")), secrets, root, report, gpus)
    return call_by_hand(specification, call, given, scratch)


def _base(here: Mapping[str, str], given: Mapping[str, str] | None) -> dict[str, str]:
    """This shell's variables (its terminal, its session), with those that the trial was started with."""
    if given is None:
        return dict(here)
    own = environment(here)
    return {**{name: value for name, value in here.items() if name not in own}, **given}


def _explain(console: Console, found: Model, folder: Path, command: Sequence[str]) -> None:
    paint = console.paint
    shown = command[2] if command[:2] == ["sh", "-c"] else shlex.join(command)
    rows = [("trial", paint.bold(found.why)), ("folder", str(folder)), ("command", paint.bold(one_line(shown)))]
    console.say(*(f"{name:8} {text}" for name, text in rows))
    console.say(paint.dim("`exit` leaves; the parameters are in $ORCHESTUNE_PARAMS and $ORCHESTUNE_PARAM_..."))


def _run(words: Sequence[str], folder: Path, environ: Mapping[str, str]) -> int:
    """Run it on this terminal. Ctrl-C is its affair: a handler of ours, unlike an ignored signal, ends with `exec`."""
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        code = subprocess.Popen(words, cwd=folder, env=dict(environ)).wait()
    except OSError as exc:
        raise UsageError(f"{words[0]} cannot be started: {exc.strerror}") from exc
    finally:
        signal.signal(signal.SIGINT, before)
    return code if code >= 0 else 128 - code
