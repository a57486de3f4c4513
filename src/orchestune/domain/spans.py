"""Stretches of time, of which some lie side by side."""

from __future__ import annotations

from collections.abc import Iterable


def together(spans: Iterable[tuple[float, float]]) -> float:
    """Seconds in which at least one of them lasted; each is when it began, and how long it was."""
    seconds, until = 0.0, float("-inf")
    for start, length in sorted(spans):
        seconds += max(0.0, length - max(0.0, until - start))
        until = max(until, start + length)
    return seconds
