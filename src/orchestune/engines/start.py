"""When an engine begins to learn. Loads no library."""

from __future__ import annotations

STARTUP = 8
"""trials before a model is asked, where the options do not say"""


def least(startup: int) -> int:
    """Results that a model needs at least."""
    return max(1, -(-startup // 2))


def needed(startup: int, pending: int) -> int:
    """Results with which a model begins while so many trials are on their way.

    One worker brings `startup` results first. Many workers have as many trials on their way before the first result, so
    half of the results will do: what waits for the others is spent on points that nothing was learnt for.
    """
    return max(least(startup), startup - pending)


def begins(results: int, failed: int, startup: int, pending: int) -> bool:
    """Whether a model does that learns from trials that failed, too: where most fail, few results take a budget."""
    return results >= needed(startup, pending) or (results > 0 and results + failed >= startup)
