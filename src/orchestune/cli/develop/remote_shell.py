"""`shell` in a cluster or container: an ephemeral trial whose command is a terminal. Nothing is recorded."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from orchestune.cli.develop.attach_terminal import AttachedTerminal, is_terminal, terminal_size
from orchestune.cli.develop.changed_folder import OriginalExperiment
from orchestune.cli.develop.ephemeral_experiment import kept_alive, single, wait
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.render import one_line
from orchestune.client.api import Client
from orchestune.client.local.launch_context import secret_values
from orchestune.client.states import over
from orchestune.domain.specification.experiment import Keep, Specification
from orchestune.domain.specification.folds import Folds
from orchestune.errors import OrchestuneError
from orchestune.sdk.submitting import request

if TYPE_CHECKING:
    from orchestune import documents

_ACTIVE_STATES = ("leased", "running")
_END_WAIT_SECONDS = 15.0
"""maximum seconds until the server learns that the command has ended, usually less"""
_POLL_SECONDS = 0.1


def remote_shell(
    console: Console, original: OriginalExperiment, trial: documents.Trial, fold: int, words: Sequence[str]
) -> int:
    """Open a shell where the trial ran, with its image, resources and code; return the exit code of the shell or
    command.
    """
    launch, specification = original.document["launch"] or {}, original.specification
    sources = [(secret.name, secret.source) for secret in specification.secrets]
    secrets = secret_values(sources, console.environ, Path(launch.get("root") or console.folder))
    launch_context = {name: value for name, value in launch.items() if name in ("root", "links", "code")}
    shell_specification = _specification(console, original, trial, fold, words)
    body = request(
        console.place, shell_specification, trial["bundle"], console.folder, launch_context, secrets, console.environ
    )
    body["first"] = {"parameters": trial["parameters"], "seed": trial["seed"]}
    status = console.client.create_experiment(body)
    with kept_alive(console, status):
        if console.out.isatty():
            console.note(f"a shell for {original.why} in {console.place.name}")
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
    if is_tty and "TERM" in console.environ:
        variables["TERM"] = console.environ["TERM"]
    terminal = {"words": list(words), "tty": is_tty, "size": terminal_size(), "variables": variables}
    return replace(
        single(specification, trial["parameters"]),
        env={**specification.env, "ORCHESTUNE_TERMINAL": json.dumps(terminal)},
        folds=Folds(),
        timeout=None,
        retries=0,
        oom_retries=0,
        early_stopping=None,
        keep=Keep(),
        checkpoint_every=None,
        collect=(),
    )


def _wait_for_end(client: Client, ref: str) -> None:
    """Wait until the trial has ended, so that its worker stays warm for the next one. Deleting it earlier would
    terminate the worker.
    """
    deadline = time.monotonic() + _END_WAIT_SECONDS
    with suppress(OrchestuneError):
        while not over(client.experiment(ref)) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)


def _exit_code(client: Client, ref: str) -> int | None:
    """Return the exit code if the trial ended without reporting one, because its worker was lost or the server was
    restarted.
    """
    attempt = client.trial(ref, 1)["attempts"][-1]
    if attempt["state"] in _ACTIVE_STATES:
        return None
    if attempt["exit_code"] is not None:
        return attempt["exit_code"]
    raise OrchestuneError(one_line(attempt["reason"]["message"] if attempt["reason"] else attempt["state"]))
