"""What decides that a running trial is not worth finishing."""

from __future__ import annotations

from typing import Protocol

from orchestune.domain.curves import Mark
from orchestune.domain.states import TrialState


class Pruner(Protocol):
    """Compares the trials of one experiment (of one fold, where trials have several) by their learning curves.

    Arithmetic alone: no input or output, no clock, no chance, microseconds per call, since it runs while a worker
    waits for its answer. Its owner holds a lock. What it answers depends on the marks and ends that it was told and on
    nothing else, not even on their order: one that is built again from the rows answers the same. A trial that was the
    best one at each of its looks goes on.
    """

    name: str

    def look(self, trial: int, step: float) -> float | None:
        """The last step not after `step` at which this trial is looked at; None before the first one. Never moves."""

    def tell(self, mark: Mark) -> None:
        """A trial came to a look. Another mark of the same trial and step takes the place of the first."""

    def finish(self, trial: int, state: TrialState) -> None:
        """A trial is over. Idempotent; its marks were told before."""

    def judge(self, mark: Mark) -> str | None:
        """Why the trial should end at a mark that was told, in words for people; None: it goes on. Changes nothing.

        Marks of the trial at later steps count for nothing: they came in the same report, or from an attempt before.
        """
