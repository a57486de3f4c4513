"""`test` in a cluster or a container: an experiment of one trial, its output on the screen, removed at the end."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from orchestune.cli.develop.ephemeral_experiment import attended, single, wait
from orchestune.cli.develop.outcome import Outcome
from orchestune.cli.experiments import image, upload
from orchestune.cli.experiments.prepare import PreparedExperiment
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.render import harmless_lines, one_line
from orchestune.domain.search.parameters import Value
from orchestune.errors import OrchestuneError

if TYPE_CHECKING:
    from orchestune import documents

_REST = 15.0
"""seconds in which the last lines arrive after its end"""


def try_there(
    console: Console,
    prepared: PreparedExperiment,
    parameters: Mapping[str, Value],
    secrets: dict[str, str],
    seed: int | None,
) -> Outcome:
    """Run the command once with `parameters` where `--cluster` says. Nothing is left there, Ctrl-C or not."""
    specification = single(image.pinned(console, prepared), parameters)
    digest = upload.upload(console, prepared)
    first = None if seed is None else {"parameters": dict(parameters), "seed": seed}
    status = upload.create(console, prepared, specification, digest, secrets, first)
    logs = threading.Thread(target=_show, args=(console, status["id"]), daemon=True)
    with attended(console, status):
        logs.start()
        last = wait(console, status)
        logs.join(_REST if last["counts"]["running"] == 0 else 0)
        return _outcome(console, last)


def _show(console: Console, ref: str) -> None:
    client = console.client.clone()
    stream = console.err if console.json else console.out
    with suppress(OrchestuneError):  # what the status says of the same trouble is what counts
        for chunk in client.follow_logs(ref):
            stream.write(harmless_lines(chunk["text"]) if stream.isatty() else chunk["text"])
            stream.flush()
    client.close()


def _outcome(console: Console, status: documents.Status) -> Outcome:
    trial = next(iter(console.client.trials(status["id"])), None)
    attempt = trial["attempts"][-1] if trial and trial["attempts"] else None
    outcome = Outcome(
        _problem(status, trial),
        attempt["exit_code"] if attempt else None,
        (attempt["wall_seconds"] or 0.0) if attempt else 0.0,
    )
    outcome.printed = (attempt.get("tail") if attempt else None) or ""
    outcome.warm = any(worker["came_from"] for worker in status["workers"] if worker["succeeded"] + worker["failed"])
    if trial:
        outcome.metrics = {
            name: {"value": measured["value"], "stddev": measured["stddev"]}
            for name, measured in trial["metrics"].items()
        }
    return outcome


def _problem(status: documents.Status, trial: documents.Trial | None) -> str:
    if trial is not None and trial["state"] == "completed":
        return ""
    reason = (trial["reason"] if trial else None) or status["reason"]
    return one_line(reason["message"]) if reason else f"it is {status['state']}"
