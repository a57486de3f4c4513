"""How much memory trials were seen to take, and how much is set aside for the next one because of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from orchestune.domain.resources import Resources

ENOUGH = 5
"""measured attempts before they say anything of the next one"""
_MARGIN, _SPARE, _STEP = 1.25, 16 * 2**20, 2**20


@dataclass(frozen=True)
class Peaks:
    """What the attempts of an experiment took at most."""

    count: int = 0
    highest: int = 0
    """bytes"""
    surprises: int = 0
    """attempts that took more than those before them let expect, or were killed for memory"""

    @property
    def expected(self) -> int | None:
        """Bytes that the next one will not need more of, with a margin; None where too few were measured."""
        if self.count < ENOUGH:
            return None
        return -(-int(self.highest * _MARGIN + _SPARE) // _STEP) * _STEP

    def with_one_more(self, memory: int, killed: bool = False) -> Peaks:
        """An attempt has ended that took so many bytes; `killed`: because there were no more."""
        expected = self.expected
        surprise = killed or (expected is not None and memory > expected)
        return Peaks(self.count + 1, max(self.highest, memory), self.surprises + surprise)


def set_aside(asked: Resources, peaks: Peaks, most: int) -> Resources:
    """What a trial is given room for, where nothing keeps it within what it asked for. `most`: all there is.

    What was measured decides, in either direction. Once a trial was a surprise, what was asked for is the least again,
    and where nothing was asked, twice what is expected.
    """
    expected = peaks.expected
    if expected is None:
        return asked
    if peaks.surprises:
        expected = expected * 2 if asked.memory is None else max(asked.memory, expected)
    return replace(asked, memory=min(expected, max(most, asked.memory or 0)))
