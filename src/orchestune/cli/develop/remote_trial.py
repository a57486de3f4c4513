"""`test` in a cluster or container: an ephemeral experiment of one trial, with its output on the screen."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from orchestune.cli.develop.ephemeral_experiment import kept_alive, single, wait
from orchestune.cli.develop.outcome import Outcome
from orchestune.cli.experiments import image, upload
from orchestune.cli.experiments.prepare import PreparedExperiment
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.render import one_line, sanitized_lines
from orchestune.domain.search.parameters import Value
from orchestune.errors import OrchestuneError

if TYPE_CHECKING:
    from orchestune import documents

_LOG_WAIT_SECONDS = 15.0
"""seconds to wait for the last lines after the end"""


def run_remotely(
    console: Console,
    prepared: PreparedExperiment,
    parameters: Mapping[str, Value],
    secrets: dict[str, str],
    seed: int | None,
) -> Outcome:
    """Run the command once with `parameters` on the selected cluster. Deletes the experiment at the end, also at
    Ctrl-C.
    """
    specification = single(image.pinned(console, prepared), parameters)
    digest = upload.upload(console, prepared)
    first_trial = None if seed is None else {"parameters": dict(parameters), "seed": seed}
    status = upload.create(console, prepared, specification, digest, secrets, first_trial)
    logs = threading.Thread(target=_show, args=(console, status["id"]), daemon=True)
    with kept_alive(console, status):
        logs.start()
        final_status = wait(console, status)
        logs.join(_LOG_WAIT_SECONDS if final_status["counts"]["running"] == 0 else 0)
        return _outcome(console, final_status)


def _show(console: Console, ref: str) -> None:
    client = console.client.clone()
    stream = console.err if console.json else console.out
    with suppress(OrchestuneError):  # the status reports the same problem
        for chunk in client.follow_logs(ref):
            stream.write(sanitized_lines(chunk["text"]) if stream.isatty() else chunk["text"])
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
    return one_line(reason["message"]) if reason else f"the experiment is {status['state']}"
