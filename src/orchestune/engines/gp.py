"""Gaussian processes with expected improvement, on NumPy and SciPy alone.

The scales of the process (how far apart two values of a parameter are alike) are fitted after certain numbers of
observations only, to what was known then, and serve until the next of these numbers: an answer so follows from the
history, not from when somebody asked, and few asks wait for a fit. What is told or pending is in the process at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy.special import log_ndtr

from orchestune.domain.metrics import Metric, objectives
from orchestune.domain.space import Configuration, Space, Value
from orchestune.domain.trial import Observation
from orchestune.engines.candidates import Acquisition, Effort, ranked
from orchestune.engines.cube import Cube, Flags, Floats, stacked
from orchestune.engines.evidence import Entry, entry, gathered, limit_evidence, thinned
from orchestune.engines.fitting import fit
from orchestune.engines.history import History
from orchestune.engines.identity import Identity
from orchestune.engines.kernel import Scales
from orchestune.engines.posterior import Posterior
from orchestune.engines.quasi import QuasiRandomProposer
from orchestune.engines.versions import version_of
from orchestune.engines.warping import Warping

HISTORY = 250
"""observations that the process is made of where the options do not say"""
_CELLS = 4_000_000  # numbers in a fit: with very many parameters fewer observations
_FEWEST = 50
_MOST_FITTED = 150
"""observations that the scales are fitted to; the time of a fit grows with their cube"""
_PENDING = 100
_PARENTS = 5
_STARTUP = 10
_BELIEF = 10.0
"""results after which a prior weighs as much as what is known"""
_BEHIND = 1e6  # in the order of known points: those that exceed a limit come after the others
_DIRECTIONS = 5
"""weights of several metrics that take turns"""


@dataclass(frozen=True)
class View:
    """One way to look at a history."""

    warping: Warping
    additive: bool


VIEWS = (View("plain", False), View("plain", True), View("power", False))
_MOST_SINGLES = 32
"""parameters; with more of them the sum of functions of one parameter each takes too long"""


class GpProposer:
    """A process for each of the views, which take turns, two trial numbers each."""

    name = "gp"
    uses_history = True
    tries = 2

    def __init__(
        self,
        space: Space,
        metrics: Sequence[Metric],
        seed: int,
        *,
        startup: int = _STARTUP,
        history: int | None = None,
        views: Sequence[View] = VIEWS,
    ) -> None:
        self.version = version_of(self.name)
        self._metrics, self._startup = tuple(metrics), startup
        self._objectives = len(objectives(metrics))
        self._limits = sum(metric.limit is not None for metric in metrics)
        few = len(space.parameters) <= _MOST_SINGLES
        self._views = tuple(view for view in views if few or not view.additive)
        self._cube = Cube(space)
        self._identity = Identity(space)
        self._design = QuasiRandomProposer("sobol", space, seed)
        most = int((_CELLS / max(1, self._cube.width)) ** 0.5)
        self._history: History[Entry] = History(max(_FEWEST, min(history or HISTORY, most)), self._objectives)
        self.source = self._design.source
        self._told: set[bytes] = set()
        self._scored = 0
        self._next_fit = startup
        self._fitted: list[Entry] = []
        self._scales: dict[tuple[View, tuple[float, ...]], Scales] = {}
        self._limit_scales: dict[int, Scales] = {}

    @property
    def ready(self) -> bool:
        """Whether enough is known for a model."""
        return self._scored >= self._startup and self._cube.width > 0

    def tell(self, observations: Sequence[Observation]) -> None:
        for observation in observations:
            if observation.own:
                self._told.add(self._identity.of(observation.parameters))
            found = entry(self._cube, self._metrics, observation)
            if found is None:
                continue
            self._history.add(found, found.losses if found.feasible else None)
            self._scored += found.losses is not None
            if len(self._history) >= self._next_fit and self.ready:
                self._next_fit = len(self._history) + max(3, len(self._history) // 8)
                self._fitted = thinned([item for _, item in self._history.window()], _MOST_FITTED)
                self._scales.clear()
                self._limit_scales.clear()

    def propose(self, pending: Sequence[Configuration], number: int, seed: int) -> dict[str, Value]:
        self.source = self.name if self.ready else self._design.source
        if not self.ready:
            return self._design.propose(pending, number, seed)
        random = np.random.default_rng(seed)
        view = self._views[number // 2 % len(self._views)]
        shares = self._shares(random)
        entries = [item for _, item in self._history.window()]
        evidence = gathered(entries, self._cube.width, view.warping, shares)
        waiting = [point for point in map(self._cube.point, pending[-_PENDING:]) if point is not None]
        with np.errstate(over="ignore", under="ignore"):
            posterior = Posterior(
                self._scales_of(view, shares),
                self._cube.features(evidence.points),
                evidence.values,
                evidence.variances,
                self._cube.features(stacked(waiting, self._cube.width)),
                self._cube.numeric,
            )
            known = np.concatenate([evidence.points, stacked(waiting, self._cube.width)])
            order, acquisition = posterior.expected, cast(Acquisition, posterior.log_improvement)
            if self._limits:
                kept = np.array([item.feasible for item in entries] + [False] * len(waiting))
                order, acquisition = self._within_limits(posterior, kept, entries)
            parents = known[np.argsort(order, kind="stable")[:_PARENTS]]
            if self._cube.believes:
                acquisition = self._weighed(acquisition)
            points = ranked(self._cube, acquisition, parents, random, Effort())
        busy = self._identity.set_of(pending)
        for point in points[:50]:
            configuration = self._cube.configuration(point)
            name = self._identity.of(configuration)
            if name not in self._told and name not in busy:
                return configuration
        return self._cube.configuration(points[0])

    def _weighed(self, acquisition: Acquisition) -> Acquisition:
        """Times the priors, to a power that falls with the results (Hvarfner et al., 2022)."""
        weight = _BELIEF / max(self._scored, 1)
        return lambda features: acquisition(features) + weight * self._cube.log_prior(features)

    def _within_limits(self, posterior: Posterior, kept: Flags, entries: Sequence[Entry]) -> tuple[Floats, Acquisition]:
        """What the known points are sorted by, and the improvement times the probability that every limit is kept.

        While no point is known that keeps them all, that probability alone (Gardner et al., 2014).
        """
        models: list[tuple[Posterior, float]] = []
        none = np.empty((0, self._cube.width))
        for index in range(self._limits):
            found = limit_evidence(entries, self._cube.width, index)
            if found is not None:
                evidence, limit = found
                features = self._cube.features(evidence.points)
                scales = self._scales_of_limit(index)
                models.append(
                    (Posterior(scales, features, evidence.values, evidence.variances, none, self._cube.numeric), limit)
                )
        any_kept = bool(kept.any())
        if any_kept:
            posterior.best = float(posterior.expected[kept].min())

        def acquisition(features: Floats) -> Floats:
            total = posterior.log_improvement(features) if any_kept else np.zeros(len(features))
            for model, limit in models:
                mean, deviation = model.at(features)
                total = total + log_ndtr((limit - mean) / deviation)
            return total

        return np.where(kept, posterior.expected, posterior.expected + _BEHIND), acquisition

    def _scales_of_limit(self, index: int) -> Scales:
        if index not in self._limit_scales:
            found = limit_evidence(self._fitted, self._cube.width, index)
            assert found is not None, "what is scored has values for every limit"
            evidence = found[0]
            features = self._cube.features(evidence.points)
            self._limit_scales[index] = fit(features, evidence.values, evidence.variances, self._cube.numeric)
        return self._limit_scales[index]

    def _scales_of(self, view: View, shares: tuple[float, ...]) -> Scales:
        if (view, shares) not in self._scales:
            found = gathered(self._fitted, self._cube.width, view.warping, shares)
            features = self._cube.features(found.points)
            self._scales[view, shares] = fit(
                features, found.values, found.variances, self._cube.numeric, additive=view.additive
            )
        return self._scales[view, shares]

    def _shares(self, random: np.random.Generator) -> tuple[float, ...]:
        if self._objectives == 1:
            return (1.0,)
        weights = np.random.default_rng(int(random.integers(_DIRECTIONS))).dirichlet(np.ones(self._objectives))
        return tuple(weights.tolist())
