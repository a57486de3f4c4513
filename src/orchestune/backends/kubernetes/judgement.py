"""What the server is told of a worker."""

from __future__ import annotations

from dataclasses import dataclass

from orchestune.ports.backend import Gone, Phase


@dataclass(frozen=True)
class Judgement:
    """Where it is, and why."""

    phase: Phase
    words: str = ""
    gone: Gone = Gone.UNKNOWN
    waits_for: str = ""
    """while it is pending: a word that stays the same as long as it waits for the same thing"""


def refused(words: str) -> Judgement:
    """It can never start as it was ordered."""
    return Judgement(Phase.GONE, words, Gone.REFUSED)


def waiting(words: str, waits_for: str = "") -> Judgement:
    """It may start yet."""
    return Judgement(Phase.PENDING, words, waits_for=waits_for)
