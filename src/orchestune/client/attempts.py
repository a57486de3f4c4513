"""Which of a trial's attempts to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestune import documents


def decisive(trial: documents.Trial) -> documents.Attempt | None:
    """The last that failed, which decided over its trial: folds beside it were ended with it. Else the last one."""
    failed = [each for each in trial["attempts"] if each["state"] == "failed"]
    return next(reversed(failed or trial["attempts"]), None)
