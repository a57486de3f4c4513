"""Rules for the start of the model of an engine. Imports no library."""

from __future__ import annotations

STARTUP = 8
"""default number of trials before the model is used"""


def min_results(startup: int) -> int:
    """Return the minimum number of results for a model."""
    return max(1, -(-startup // 2))


def required_results(startup: int, pending: int) -> int:
    """Return the number of results with which the model starts, given the number of pending trials.

    With one worker these are `startup` results. Many workers have as many trials pending before the first result, so
    half of the results suffice: waiting for the others would spend trials on points chosen without a model.
    """
    return max(min_results(startup), startup - pending)


def can_start(results: int, failed: int, startup: int, pending: int) -> bool:
    """Return True if a model that also learns from failures can start: if most fail, few results cost much budget."""
    return results >= required_results(startup, pending) or (results > 0 and results + failed >= startup)
