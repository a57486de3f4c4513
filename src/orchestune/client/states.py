"""What the state of an experiment means for somebody who waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestune import documents


OVER = frozenset({"completed", "failed", "stopped"})


def over(status: documents.Status) -> bool:
    """Nothing more happens by itself: it ended, or a guard paused it."""
    return status["state"] in OVER or guarded(status)


def deleted(status: documents.Status) -> bool:
    """Whether somebody has deleted it; the server tells that, and what can still be done, in its notes alone."""
    return any(note.startswith("deleted: ") for note in status.get("notes") or ())


def extendable(status: documents.Status) -> bool:
    """Whether it has ended and a larger budget makes it go on; another reason for its end would end it at once."""
    reason = status["reason"]
    return status["state"] in OVER and (reason is None or reason["code"] in ("budget", "stopped"))


def handing_in(status: documents.Status) -> bool:
    """Whether files of its trials are on their way, for which the end of its workers waits."""
    return any(worker.get("sending") for worker in status.get("workers") or ())


def owner_of(record: documents.Status | documents.ClusterExperiment) -> str:
    """The owner's name, with a mark if nothing proves it. Older servers prove nothing, and say nothing of it."""
    name = record["owner"]
    return name if record.get("owner_authenticated", True) else f"{name} (unverified)"


def finished(status: documents.Status) -> int:
    """The trials that count for the budget."""
    counts = status["counts"]
    return counts["completed"] + counts["failed"] + counts["pruned"]


def guarded(status: documents.Status) -> bool:
    """Whether the server paused it for a reason of its own; a person has to look at it."""
    reason = status["reason"]
    return status["state"] == "paused" and reason is not None and reason["code"] != "paused_by_user"
