"""CMA-ES with margin (Hamano et al., 2022) by the package `cmaes`, updated with results in the order of arrival.

A generation consists of as many results as the population has members, whatever suggested them: with many workers some
stem from the previous distribution. Integers with few levels, and choices (treated as ordered), keep a margin of
probability on each side, so that they do not get stuck. After convergence it restarts elsewhere with twice the members.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from cmaes import CMAwM

from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.search.trial import Observation
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.models.cube import Cube, Floats
from orchestune.engines.models.training_data import training_point
from orchestune.engines.samplers.population import Individual, filled, order
from orchestune.engines.samplers.quasi import start_design
from orchestune.engines.samplers.start import STARTUP
from orchestune.engines.versions import version_of

_MAX_LEVELS = 64  # with more the parameter is treated as continuous
_WIDTH = 0.25
_MAX_POPULATION = 256


class CmaProposer:
    """Suggests points of a Sobol sequence until there are `startup` results, and starts at the best. One objective."""

    name = "cma"
    uses_history = True
    tries = 8

    def __init__(
        self,
        space: Space,
        metrics: Sequence[Metric],
        seed: int,
        *,
        startup: int = STARTUP,
        population: int | None = None,
    ) -> None:
        self.version = version_of(self.name)
        self._metrics = tuple(metrics)
        self._cube = Cube(space)
        self._startup, self._seed, self._begun = startup, seed, 0
        self._design = start_design(space, seed)
        self._free = [index for index, parameter in enumerate(space.parameters) if parameter.count() > 1]
        self._levels = np.array([_levels(space, index) for index in self._free] + [0.0] * max(0, 2 - len(self._free)))
        self._population = population or 4 + int(3 * math.log(max(2, len(self._levels))))
        self._batch: list[Individual] = []
        self._strategy: CMAwM | None = None
        self.source = self._design.source

    def tell(self, observations: Sequence[Observation]) -> None:
        self._design.tell(observations)
        for observation in observations:
            point = training_point(self._cube, self._metrics, observation)
            if point is None or not self._free:
                continue
            self._batch.append(Individual(observation.number, point))
            if self._strategy is None:
                if sum(member.entry.losses is not None for member in self._batch) >= self._startup:
                    self._begin(self._batch[order(self._batch)[0]])
            elif len(self._batch) >= self._strategy.population_size:
                self._generation(self._strategy)

    def propose(self, pending: Sequence[Configuration], number: int, seed: int) -> dict[str, Value]:
        if self._strategy is None:
            self.source = self._design.source
            return self._design.propose(pending, number, seed)
        self.source = self.name
        self._strategy.reseed_rng(seed)
        with np.errstate(all="ignore"):
            position, _ = self._strategy.ask()
        return self._cube.configuration(self._outward(position, np.random.default_rng(seed)))

    def _begin(self, start: Individual | None) -> None:
        """Start with a new distribution around a member; on a restart around a random point."""
        random = np.random.default_rng([self._seed, self._begun])
        point = filled(self._cube, start, random) if start is not None else self._cube.uniform(1, random)[0]
        if self._begun:
            self._population = min(2 * self._population, _MAX_POPULATION)
        self._begun += 1
        self._batch = []
        half = np.where(self._levels > 0, 0.5 / np.maximum(self._levels, 1), 0.0)
        steps = np.where(self._levels > 0, 1 / np.maximum(self._levels, 1), 0.0)
        self._strategy = CMAwM(
            self._inward(point), _WIDTH, np.stack([half, 1 - half], axis=1), steps, population_size=self._population
        )

    def _generation(self, strategy: CMAwM) -> None:
        count = strategy.population_size
        members, self._batch = self._batch[:count], self._batch[count:]
        random = np.random.default_rng([self._seed, self._begun, strategy.generation])
        ranks = order(members)
        solutions = [
            (self._inward(filled(self._cube, members[index], random)), float(rank)) for rank, index in enumerate(ranks)
        ]
        with np.errstate(all="ignore"):
            strategy.tell(solutions)
        if strategy.should_stop():
            self._begin(None)

    def _inward(self, point: Floats) -> Floats:
        """Return the strategy's coordinates, all in [0, 1]; padded with an unused one if there are fewer than two."""
        sizes = np.maximum(self._cube.sizes, 1)
        unit = np.where(self._cube.numeric, point, (point + 0.5) / sizes)[self._free]
        padded = np.concatenate([unit, np.full(len(self._levels) - len(unit), 0.5)])
        half = np.where(self._levels > 0, 0.5 / np.maximum(self._levels, 1), 0.0)
        position: Floats = np.clip(padded, half, 1 - half)
        return position

    def _outward(self, position: Floats, random: np.random.Generator) -> Floats:
        point = self._cube.uniform(1, random)[0]
        unit = np.clip(position[: len(self._free)], 0.0, 1.0)
        choices = np.floor(unit * np.maximum(self._cube.sizes[self._free], 1))
        point[self._free] = np.where(self._cube.numeric[self._free], unit, choices)
        snapped: Floats = self._cube.snapped(point[None, :])[0]
        return snapped


def _levels(space: Space, index: int) -> float:
    """Return the number of values of a coordinate if they are few and evenly spaced, else 0."""
    parameter = space.parameters[index]
    count = parameter.count()
    return count if count <= _MAX_LEVELS and not parameter.log else 0.0
