"""Particle swarm (Kennedy and Eberhart, 1995; constants of Clerc and Kennedy, 2002) without generations.

Trial `number` is a step of particle `number % size`. Position, velocity and best positions follow from the observed
results, so a late or lost result only leaves its particle where it was. The update is a dozen lines of NumPy; existing
libraries want to call the objective function themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.models.cube import Floats
from orchestune.engines.samplers.population import Individual, Population, filled, order

_INERTIA, _PULL = 0.7298, 1.4962
_FASTEST = 0.5
"""maximum step, as a share of the range"""


class SwarmProposer(Population):
    """Suggests points of a Sobol sequence until there are as many results as particles. One objective."""

    name = "swarm"

    def __init__(self, space: Space, metrics: Sequence[Metric], seed: int, *, particles: int | None = None) -> None:
        super().__init__(space, metrics, seed, particles or min(30, 10 + 2 * int(len(space.parameters) ** 0.5)))
        self._last: dict[int, tuple[Individual, Individual | None]] = {}
        self._own_best: dict[int, Individual] = {}
        self._best: Individual | None = None

    def _take(self, member: Individual, place: int) -> None:
        before = self._last.get(place)
        self._last[place] = (member, before[0] if before else None)
        self._own_best[place] = _better(self._own_best.get(place), member)
        self._best = _better(self._best, member)

    def propose(self, pending: Sequence[Configuration], number: int, seed: int) -> dict[str, Value]:
        particle = number % self._size
        if self._told < self._size or particle not in self._last or self._best is None:
            self.source = self._design.source
            return self._design.propose(pending, number, seed)
        self.source = self.name
        random = np.random.default_rng(seed)
        (now, before), own = self._last[particle], self._own_best[particle]
        return self._cube.configuration(self._moved(now, before, own, self._best, random))

    def _moved(
        self, now: Individual, before: Individual | None, own: Individual, best: Individual, random: np.random.Generator
    ) -> Floats:
        position, mine, ours = (filled(self._cube, member, random) for member in (now, own, best))
        speed = position - filled(self._cube, before, random) if before is not None else np.zeros_like(position)
        to_mine, to_ours = random.random((2, len(position)))
        speed = _INERTIA * speed + _PULL * to_mine * (mine - position) + _PULL * to_ours * (ours - position)
        moved = position + np.clip(speed, -_FASTEST, _FASTEST) + 1e-3 * random.standard_normal(len(position))
        drawn, luck = self._cube.uniform(1, random)[0], random.random(len(position))
        chosen = np.select([luck < 0.4, luck < 0.65, luck < 0.9], [position, mine, ours], drawn)
        snapped: Floats = self._cube.snapped(np.where(self._cube.numeric, moved, chosen)[None, :])[0]
        return snapped


def _better(one: Individual | None, other: Individual) -> Individual:
    return other if one is None or order([one, other])[0] == 1 else one
