"""Particle swarm (Kennedy and Eberhart, 1995; constants of Clerc and Kennedy, 2002) without generations.

Trial `number` is a step of particle `number % size`. Where a particle is, how fast it moves and what the best places
are follows from the results told, so a late or lost one only leaves its particle where it was. The moves are a dozen
lines on NumPy; the libraries that there are want to call the function themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from orchestune.domain.metrics import Metric
from orchestune.domain.space import Configuration, Space, Value
from orchestune.domain.trial import Observation
from orchestune.engines.cube import Cube, Floats
from orchestune.engines.evidence import entry
from orchestune.engines.members import Member, filled, order
from orchestune.engines.quasi import QuasiRandomProposer
from orchestune.engines.versions import version_of

_INERTIA, _PULL = 0.7298, 1.4962
_FASTEST = 0.5
"""of the range in one step"""


class SwarmProposer:
    """Until as many results are there as there are particles, points of a Sobol sequence. One metric, the first."""

    name = "swarm"
    uses_history = True
    tries = 8

    def __init__(self, space: Space, metrics: Sequence[Metric], seed: int, *, particles: int | None = None) -> None:
        self.version = version_of(self.name)
        self._metrics = tuple(metric for index, metric in enumerate(metrics) if index == 0 or metric.limit is not None)
        self._cube = Cube(space)
        self._size = particles or min(30, 10 + 2 * int(len(space.parameters) ** 0.5))
        self._design = QuasiRandomProposer("sobol", space, seed)
        self._last: dict[int, tuple[Member, Member | None]] = {}
        self._own_best: dict[int, Member] = {}
        self._best: Member | None = None
        self._told = 0
        self.source = self._design.source

    def tell(self, observations: Sequence[Observation]) -> None:
        for observation in observations:
            found = entry(self._cube, self._metrics, observation)
            if found is None:
                continue
            member = Member(observation.number, found)
            self._told += found.losses is not None
            particle = (observation.number or self._told) % self._size
            before = self._last.get(particle)
            self._last[particle] = (member, before[0] if before else None)
            self._own_best[particle] = _better(self._own_best.get(particle), member)
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
        self, now: Member, before: Member | None, own: Member, best: Member, random: np.random.Generator
    ) -> Floats:
        here, mine, ours = (filled(self._cube, member, random) for member in (now, own, best))
        speed = here - filled(self._cube, before, random) if before is not None else np.zeros_like(here)
        to_mine, to_ours = random.random((2, len(here)))
        speed = _INERTIA * speed + _PULL * to_mine * (mine - here) + _PULL * to_ours * (ours - here)
        moved = here + np.clip(speed, -_FASTEST, _FASTEST) + 1e-3 * random.standard_normal(len(here))
        drawn, luck = self._cube.uniform(1, random)[0], random.random(len(here))
        chosen = np.select([luck < 0.4, luck < 0.65, luck < 0.9], [here, mine, ours], drawn)
        found: Floats = self._cube.snapped(np.where(self._cube.numeric, moved, chosen)[None, :])[0]
        return found


def _better(one: Member | None, other: Member) -> Member:
    return other if one is None or order([one, other])[0] == 1 else one
