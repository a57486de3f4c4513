"""`shell` in a cluster or a container: a trial whose command is a terminal. Nothing of it is recorded or left."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from orchestune.cli.develop.attach_terminal import AttachedTerminal, is_terminal, size
from orchestune.cli.develop.changed_folder import OriginalExperiment
from orchestune.cli.develop.ephemeral_experiment import attended, single, wait
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

_LIVE = ("leased", "running")
_REST = 15.0
"""seconds in which the server hears that the command has ended; somebody sees it sooner"""
_LOOK = 0.1


def shell_there(
    console: Console, found: OriginalExperiment, trial: documents.Trial, fold: int, words: Sequence[str]
) -> int:
    """Where the trial ran: the same image and resources, the same code. The exit code of the shell or the command."""
    launch, specification = found.document["launch"] or {}, found.specification
    sources = [(secret.name, secret.source) for secret in specification.secrets]
    secrets = secret_values(sources, console.environ, Path(launch.get("root") or console.folder))
    taken = {name: value for name, value in launch.items() if name in ("root", "links", "code")}
    made = _specification(console, found, trial, fold, words)
    body = request(console.place, made, trial["bundle"], console.folder, taken, secrets, console.environ)
    body["first"] = {"parameters": trial["parameters"], "seed": trial["seed"]}
    status = console.client.create_experiment(body)
    with attended(console, status):
        if console.out.isatty():
            console.note(f"a shell for {found.why} in {console.place.name}")
        status = wait(console, status, lambda status: bool(status.get("running")))
        ref = status["id"]
        begun = [attempt for made in console.client.trials(ref) for attempt in made["attempts"]]
        if not begun:
            reason = status["reason"]["message"] if status["reason"] else f"it is {status['state']}"
            raise OrchestuneError(f"no shell could be opened: {one_line(reason)}")
        code = AttachedTerminal(console, ref, begun[-1]["id"]).pass_on(lambda client: _ended(client, ref))
        _settle(console.client, ref)
        return code


def _specification(
    console: Console, found: OriginalExperiment, trial: documents.Trial, fold: int, words: Sequence[str]
) -> Specification:
    """That of the trial, as long as the person wants; its own number is told to the command."""
    known = found.specification
    variables = {
        "ORCHESTUNE_TRIAL": str(trial["number"]),
        "ORCHESTUNE_FOLD": str(fold),
        "ORCHESTUNE_FOLDS": str(known.folds.count),
        "ORCHESTUNE_HANDLE": found.status["handle"],
        "ORCHESTUNE_EXPERIMENT": found.status["id"],
    }
    here = is_terminal(console)
    if here and "TERM" in console.environ:
        variables["TERM"] = console.environ["TERM"]
    told = {"words": list(words), "tty": here, "size": size(), "variables": variables}
    return replace(
        single(known, trial["parameters"]),
        env={**known.env, "ORCHESTUNE_TERMINAL": json.dumps(told)},
        folds=Folds(),
        timeout=None,
        retries=0,
        oom_retries=0,
        early_stopping=None,
        keep=Keep(),
        checkpoint_every=None,
        collect=(),
    )


def _settle(client: Client, ref: str) -> None:
    """Until the trial is over: its worker stays warm then, for the next one. What is removed before takes it along."""
    deadline = time.monotonic() + _REST
    with suppress(OrchestuneError):
        while not over(client.experiment(ref)) and time.monotonic() < deadline:
            time.sleep(_LOOK)


def _ended(client: Client, ref: str) -> int | None:
    """How the trial ended, if it did without a word: its worker was lost, or the server was restarted meanwhile."""
    attempt = client.trial(ref, 1)["attempts"][-1]
    if attempt["state"] in _LIVE:
        return None
    if attempt["exit_code"] is not None:
        return attempt["exit_code"]
    raise OrchestuneError(one_line(attempt["reason"]["message"] if attempt["reason"] else attempt["state"]))
