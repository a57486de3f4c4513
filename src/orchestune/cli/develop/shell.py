"""`shell`: open a shell where a trial ran, in a copy of its folder, with its variables and parameters.

It is an ephemeral trial whose command is a terminal, with the image, resources and code of the original trial.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from orchestune.cli.develop.attach_terminal import AttachedTerminal, is_terminal, terminal_size
from orchestune.cli.develop.changed_folder import OriginalExperiment, original_experiment
from orchestune.cli.develop.ephemeral_experiment import kept_alive, single, wait
from orchestune.cli.experiments.authorship import add_yes_option, confirm_reads, folder_of, is_own
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command, add_experiment
from orchestune.cli.terminal.render import one_line
from orchestune.cli.terminal.signals import exit_on_signals
from orchestune.client.api import Client
from orchestune.client.local.launch_context import secret_values
from orchestune.client.states import over
from orchestune.domain.specification.experiment import Keep, Specification
from orchestune.domain.specification.folds import Folds
from orchestune.errors import OrchestuneError, UsageError
from orchestune.sdk.submitting import at_hand, request
from orchestune.worker.command import render

if TYPE_CHECKING:
    from orchestune import documents

_ACTIVE_STATES = ("leased", "running")
_END_WAIT_SECONDS = 15.0
"""maximum seconds until the server learns that the command has ended, usually less"""
_POLL_SECONDS = 0.1
_LAUNCH_KEYS = ("root", "links", "code", "env")
"""keys of the original experiment's launch context that apply to its trials"""
_TERMINAL_VARIABLES = ("TERM", "COLORTERM")
_SESSION_VARIABLES = ("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "SSH_AUTH_SOCK", "EDITOR", "VISUAL", "PAGER")
"""variables that a shell on this machine inherits from the user's session; trials do not get them"""
_KEEPING = """trap : HUP TERM; "$@"; code=$?; cp -a . "$0"; exit $code"""
"""script that runs the command in its arguments, then copies the folder, also if it is terminated"""


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
    parser.add_argument("--keep", action="store_true", help="keep a copy of the folder at the end (on this machine)")
    add_yes_option(parser)
    parser.set_defaults(words=())


def shell(console: Console, args: argparse.Namespace) -> int:
    """Open the shell or run the command; return its exit code."""
    ref, number = console.trial(args.exp)
    original = original_experiment(console, ref, number)
    trial, folds = original.trial, original.specification.folds.count
    assert trial is not None
    if not 0 <= args.fold < folds:
        raise UsageError(f"no such fold: {args.fold} (expected 0 to {folds - 1})")
    words = _command_words(args.words)
    if not args.yes:
        launch = original.document["launch"] or {}
        folder = folder_of(console, original.status, original.document) or console.folder
        root = Path(launch["root"]) if launch.get("root") else None
        links = launch.get("links") or ()
        confirm_reads(console, original.status, original.document, original.reference, folder, root, links)
    if not words:
        _explain(console, original, trial)
    if not args.keep:
        return _open(console, original, trial, args.fold, words)
    if not _is_here(console):
        raise UsageError("--keep needs a trial on this machine", "copy the files that you need before you exit")
    kept = tempfile.mkdtemp(prefix="orchestune-shell-")
    shell_words = words or [console.environ.get("SHELL") or "/bin/sh"]
    code = _open(console, original, trial, args.fold, ["sh", "-c", _KEEPING, kept, *shell_words])
    console.note(f"folder kept: {kept}")
    return code


def _is_here(console: Console) -> bool:
    """Return True if the trial is a process of this machine; a server that ORCHESTUNE_SERVER names may be anywhere."""
    return console.place.embedded and at_hand(console.place)


def _command_words(words: Sequence[str]) -> Sequence[str]:
    """Return the words after --; a single word with spaces is a script for `sh -c`, as in `run`."""
    if len(words) != 1 or not re.search(r"\s", words[0]):
        return words
    if "{run}" in words[0]:
        raise UsageError("cannot expand {run} inside a shell script", "write -- {run}")
    return ["sh", "-c", words[0]]


def _explain(console: Console, original: OriginalExperiment, trial: documents.Trial) -> None:
    specification, paint = original.specification, console.paint
    names = [parameter.name for parameter in specification.space.parameters]
    command = render(specification.run, trial["parameters"], names, "$ORCHESTUNE_CONFIG")
    command_text = command[2] if command[:2] == ["sh", "-c"] else shlex.join(command)
    console.say(
        f"trial    {paint.bold(original.why)}",
        f"command  {paint.bold(one_line(command_text))}",
        paint.dim("`exit` ends the shell; the parameters are in $ORCHESTUNE_PARAMS and $ORCHESTUNE_PARAM_..."),
    )


def _open(
    console: Console, original: OriginalExperiment, trial: documents.Trial, fold: int, words: Sequence[str]
) -> int:
    launch, specification = original.document["launch"] or {}, original.specification
    sources = [(secret.name, secret.source) for secret in specification.secrets]
    folder = folder_of(console, original.status, original.document) or console.folder
    secrets = secret_values(sources, console.environ, folder)
    shell_specification = _specification(console, original, trial, fold, words)
    if not is_own(console, original.status, original.document):
        shell_specification = replace(shell_specification, inherit_env=False)
    launch_context = {name: value for name, value in launch.items() if name in _LAUNCH_KEYS}
    body = request(
        console.place, shell_specification, trial["bundle"], console.folder, launch_context, secrets, console.environ
    )
    body["first"] = {"parameters": trial["parameters"], "seed": trial["seed"]}
    with exit_on_signals():
        status = console.client.create_experiment(body)
        with kept_alive(console, status, specification.grace):
            status = wait(console, status, lambda status: bool(status.get("running")))
            ref = status["id"]
            attempts = [attempt for shell_trial in console.client.trials(ref) for attempt in shell_trial["attempts"]]
            if not attempts:
                reason = status["reason"]["message"] if status["reason"] else f"it is {status['state']}"
                raise OrchestuneError(f"cannot open a shell: {one_line(reason)}")
            code = AttachedTerminal(console, ref, attempts[-1]["id"]).pass_on(lambda client: _exit_code(client, ref))
            _wait_for_end(console.client, ref)
            return code


def _specification(
    console: Console, original: OriginalExperiment, trial: documents.Trial, fold: int, words: Sequence[str]
) -> Specification:
    """Return the trial's specification without a time limit; variables give the command the original trial's number."""
    specification = original.specification
    variables = {
        "ORCHESTUNE_TRIAL": str(trial["number"]),
        "ORCHESTUNE_FOLD": str(fold),
        "ORCHESTUNE_FOLDS": str(specification.folds.count),
        "ORCHESTUNE_HANDLE": original.status["handle"],
        "ORCHESTUNE_EXPERIMENT": original.status["id"],
    }
    is_tty = is_terminal(console)
    inherited = (*(_TERMINAL_VARIABLES if is_tty else ()), *(_SESSION_VARIABLES if _is_here(console) else ()))
    variables |= {name: console.environ[name] for name in inherited if name in console.environ}
    terminal = {"words": list(words), "tty": is_tty, "size": terminal_size(), "variables": variables}
    return replace(
        single(specification, trial["parameters"]),
        env={**specification.env, "ORCHESTUNE_TERMINAL": json.dumps(terminal)},
        folds=Folds(),
        timeout=None,
        early_stopping=None,
        keep=Keep(),
        checkpoint_every=None,
        collect=(),
    )


def _wait_for_end(client: Client, ref: str) -> None:
    """Wait until the trial has ended, so that its worker stays warm for the next one.

    Deleting it earlier would terminate the worker.
    """
    deadline = time.monotonic() + _END_WAIT_SECONDS
    with suppress(OrchestuneError):
        while not over(client.experiment(ref)) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)


def _exit_code(client: Client, ref: str) -> int | None:
    """Return the exit code if the trial ended without reporting one.

    Its worker was lost then, or the server was restarted.
    """
    attempt = client.trial(ref, 1)["attempts"][-1]
    if attempt["state"] in _ACTIVE_STATES:
        return None
    if attempt["exit_code"] is not None:
        return attempt["exit_code"]
    raise OrchestuneError(one_line(attempt["reason"]["message"] if attempt["reason"] else attempt["state"]))
