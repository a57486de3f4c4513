"""Rules for the start of the model of an engine. Imports no library."""

from __future__ import annotations

STARTUP = 8
"""default number of trials before the model is used"""


def least(startup: int) -> int:
    """Return the minimum number of results for a model."""
    return max(1, -(-startup // 2))


def needed(startup: int, pending: int) -> int:
    """Return the number of results with which the model starts, given the number of pending trials.

    With one worker these are `startup` results. Many workers have as many trials pending before the first result, so
    half of the results suffice: waiting for the others would spend trials on points chosen without a model.
    """
    return max(least(startup), startup - pending)


def begins(results: int, failed: int, startup: int, pending: int) -> bool:
    """Return True if a model that also learns from failures can start: if most fail, few results cost much budget."""
    return results >= needed(startup, pending) or (results > 0 and results + failed >= startup)
