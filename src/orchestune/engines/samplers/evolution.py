"""Differential evolution, and NSGA-II with several metrics; asynchronous: each result updates the population at once.

One metric (Storn and Price, 1997; current-to-pbest of JADE, Zhang and Sanderson, 2009): trial `number` belongs to slot
`number % size` and replaces the slot's member if it is better. Several metrics (Deb et al., 2002): parents are the
winners of tournaments among the best of all. Numbers move along differences of two others, choices are inherited.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.specification.metrics import Metric, objectives
from orchestune.engines.models.cube import Floats
from orchestune.engines.samplers.population import Individual, Population, filled, order

_MAX_MEMBERS = 400
"""members kept with several metrics"""


class EvolutionProposer(Population):
    """Suggests points of a Sobol sequence until there are as many results as the population has slots."""

    name = "evolution"

    def __init__(self, space: Space, metrics: Sequence[Metric], seed: int, *, population: int | None = None) -> None:
        super().__init__(space, metrics, seed, population or min(40, max(12, 3 * len(space.parameters))))
        self._several = len(objectives(metrics)) > 1
        self._places: dict[int, Individual] = {}
        self._everyone: list[Individual] = []

    def _take(self, member: Individual, place: int) -> None:
        if self._several:
            self._everyone.append(member)
            if len(self._everyone) > 2 * _MAX_MEMBERS:
                self._everyone = [self._everyone[index] for index in order(self._everyone)[:_MAX_MEMBERS]]
            return
        holder = self._places.get(place)
        if holder is None or order([holder, member])[0] == 1:
            self._places[place] = member

    def propose(self, pending: Sequence[Configuration], number: int, seed: int) -> dict[str, Value]:
        members = self._population()
        if self._told < self._size or len(members) < 4:
            self.source = self._design.source
            return self._design.propose(pending, number, seed)
        self.source = "nsga2" if self._several else "de"
        random = np.random.default_rng(seed)
        target = None if self._several else self._places.get(number % self._size)
        return self._cube.configuration(self._child(members, target, random))

    def _population(self) -> list[Individual]:
        """Return the members, best first."""
        members = self._everyone if self._several else [self._places[place] for place in sorted(self._places)]
        return [members[index] for index in order(members)[: self._size]]

    def _child(self, members: Sequence[Individual], target: Individual | None, random: np.random.Generator) -> Floats:
        """Return a child; `members` are sorted, best first."""

        def winner() -> int:
            return int(random.integers(len(members), size=2).min())

        elite = max(2, len(members) // 5)
        base = filled(self._cube, target or members[winner()], random)
        guide = filled(self._cube, members[winner() if self._several else int(random.integers(elite))], random)
        one, other = (filled(self._cube, members[index], random) for index in random.permutation(len(members))[:2])
        scale, crossover = random.uniform(0.4, 0.9), random.choice([0.3, 0.9])
        crossed = random.random(len(base)) < crossover
        crossed[random.integers(len(base))] = True
        moved = base + scale * (guide - base) + scale * (one - other)
        inherited = np.where(random.random(len(base)) < 0.5, guide, one)
        drawn = self._cube.uniform(1, random)[0]
        inherited = np.where(random.random(len(base)) < 1 / len(base), drawn, inherited)
        child = np.where(crossed, np.where(self._cube.numeric, _reflected(moved), inherited), base)
        snapped: Floats = self._cube.snapped(child[None, :])[0]
        return snapped


def _reflected(points: Floats) -> Floats:
    """Return the points with coordinates outside [0, 1] mirrored at the bound."""
    folded = np.abs(points) % 2
    return np.where(folded > 1, 2 - folded, folded)
