"""Sobol and Halton sequences: points that fill the space more evenly than random ones."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np
from scipy.stats import qmc

from orchestune.domain.parameters import Value
from orchestune.domain.space import Configuration, Space
from orchestune.domain.trial import Observation

_SEQUENCES = {"sobol": qmc.Sobol, "halton": qmc.Halton}

_MOST_PASSED = 100
"""points for each number that are looked at for one that is allowed"""


class QuasiRandomProposer:
    """Point `number - 1` of a sequence that is scrambled with the experiment's seed (Owen, 1995; 2017 for Halton).

    One dimension per parameter, also for those that its conditions leave out, so that a point depends on its number
    alone. Points that the constraints of the space do not allow are passed over. A second proposal for the same number
    would be the same point: the caller draws another one instead.
    """

    uses_history = False
    tries = 1

    def __init__(self, name: str, space: Space, seed: int) -> None:
        self.name = self.source = name
        self.version = f"2/scipy-{version('scipy')}"
        self._space = space
        self._allowed: list[dict[str, Value]] = []
        self._passed = 0
        dimensions = max(1, len(space.parameters))
        self._sequence = _SEQUENCES[name](dimensions, scramble=True, rng=np.random.default_rng(seed))

    def tell(self, observations: Sequence[Observation]) -> None:
        """Nothing is learnt."""

    def propose(self, pending: Sequence[Configuration], number: int, seed: int) -> dict[str, Value]:
        if not self._space.constraints:
            return self._point(number)
        while len(self._allowed) < number and self._passed < number * _MOST_PASSED:
            self._passed += 1
            found = self._point(self._passed)
            self._allowed += [found] if self._space.allows(found) else []
        return self._allowed[max(number, 1) - 1] if number <= len(self._allowed) else self._point(number)

    def _point(self, number: int) -> dict[str, Value]:
        ahead = max(number - 1, 0) - self._sequence.num_generated
        if ahead < 0:
            self._sequence.reset()
            ahead = max(number - 1, 0)
        if ahead:
            self._sequence.fast_forward(ahead)
        point = self._sequence.random(1)[0].tolist()
        values = {p.name: p.drawn(position) for p, position in zip(self._space.parameters, point, strict=False)}
        return self._space.active(values)
