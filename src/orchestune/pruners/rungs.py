"""Asynchronous successive halving (ASHA), and Hyperband on top of it.

ASHA: Li, Jamieson, Rostamizadeh, Gonina, Hardt, Recht, Talwalkar (2020), *A System for Massively Parallel
Hyperparameter Tuning*, MLSys. The paper pauses a trial at a rung and may promote it later. Here a trial keeps its slot,
so the stopping variant is used, as in Ray Tune and Syne Tune: a trial that reaches a rung continues if it is among the
best 1/reduction of the trials that reached it so far, otherwise it is pruned. While fewer than `reduction` trials have
reached the rung, all continue. Rungs may lie further apart than the papers have them: with rungs at 1, 2, 4 and 8 of 10
steps, and half of the trials continuing at each, 20 of 24 trials were pruned, and one search in four missed its best.

Hyperband: Li, Jamieson, DeSalvo, Rostamizadeh, Talwalkar (2018), *Hyperband*, JMLR 18(185). Several brackets with
later first rungs give slow starters a chance. A trial's bracket follows from its number, in proportions that give each
bracket about the same number of steps.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left, insort

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.specification.curves import PrunerObservation, formatted
from orchestune.domain.specification.metrics import Metric

BRACKETS = 3


class RungPruner:
    """Rungs at `min_steps`, `min_steps * spacing`, …; each of several `brackets` has its own rungs.

    The best 1/reduction of the trials continue at each rung. `spacing`: the reduction, if not given.
    """

    def __init__(
        self,
        name: str,
        metric: Metric,
        *,
        min_steps: float,
        reduction: float,
        spacing: float | None = None,
        brackets: int = 1,
    ) -> None:
        self.name = name
        self._metric, self._first, self._reduction = metric, min_steps, reduction
        self._spacing = spacing or reduction
        shares = [math.ceil(brackets * reduction**s / (s + 1)) for s in reversed(range(brackets))]
        self._edges = [sum(shares[: index + 1]) / sum(shares) for index in range(brackets)]
        self._rungs: dict[tuple[int, float], _Rung] = {}

    def decision_step(self, trial: int, step: float) -> float | None:
        spacing = self._spacing
        first = self._first * spacing ** self._bracket(trial)
        if step < first:
            return None
        rung = math.floor(math.log(step / first, spacing))
        while first * spacing ** (rung + 1) <= step:  # the logarithm may be off by a rounding error
            rung += 1
        while first * spacing**rung > step:
            rung -= 1
        return float(first * spacing**rung)

    def tell(self, observation: PrunerObservation) -> None:
        key = self._bracket(observation.trial), observation.step
        self._rungs.setdefault(key, _Rung()).put(observation.trial, self._standing(observation))

    def finish(self, trial: int, state: TrialState) -> None:
        """Do nothing: the trial's losses stay in the rungs."""

    def judge(self, observation: PrunerObservation) -> str | None:
        losses = self._rungs[self._bracket(observation.trial), observation.step].losses
        if len(losses) < self._reduction:
            return None
        worst = losses[max(int(len(losses) / self._reduction), 1) - 1]
        if self._standing(observation) <= worst:
            return None
        own_value, limit = formatted(self._metric, self._standing(observation)), formatted(self._metric, worst)
        return (
            f"{self._metric.name} {own_value} at step {observation.step:g} is not among the best"
            f" 1/{self._reduction:g} of {len(losses)} trials there, which have {limit} or better"
        )

    def _standing(self, observation: PrunerObservation) -> float:
        return observation.best if self._metric.take == "best" else observation.loss

    def _bracket(self, trial: int) -> int:
        if len(self._edges) == 1:
            return 0
        position = int.from_bytes(hashlib.blake2b(str(trial).encode(), digest_size=4).digest(), "big") / 2**32
        return next(index for index, edge in enumerate(self._edges) if position < edge)


class _Rung:
    """The sorted losses of the trials that reached a rung."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self._of: dict[int, float] = {}

    def put(self, trial: int, loss: float) -> None:
        if trial in self._of:
            del self.losses[bisect_left(self.losses, self._of[trial])]
        self._of[trial] = loss
        insort(self.losses, loss)
