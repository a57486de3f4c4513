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
