"""Interpretation of an experiment's state for clients that wait for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestune import documents


FINAL_STATES = frozenset({"completed", "failed", "stopped"})


def over(status: documents.Status) -> bool:
    """Return True if it has ended, or a guard has paused it: nothing more happens without the user."""
    return status["state"] in FINAL_STATES or guarded(status)


def deleted(status: documents.Status) -> bool:
    """Return True if it was deleted; the server reports that, and possible actions, only in its notes."""
    return any(note.startswith("deleted: ") for note in status.get("notes") or ())


def extendable(status: documents.Status) -> bool:
    """Return True if it has ended and a larger budget continues it; otherwise it would end again at once."""
    reason = status["reason"]
    return status["state"] in FINAL_STATES and (reason is None or reason["code"] in ("budget", "stopped"))


def is_uploading(status: documents.Status) -> bool:
    """Return True if files of its trials are being uploaded; its workers end after that."""
    return any(worker.get("sending") for worker in status.get("workers") or ())


def owner_of(record: documents.Status | documents.ClusterExperiment) -> str:
    """Return the owner's name, with a mark if it is unverified. Older servers verify nothing, and do not say so."""
    name = record["owner"]
    return name if record.get("owner_authenticated", True) else f"{name} (unverified)"


def finished(status: documents.Status) -> int:
    """Return the number of trials that count towards the budget."""
    counts = status["counts"]
    return counts["completed"] + counts["failed"] + counts["pruned"]


def guarded(status: documents.Status) -> bool:
    """Return True if the server paused it for a reason of its own, which the user has to resolve."""
    reason = status["reason"]
    return status["state"] == "paused" and reason is not None and reason["code"] != "paused_by_user"
