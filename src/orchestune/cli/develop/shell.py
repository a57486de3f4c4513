"""`shell`: open a shell in a copy of a trial's folder, with its variables and parameters."""

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

from orchestune.cli.develop.changed_folder import OriginalExperiment, original_experiment
from orchestune.cli.develop.local_gpus import assign_gpus
from orchestune.cli.develop.report_endpoint import ReportEndpoint
from orchestune.cli.develop.trial_environment import TrialContext, TrialInputs, environment_and_command
from orchestune.cli.experiments.authorship import add_yes_option, confirm_reads
from orchestune.cli.inspect.trials import SHORT_DIGEST_DIGITS
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command, add_experiment
from orchestune.cli.terminal.render import one_line
from orchestune.cli.terminal.signals import deferred_signals, exit_on_signals
from orchestune.cli.terminal.temporary_folder import temporary_folder, translated_disk_errors
from orchestune.client.local.launch_context import environment, secret_values
from orchestune.errors import NotFound, UsageError
from orchestune.sdk.submitting import at_hand
from orchestune.worker.files.bundle import BundleError, UnpackedBundle, unpack
from orchestune.worker.files.view import project_links
from orchestune.worker.processes import tree

_POLL_SECONDS = 0.05
"""seconds between two checks whether the user's program has ended"""


def add(commands: Commands) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "shell",
        shell,
        details="Runs where the trial ran, also in a cluster or container. Nothing is recorded, and the folder is"
        " removed at the end. A command after -- replaces the shell; `-- {run}` is the trial's own command. A"
        " single word with spaces is run by a shell.",
        example="orchestune shell sgd-7f3a/12\norchestune shell sgd-7f3a/12 -- python -m pdb train.py",
        json=False,
    )
    add_experiment(parser, trial="must")
    parser.add_argument("--fold", type=int, default=0, metavar="K", help="fold of the trial (default: 0)")
    parser.add_argument("--keep", action="store_true", help="keep the folder at the end")
    add_yes_option(parser)
    parser.set_defaults(words=())


def shell(console: Console, args: argparse.Namespace) -> int:
    """Open the shell or run the command; return its exit code."""
    ref, number = console.trial(args.exp)
    original = original_experiment(console, ref, number)
    if not 0 <= args.fold < original.specification.folds.count:
        raise UsageError(f"no such fold: {args.fold} (expected 0 to {original.specification.folds.count - 1})")
    command_words = _command_words(args.words)
    if not args.yes:
        launch = original.document["launch"] or {}
        folder, links = Path(launch.get("root") or console.folder), launch.get("links") or ()
        confirm_reads(console, original.status, original.document, original.reference, folder, links)
    if not at_hand(console.place):
        from orchestune.cli.develop.remote_shell import remote_shell  # only needed for clusters and containers

        assert original.trial is not None
        return remote_shell(console, original, original.trial, args.fold, command_words)
    with exit_on_signals(), _session_folder(console, args.keep) as session_folder, ReportEndpoint() as reports:
        with translated_disk_errors():
            environ, command = _prepare(console, original, args.fold, session_folder, reports.url)
        words = [environ.get("SHELL") or "/bin/sh", *(["-i"] if console.out.isatty() else [])]
        if command_words:
            words = [part for word in command_words for part in (command if word == "{run}" else [word])]
        else:
            _explain(console, original, session_folder / "work", command)
        ending = signal.SIGTERM if command_words else signal.SIGHUP  # an interactive shell ignores SIGTERM
        return _run(words, session_folder / "work", environ, ending, original.specification.grace)


def _command_words(words: Sequence[str]) -> Sequence[str]:
    """Return the words after --; a single word with spaces is a script for `sh -c`, as in `run`."""
    if len(words) != 1 or not re.search(r"\s", words[0]):
        return words
    if "{run}" in words[0]:
        raise UsageError("cannot expand {run} inside a shell script", "write -- {run}")
    return ["sh", "-c", words[0]]


@contextmanager
def _session_folder(console: Console, keep: bool) -> Iterator[Path]:
    if not keep:
        with temporary_folder("orchestune-shell-") as own:
            yield own
        return
    with translated_disk_errors():
        folder = tempfile.mkdtemp(prefix="orchestune-shell-")
    yield Path(folder)
    console.note(f"folder kept: {folder}")


