"""What the state of an experiment means for somebody who waits for it."""

from __future__ import annotations

from orchestune.client.documents import Status

OVER = frozenset({"completed", "failed", "stopped"})


def over(status: Status) -> bool:
    """Nothing more happens by itself: it ended, or a guard paused it."""
    return status["state"] in OVER or guarded(status)


def guarded(status: Status) -> bool:
    """Whether the server paused it for a reason of its own; a person has to look at it."""
    reason = status["reason"]
    return status["state"] == "paused" and reason is not None and reason["code"] != "paused_by_user"
