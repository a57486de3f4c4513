"""`test` in a cluster or a container: an experiment of one trial, its output on the screen, removed at the end.

The server removes it too, a minute after this program was killed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from orchestune.cli import imaging, sending
from orchestune.cli.console import Console
from orchestune.cli.interrupts import Interrupts
from orchestune.cli.outcome import Outcome
from orchestune.cli.preparing import Prepared
from orchestune.cli.render import harmless, one_line
from orchestune.client.documents import Status, TrialDocument
from orchestune.client.states import over
from orchestune.domain.experiment import TEST_LABEL, StopRules
from orchestune.domain.space import Value
from orchestune.errors import Denied, OrchestuneError, TemporaryError

_LOOK = 0.5
"""seconds between two looks at the experiment"""
_BEAT = 10.0
"""seconds after which the server hears that somebody still waits; it removes what nobody waits for"""
_REST = 15.0
"""seconds in which the last lines arrive after its end"""


def try_there(
    console: Console, prepared: Prepared, parameters: Mapping[str, Value], secrets: dict[str, str]
) -> Outcome:
    """Run the command once with `parameters` where `--cluster` says. Nothing is left there, Ctrl-C or not."""
    pinned = imaging.pinned(console, prepared)
    labels = {**pinned.labels, TEST_LABEL: "0"}
    specification = replace(pinned, budget=1, parallelism=1, stop=StopRules(), try_first=(parameters,), labels=labels)
    digest = sending.upload(console, prepared)
    status = sending.create(console, prepared, specification, digest, secrets)
    logs = threading.Thread(target=_show, args=(console, status["id"]), daemon=True)
    logs.start()
    try:
        last = _wait(console, status)
        logs.join(_REST if last["counts"]["running"] == 0 else 0)
        return _outcome(console, last)
    finally:
        _remove(console, status["id"])


def _remove(console: Console, ref: str) -> None:
    """For good where this user may; else it is hidden, and an owner may do the rest."""
    try:
        console.client.delete(ref, purge=True)
    except Denied:
        console.client.delete(ref)


def _show(console: Console, ref: str) -> None:
    client = console.client.clone()
    stream = console.err if console.json else console.out
    with suppress(OrchestuneError):  # what the status says of the same trouble is what counts
        for chunk in client.follow_logs(ref):
            stream.write(harmless(chunk["text"]) if stream.isatty() else chunk["text"])
            stream.flush()
    client.close()


def _wait(console: Console, status: Status) -> Status:
    """Until it is over; why nothing moves is said meanwhile. KeyboardInterrupt at Ctrl-C."""
    said, beats, heard = "", 0, time.monotonic()
    with Interrupts() as pressed:
        while not over(status):
            if time.monotonic() - heard >= _BEAT:
                beats, heard = beats + 1, time.monotonic()
                with suppress(OrchestuneError):
                    console.client.change(status["id"], labels={**status["labels"], TEST_LABEL: str(beats)})
            reason = one_line(status["reason"]["message"]) if status["reason"] else ""
            if reason and reason != said:
                console.note(f"waiting: {reason}")
            said = reason
            if pressed.count:
                raise KeyboardInterrupt
            time.sleep(_LOOK)
            with suppress(TemporaryError):
                status = console.client.experiment(status["id"])
    return status


def _outcome(console: Console, status: Status) -> Outcome:
    trial = next(iter(console.client.trials(status["id"])), None)
    attempt = trial["attempts"][-1] if trial and trial["attempts"] else None
    outcome = Outcome(
        _problem(status, trial),
        attempt["exit_code"] if attempt else None,
        (attempt["wall_seconds"] or 0.0) if attempt else 0.0,
    )
    if trial:
        outcome.metrics = {
            name: {"value": measured["value"], "stddev": measured["stddev"]}
            for name, measured in trial["metrics"].items()
        }
    return outcome


def _problem(status: Status, trial: TrialDocument | None) -> str:
    if trial is not None and trial["state"] == "completed":
        return ""
    reason = (trial["reason"] if trial else None) or status["reason"]
    return one_line(reason["message"]) if reason else f"it is {status['state']}"
