"""Sobol and Halton sequences: quasi-random points that fill the space more evenly than random ones."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import qmc

from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.search.trial import Observation
from orchestune.engines.constraints.identity import ConfigurationKeys
from orchestune.engines.models.cube import Floats

_MAX_PASSED = 100
"""upper bound of points tried per trial number to find a feasible one"""
_MANY_PARAMETERS = 10
"""numeric parameters above which only some are likely to matter"""
_STEPS_AT_ONCE = 10_000
"""points passed at once: SciPy computes all of them"""
_EDGE = 1e-12
"""positions are clipped to [_EDGE, 1 - _EDGE], since 0 and 1 map to infinity"""


def start_design(space: Space, seed: int) -> QuasiRandomProposer:
    """Return the initial design of learning engines: a Sobol sequence from the center of the space outward."""
    return QuasiRandomProposer("sobol", space, seed, outward=True)


class QuasiRandomProposer:
    """Point `number - 1` of a sequence that is scrambled with the experiment's seed (Owen, 1995; 2017 for Halton).

    One dimension per parameter, including inactive ones, so that a point depends only on its number. Infeasible points
    are skipped. A second proposal for the same number would be the same point: the caller draws another one instead.

    `outward`: the first point is the center of the space, and the others stay the closer to it the more numeric
    parameters there are. Let the optimum have a normal distribution over d numbers: the nearest of n points comes
    closest to it if their variance is log n / d (Meunier et al., 2020). The number of points is unknown in advance, so
    n is the number of the point. Of many numbers often only a few matter (Bergstra and Bengio, 2012), so that d is
    smaller: then every fourth point spreads as if only a quarter of them mattered. Points with results from a warm
    start are skipped, since the center is the same for every seed.
    """

    uses_history = False
    tries = 1

    def __init__(self, name: str, space: Space, seed: int, *, outward: bool = False) -> None:
        self.name = self.source = name
        self.version = f"4/scipy-{version('scipy')}"
        self._space = space
        self._identity = ConfigurationKeys(space)
        self._known: set[bytes] = set()
        self._allowed = array("q")
        """numbers of the feasible points found so far"""
        self._newest: tuple[int, dict[str, Value]] = (0, {})
        """the last of them and its configuration: the others are computed again, as they would fill the memory"""
        self._passed = 0
        self._outward = outward
        self._numbers = max(1, sum(p.numeric and p.count() > 1 for p in space.parameters))
        self._seed = seed
        dimensions = max(1, len(space.parameters))
        self._sobol = qmc.Sobol(dimensions, rng=np.random.default_rng(seed)) if name == "sobol" else None

    @property
    def _sequence(self) -> qmc.QMCEngine:
        return self._sobol or _halton(max(1, len(self._space.parameters)), self._seed)

    def tell(self, observations: Sequence[Observation]) -> None:
        """Remember the configurations of a warm start; nothing else is used."""
        if self._outward:
            self._known |= self._identity.set_of(
                observation.parameters for observation in observations if not observation.own
            )

    def propose(self, pending: Sequence[Configuration], number: int, seed: int) -> dict[str, Value]:
        if not self._space.constraints and not self._known:
            return self._point(number)
        while len(self._allowed) < number and self._passed < number * _MAX_PASSED:
            self._passed += 1
            configuration = self._point(self._passed)
            if self._space.allows(configuration) and not self._is_known(configuration):
                self._allowed.append(self._passed)
                self._newest = self._passed, configuration
        place = self._allowed[max(number, 1) - 1] if number <= len(self._allowed) else number
        return dict(self._newest[1]) if self._newest[0] == place else self._point(place)

    def _is_known(self, configuration: Configuration) -> bool:
        """Return True if the configuration, rounded as it would be suggested, is in the warm start."""
        return self._identity.of(self._space.rounded(configuration)) in self._known

    def _point(self, number: int) -> dict[str, Value]:
        ahead = max(number - 1, 0) - self._sequence.num_generated
        if ahead < 0:
            self._sequence.reset()
            ahead = max(number - 1, 0)
        while ahead:
            steps = min(ahead, _STEPS_AT_ONCE)
            self._sequence.fast_forward(steps)
            ahead -= steps
        point = self._sequence.random(1)[0]
        if self._outward:
            drawn_in = self._drawn_in(point, number)
            point = np.where([p.numeric for p in self._space.parameters], drawn_in, point)
        values = {p.name: p.drawn(float(at)) for p, at in zip(self._space.parameters, point, strict=False)}
        return self._space.active(values)

    def _drawn_in(self, point: Floats, number: int) -> Floats:
        farther = self._numbers > _MANY_PARAMETERS and number % 4 == 0
        mattering = self._numbers / 4 if farther else self._numbers
        deviation = min(1.0, math.sqrt(math.log(max(number, 1)) / mattering))
        contracted: Floats = ndtr(deviation * ndtri(np.clip(point, _EDGE, 1 - _EDGE)))
        return contracted


@lru_cache(maxsize=16)  # of all engines of the process together: one takes 4.5 MB with 200 parameters
def _halton(dimensions: int, seed: int) -> qmc.QMCEngine:
    return qmc.Halton(dimensions, rng=np.random.default_rng(seed))
