"""What the server is told of a worker."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from orchestune.ports.backend import Gone, Phase


class NonRoot(Enum):
    """What a refusal says about pods that may run as root."""

    UNKNOWN = auto()
    POD = auto()
    """this pod must not: its words may hold text of its experiment, so that they count for that alone"""
    NAMESPACE = auto()
    """no pod of the namespace may: it enforces the Pod Security Standard `restricted`"""


@dataclass(frozen=True)
class Judgement:
    """Where it is, and why."""

    phase: Phase
    words: str = ""
    gone: Gone = Gone.UNKNOWN
    waits_for: str = ""
    """while it is pending: a word that stays the same as long as it waits for the same thing"""
    non_root: NonRoot = NonRoot.UNKNOWN


def refused(words: str, non_root: NonRoot = NonRoot.UNKNOWN) -> Judgement:
    """It can never start as it was ordered."""
    return Judgement(Phase.GONE, words, Gone.REFUSED, non_root=non_root)


def waiting(words: str, waits_for: str = "") -> Judgement:
    """It may start yet."""
    return Judgement(Phase.PENDING, words, waits_for=waits_for)
