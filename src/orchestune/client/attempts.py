"""Decisive attempt and run time of a trial."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from orchestune.client.connection import clock
from orchestune.domain.lifecycle.spans import together

if TYPE_CHECKING:
    from orchestune import documents


def decisive(trial: documents.Trial) -> documents.Attempt | None:
    """Return the last failed attempt, which decided the trial's state: its parallel folds were terminated with it.

    Otherwise return the last attempt.
    """
    failed = [each for each in trial["attempts"] if each["state"] == "failed"]
    return next(reversed(failed or trial["attempts"]), None)


def seconds(trial: documents.Trial) -> float | None:
    """Return the seconds in which at least one attempt ran; None for a trial that is queued or has never started.

    Parallel attempts count once; gaps (a pause, the delay before a retry) do not count.
    """
    spans = [_span(each) for each in trial["attempts"] if each["started_at"]]
    return together(spans) if spans and trial["state"] != "queued" else None


def _span(attempt: documents.Attempt) -> tuple[float, float]:
    """Return start and duration, as the worker measured it: a server that was down notices the end late."""
    start = datetime.fromisoformat(attempt["started_at"] or "").timestamp()
    if attempt["wall_seconds"] is not None:
        return start, attempt["wall_seconds"]
    end = attempt["finished_at"]
    return start, max(0.0, (datetime.fromisoformat(end).timestamp() if end else clock.now()) - start)
