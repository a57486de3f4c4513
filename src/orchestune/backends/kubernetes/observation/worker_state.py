"""The observed state of a worker, as reported to the server."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from orchestune.ports.backend import Phase, WorkerLoss


class NonRoot(Enum):
    """The scope of a rejection of pods that may run as root."""

    UNKNOWN = auto()
    POD = auto()
    """this pod must not: the message may contain text of its experiment, so it counts for that one only"""
    NAMESPACE = auto()
    """no pod of the namespace may: it enforces the Pod Security Standard `restricted`"""


@dataclass(frozen=True)
class ObservedState:
    """The phase of a worker, and the reason."""

    phase: Phase
    words: str = ""
    loss: WorkerLoss = WorkerLoss.UNKNOWN
    waits_for: str = ""
    """while pending: a key that is stable as long as the reason is the same"""
    non_root: NonRoot = NonRoot.UNKNOWN


def refused(words: str, non_root: NonRoot = NonRoot.UNKNOWN) -> ObservedState:
    """Return the judgement for a worker that can never start as ordered."""
    return ObservedState(Phase.GONE, words, WorkerLoss.REFUSED, non_root=non_root)


def waiting(words: str, waits_for: str = "") -> ObservedState:
    """Return the judgement for a worker that may still start."""
    return ObservedState(Phase.PENDING, words, waits_for=waits_for)