def _prepare(
    console: Console, original: OriginalExperiment, fold: int, session_folder: Path, report_url: str
) -> tuple[dict[str, str], Sequence[str]]:
    """Create the trial's folder; return its environment and command."""
    trial, launch, specification = original.trial, original.document["launch"] or {}, original.specification
    assert trial is not None
    folder, code = session_folder / "work", None
    if trial["bundle"]:
        archive = session_folder / "code.tar.gz"
        try:
            console.client.fetch_bundle(trial["bundle"], archive)
            unpack(archive, folder)
        except (NotFound, BundleError) as exc:
            raise NotFound(f"the code of {original.why} was deleted ({trial['bundle'][:SHORT_DIGEST_DIGITS]})") from exc
        archive.unlink()
        code = UnpackedBundle(folder)
    folder.mkdir(exist_ok=True)
    root = launch.get("root")
    for path, target in project_links(root, list(launch.get("links") or ()), code).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).symlink_to(target)
    sources = [(secret.name, secret.source) for secret in specification.secrets]
    secrets = secret_values(sources, console.environ, Path(root or console.folder))
    context = TrialContext(
        original.status["id"], original.status["handle"], trial["number"], trial["seed"], trial["parameters"], fold
    )  # fmt: skip
    gpus, problem = assign_gpus(specification.resources, console.environ)
    if problem:
        console.note(problem)
    inputs = TrialInputs(_base_environment(console.environ, launch.get("env")), secrets, root, report_url, gpus)
    return environment_and_command(specification, context, inputs, session_folder)


def _base_environment(shell_environ: Mapping[str, str], trial_environ: Mapping[str, str] | None) -> dict[str, str]:
    """Return this shell's own variables (terminal, session) with those that the trial was started with."""
    if trial_environ is None:
        return dict(shell_environ)
    user_variables = environment(shell_environ)
    return {**{name: value for name, value in shell_environ.items() if name not in user_variables}, **trial_environ}


def _explain(console: Console, original: OriginalExperiment, folder: Path, command: Sequence[str]) -> None:
    paint = console.paint
    command_text = command[2] if command[:2] == ["sh", "-c"] else shlex.join(command)
    rows = [
        ("trial", paint.bold(original.why)),
        ("folder", str(folder)),
        ("command", paint.bold(one_line(command_text))),
    ]
    console.say(*(f"{name:8} {text}" for name, text in rows))
    console.say(paint.dim("`exit` ends the shell; the parameters are in $ORCHESTUNE_PARAMS and $ORCHESTUNE_PARAM_..."))


def _run(words: Sequence[str], folder: Path, environ: Mapping[str, str], ending: signal.Signals, grace: float) -> int:
    """Run the program on this terminal; if this process must exit first, the program gets the signal `ending`.

    Ctrl-C is left to the program: our handler, unlike an ignored signal, is reset by `exec`.
    """
    with ExitStack() as cleanup:
        cleanup.callback(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, lambda number, frame: None))
        try:
            with deferred_signals():
                process = subprocess.Popen(words, cwd=folder, env=dict(environ))
                cleanup.callback(_terminate, process, ending, grace)
        except OSError as exc:
            raise UsageError(f"cannot start '{words[0]}': {exc.strerror}") from exc
        # not `wait`: the signal that terminates this process may reach another thread, which does not interrupt it
        while (code := process.poll()) is None:
            time.sleep(_POLL_SECONDS)
    return code if code >= 0 else 128 - code


def _terminate(process: subprocess.Popen[bytes], number: signal.Signals, grace: float) -> None:
    """Terminate the program, if it runs, and its descendants, whatever their process groups; SIGKILL those that run
    after `grace` seconds.
    """
    if process.returncode is not None:
        return
    family = _stopped_processes(process.pid)
    for pid in {process.pid, *(one.pid for one in family)}:
        _send(pid, number)
        _send(pid, signal.SIGCONT)
    deadline = time.monotonic() + grace
    while (process.poll() is None or _still_running(family)) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    process.kill()
    for pid in _still_running(family):
        _send(pid, signal.SIGKILL)
    process.wait()


def _stopped_processes(pid: int) -> Collection[tree.ProcessEntry]:
    """Stop the process and all its descendants, and return them: a running process could start others, which would be
    lost once it exits.
    """
    family: dict[int, tree.ProcessEntry] = {}
    while True:
        table = tree.processes()
        new_pids = tree.descendants({pid}, table) - family.keys()
        if not new_pids:
            return family.values()
        for pid_ in new_pids:
            family[pid_] = table[pid_]
            _send(pid_, signal.SIGSTOP)


def _still_running(family: Collection[tree.ProcessEntry]) -> list[int]:
    """Return the pids that still run. A reused pid is in another session or group."""
    current = tree.processes()
    return [
        process.pid for process in family if _session_and_group(current.get(process.pid)) == _session_and_group(process)
    ]


def _session_and_group(entry: tree.ProcessEntry | None) -> tuple[int, int] | None:
    return (entry.session, entry.group) if entry else None


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
