"""What a trial's attempts say of it: which of them to look at, and how long they ran."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from orchestune.client import clock
from orchestune.domain.spans import together

if TYPE_CHECKING:
    from orchestune import documents


def decisive(trial: documents.Trial) -> documents.Attempt | None:
    """The last that failed, which decided over its trial: folds beside it were ended with it. Else the last one."""
    failed = [each for each in trial["attempts"] if each["state"] == "failed"]
    return next(reversed(failed or trial["attempts"]), None)


def seconds(trial: documents.Trial) -> float | None:
    """For how long attempts of it ran, those side by side counted once, without what is between them (a pause, the wait
    for another try). None of what is queued, or was never begun.
    """
    spans = [_span(each) for each in trial["attempts"] if each["started_at"]]
    return together(spans) if spans and trial["state"] != "queued" else None


def _span(attempt: documents.Attempt) -> tuple[float, float]:
    """Since when it ran, and for how long: by its worker, before when a server that was away heard of its end."""
    start = datetime.fromisoformat(attempt["started_at"] or "").timestamp()
    if attempt["wall_seconds"] is not None:
        return start, attempt["wall_seconds"]
    end = attempt["finished_at"]
    return start, max(0.0, (datetime.fromisoformat(end).timestamp() if end else clock.now()) - start)
