"""What a tracker receives, and what it owes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from orchestune.errors import OrchestuneError


class TrackerFailed(OrchestuneError):
    """The tracker's library is missing or has failed."""

    code = "tracker_failed"


class Value(NamedTuple):
    """A reported value of a metric; `fold 0/loss` if trials have folds."""

    name: str
    step: float
    value: float


@dataclass(frozen=True)
class TrackedTrial:
    """A trial as its run describes it."""

    experiment: str
    """id of the experiment"""
    handle: str
    number: int
    state: str
    reason: str
    """message of the reason; empty if there is none"""
    parameters: Mapping[str, bool | int | float | str]
    metrics: Mapping[str, float]
    """final values; empty until the trial has finished"""

    @property
    def name(self) -> str:
        """Name of the run: `sgd-7f3a/12`."""
        return f"{self.handle}/{self.number}"

    @property
    def is_finished(self) -> bool:
        """True if its state is final."""
        return self.state not in ("queued", "running")


class TrackerRun(Protocol):
    """The run of a trial. Used by one thread."""

    def log(self, values: Sequence[Value]) -> None:
        """Add values; each is passed once."""

    def finish(self, trial: TrackedTrial) -> None:
        """Record the final state and the final values, and close the run."""

    def abandon(self) -> None:
        """Close the run of a trial that is still running, since the export was interrupted."""


class Tracker(Protocol):
    """A tracker. Used by one thread."""

    place: str
    """where the runs are, for people"""

    def open(self, trial: TrackedTrial) -> TrackerRun | None:
        """Begin the run of a trial; None if an earlier export completed it.

        A run that an earlier export left incomplete is replaced.
        """
