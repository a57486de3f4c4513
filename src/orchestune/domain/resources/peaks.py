"""Measured peak memory of trials, and the memory reserved for the next one from it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from orchestune.domain.resources.resources import Resources

MIN_ATTEMPTS = 5
"""measured attempts before memory is predicted from them"""
_MARGIN_FACTOR, _MARGIN_BYTES, _GRANULARITY_BYTES = (
    1.25,
    16 * 2**20,
    2**20,
)  # factor, and bytes added to the peak; rounded up to whole MiB


@dataclass(frozen=True)
class MemoryPeaks:
    """Peak memory of an experiment's attempts."""

    count: int = 0
    highest: int = 0
    """bytes"""
    surprises: int = 0
    """attempts that took more than was expected from the earlier ones, or were OOM killed"""

    @property
    def expected(self) -> int | None:
        """Expected upper bound of the next attempt's memory in bytes, with a margin; None if too few were measured."""
        if self.count < MIN_ATTEMPTS:
            return None
        return -(-int(self.highest * _MARGIN_FACTOR + _MARGIN_BYTES) // _GRANULARITY_BYTES) * _GRANULARITY_BYTES

    def with_one_more(self, memory: int, killed: bool = False) -> MemoryPeaks:
        """Return the peaks including an attempt that took `memory` bytes; `killed`: it was OOM killed."""
        expected = self.expected
        surprise = killed or (expected is not None and memory > expected)
        return MemoryPeaks(self.count + 1, max(self.highest, memory), self.surprises + surprise)


def set_aside(requested: Resources, peaks: MemoryPeaks, max_memory: int) -> Resources:
    """Return the resources to reserve for a trial if the backend does not enforce memory limits.

    The measured peaks replace the requested memory, up or down. After a surprise the request is the lower bound again,
    and without a request twice the expected memory is reserved. Upper bound: `max_memory`, that of the largest machine.
    """
    expected = peaks.expected
    if expected is None:
        return requested
    if peaks.surprises:
        expected = expected * 2 if requested.memory is None else max(requested.memory, expected)
    return replace(requested, memory=min(expected, max(max_memory, requested.memory or 0)))
