"""Population of results with a ranking; the common base of population-based engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orchestune.domain.search.space import Space
from orchestune.domain.search.trial import Observation
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.models.cube import Cube, Floats
from orchestune.engines.models.dominance import dominator_counts
from orchestune.engines.models.training_data import TrainingPoint, training_point
from orchestune.engines.samplers.quasi import start_design
from orchestune.engines.versions import version_of


@dataclass(frozen=True, eq=False)
class Individual:
    """The result of trial `number` (0: from a warm start)."""

    number: int
    entry: TrainingPoint


class Population:
    """A population of `size` members that starts with a Sobol sequence. Subclasses implement `_take`."""

    name: str
    uses_history = True
    tries = 8

    def __init__(self, space: Space, metrics: Sequence[Metric], seed: int, size: int) -> None:
        self.version = version_of(self.name)
        self._metrics = tuple(metrics)
        self._cube = Cube(space)
        self._size = size
        self._design = start_design(space, seed)
        self._told = 0
        self.source = self._design.source

    def tell(self, observations: Sequence[Observation]) -> None:
        """Add results in any order; those without information are ignored."""
        self._design.tell(observations)
        for observation in observations:
            point = training_point(self._cube, self._metrics, observation)
            if point is not None:
                self._told += point.losses is not None
                self._take(Individual(observation.number, point), (observation.number or self._told) % self._size)

    def _take(self, member: Individual, place: int) -> None:
        raise NotImplementedError


def order(members: Sequence[Individual]) -> list[int]:
    """Return the indices of the members, best first.

    Feasible members are ordered by the number of members dominating them, then by crowding distance; then infeasible
    ones by total excess; then those without a result.

    With one metric feasible members are sorted by loss; with several the order is that of NSGA-II (Deb et al., 2002).
    """
    entries = [member.entry for member in members]
    feasible = [index for index, entry in enumerate(entries) if entry.feasible]
    ranks = dict(zip(feasible, _ranks([entries[index].losses or () for index in feasible]), strict=True))

    def key(index: int) -> tuple[float, float, float, int]:
        entry = entries[index]
        if index in ranks:
            return (0.0, *ranks[index], index)
        if entry.losses is None:
            return (2.0, float(not entry.pruned), 0.0, index)
        return (1.0, sum(max(excess, 0.0) for excess in entry.excesses), 0.0, index)

    return sorted(range(len(entries)), key=key)


def _ranks(losses: Sequence[tuple[float, ...]]) -> list[tuple[float, float]]:
    """Return sort keys: with one metric the loss; with several the number of dominating members and crowding."""
    if all(len(each) == 1 for each in losses):
        return [(each[0], 0.0) for each in losses]
    counts = dominator_counts(np.array(losses)).tolist()
    return [(float(count), -lonely) for count, lonely in zip(counts, _lonely(losses, counts), strict=True)]


def _lonely(losses: Sequence[tuple[float, ...]], counts: Sequence[int]) -> list[float]:
    """Return the crowding distance of each member among those with the same domination count."""
    lonely = [0.0] * len(losses)
    groups: dict[int, list[int]] = {}
    for index, count in enumerate(counts):
        groups.setdefault(count, []).append(index)
    for group in groups.values():
        for metric in range(len(losses[0])):
            line = sorted((losses[index][metric], index) for index in group)
            spread = line[-1][0] - line[0][0]
            for place, (_, index) in enumerate(line):
                edge = place in (0, len(line) - 1)
                gap = np.inf if edge else (line[place + 1][0] - line[place - 1][0]) / spread if spread > 0 else 0.0
                lonely[index] += float(gap)
    return lonely


def filled(cube: Cube, member: Individual, random: np.random.Generator) -> Floats:
    """Return the member's point with inactive coordinates drawn at random."""
    point = member.entry.coordinates
    return np.where(np.isnan(point), cube.uniform(1, random)[0], point)
