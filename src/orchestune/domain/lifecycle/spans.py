"""Time intervals that may overlap."""

from __future__ import annotations

from collections.abc import Iterable


def together(spans: Iterable[tuple[float, float]]) -> float:
    """Return the seconds covered by at least one span; each is (start, duration)."""
    seconds, covered_until = 0.0, float("-inf")
    for start, length in sorted(spans):
        seconds += max(0.0, length - max(0.0, covered_until - start))
        covered_until = max(covered_until, start + length)
    return seconds
