"""The interface of a pruner, which decides that a running trial is not worth finishing."""

from __future__ import annotations

from typing import Protocol

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.specification.curves import PrunerObservation


class Pruner(Protocol):
    """Compares the trials of one experiment (of one fold, if trials have several) by their learning curves.

    Pure arithmetic: no I/O, no clock, no randomness, microseconds per call, since a worker waits for the response. The
    caller holds a lock. A decision is a function of the observations and ends so far, independent of their order: a
    pruner that is rebuilt from the rows decides the same. A trial that was the best at each of its decision steps is
    never pruned.
    """

    name: str

    def decision_step(self, trial: int, step: float) -> float | None:
        """Return the last step up to `step` at which this trial is compared, None before the first. Deterministic."""

    def tell(self, observation: PrunerObservation) -> None:
        """Add the observation of a trial at a decision step; it replaces an earlier one of the same trial and step."""

    def finish(self, trial: int, state: TrialState) -> None:
        """Record that a trial has ended. Idempotent; called after the last `tell` of the trial."""

    def judge(self, observation: PrunerObservation) -> str | None:
        """Return the reason to prune the trial, as text for users; None to continue.

        Changes nothing; `observation` was passed to `tell` before. Observations of the same trial at later steps are
        ignored: they came in the same report, or from an earlier attempt.
        """
