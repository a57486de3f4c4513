"""Gaussian processes (GP) with expected improvement, using only NumPy and SciPy.

The hyperparameters of the model (`Scales`: length scales, amplitudes, noise) are fitted only at certain numbers of
observations, to the history at that number, and are used until the next of these. So a suggestion is a function of the
history, not of the time of the asks, and few asks wait for a fit. New observations and pending trials enter the model
at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy.special import log_ndtr

from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.search.trial import Observation
from orchestune.domain.specification.metrics import Metric, objectives
from orchestune.engines.constraints.identity import ConfigurationKeys
from orchestune.engines.models.cube import Cube, Flags, Floats, stacked
from orchestune.engines.models.fitting import MAX_ADDITIVE_COORDINATES, fit, max_fit_points
from orchestune.engines.models.history import History
from orchestune.engines.models.kernel import Scales
from orchestune.engines.models.posterior import Posterior
from orchestune.engines.models.training_data import (
    TrainingData,
    TrainingPoint,
    failure_data,
    limit_data,
    regression_data,
    thinned,
    training_point,
    without_penalties,
)
from orchestune.engines.models.warping import Warping
from orchestune.engines.samplers.candidates import Acquisition, Effort, ranked
from orchestune.engines.samplers.niching import EvaluatedPoint, Niches
from orchestune.engines.samplers.quasi import start_design
from orchestune.engines.samplers.stall import ELSEWHERE, Stall
from orchestune.engines.samplers.start import STARTUP, can_start, min_results
from orchestune.engines.versions import version_of

HISTORY = 250
"""default number of observations in the model"""
_MIN_HISTORY = 50
_MAX_FITTED = 150
"""observations used to fit the scales; the time of a fit grows with their cube"""
_LIMITS_AT_FULL_HISTORY = 4
"""limits of metrics up to which the history is not shortened; with 38 on 1,400 points a suggestion took 100 s"""
_PENDING = 100
_PARENTS = 5
_FAILURES = -1
"""index of the failure model among the models of limits"""
_FORBIDDING = 100.0
"""Penalty that excludes regions where three of four trials fail: otherwise the improvement extrapolated far beyond the
border, times a small probability, would outweigh the small improvement possible next to the border."""
_PRIOR_RESULTS = 10.0
"""results after which a user's prior has the same weight as the model"""
_BEHIND = 1e6  # added when sorting known points: infeasible ones come last
_TOP_POINTS = 300
"""top points, of which the first new one is suggested"""
_WEIGHT_VECTORS = 10
"""number of weight vectors of several metrics, one of which is drawn for each suggestion"""
_SHORTER = 4.0
"""factor by which length scales are shortened to explore elsewhere"""


@dataclass(frozen=True)
class ModelVariant:
    """A model of the history, by the transformation of the losses and the form of the function."""

    warping: Warping
    additive: bool
    """with a sum of functions of one parameter each, beside the function of all"""


@dataclass(frozen=True)
class _Bound:
    """A GP that models a constraint: the limit of a metric, or failure."""

    model: Posterior
    limit: float
    worst: float
    """predictions beyond this are penalized so much that any other point is preferred"""

    def log_chance(self, features: Floats) -> Floats:
        """Return the log probability that the constraint holds."""
        mean, deviation = self.model.at(features)
        log_probability: Floats = log_ndtr((self.limit - mean) / deviation)
        return log_probability - _FORBIDDING * np.maximum(mean - self.worst, 0.0)


_VARIANTS = (ModelVariant("plain", False), ModelVariant("plain", True), ModelVariant("power", False))
_FIRST_VARIANTS = (ModelVariant("plain", True), ModelVariant("power", True))
"""used with few results: additive effects are learned from fewer results than interactions"""
_FIRST_RESULTS_PER_COORDINATE = 4
"""results per coordinate below which the first variants are used"""


class GpProposer:
    """Suggests by one model per variant; the variants alternate, each for two consecutive trial numbers."""

    name = "gp"
    uses_history = True
    tries = 2  # proposals until one is new; then `DistinctEngine` draws at random

    def __init__(
        self,
        space: Space,
        metrics: Sequence[Metric],
        seed: int,
        *,
        startup: int = STARTUP,
        history: int | None = None,
    ) -> None:
        self.version = version_of(self.name)
        self._metrics, self._startup = tuple(metrics), startup
        self._objectives = len(objectives(metrics))
        self._limits = sum(metric.limit is not None for metric in metrics)
        additive = len(space.parameters) <= MAX_ADDITIVE_COORDINATES
        self._variants = _VARIANTS if additive else tuple(variant for variant in _VARIANTS if not variant.additive)
        self._first_variants = _FIRST_VARIANTS if additive else self._variants
        self._cube = Cube(space)
        self._identity = ConfigurationKeys(space)
        self._design = start_design(space, seed)
        most = max_history(self._cube.dimension, self._limits)
        self._history: History[TrainingPoint] = History(
            max(_MIN_HISTORY, min(history or HISTORY, most)), self._objectives
        )
        self.source = self._design.source
        self._tried: set[bytes] = set()
        self._scored = self._failed = 0
        self._stall = Stall()
        self._niches = Niches(self._cube.numeric)
        self._stalled = False
        self._next_fit = min_results(startup)
        self._fitted: list[TrainingPoint] = []
        self._failures_fitted = False
        self._scales: dict[tuple[ModelVariant, tuple[float, ...]], Scales] = {}
        self._limit_scales: dict[int, Scales] = {}

    def ready(self, pending: int) -> bool:
        """Return True if there are enough results for a model, given the number of pending trials."""
        return can_start(self._scored, self._failed, self._startup, pending) and self._cube.dimension > 0

    def looks_elsewhere(self, number: int) -> bool:
        """Return True if trial `number` is one of the quarter that a stalled search spends elsewhere.

        Elsewhere is a niche, or anywhere if there is none. With long length scales, fitted to the region searched so
        far, a GP is certain about regions without observations. With shorter ones it is certain only about the
        neighbourhood of observations (Wang and de Freitas, 2014).
        """
        return number % 4 == 1 and self._stall.lasts

    def tell(self, observations: Sequence[Observation]) -> None:
        self._design.tell(observations)
        for observation in observations:
            if observation.own:
                self._tried.add(self._identity.of(observation.parameters))
            point = training_point(self._cube, self._metrics, observation)
            if point is None:
                continue
            self._history.add(point, point.losses if point.feasible else None)
            self._scored += point.losses is not None
            self._failed += point.failed
            if point.losses is not None and point.feasible and self._objectives == 1:
                self._stall.add(point.losses[0])
                self._follow(point)
            due = len(self._history) >= self._next_fit or (point.failed and not self._failures_fitted)
            if due and self._scored and (window := self._window()):
                self._next_fit = len(self._history) + max(3, len(self._history) // 8)
                self._fitted = thinned(window, _MAX_FITTED)
                self._failures_fitted = any(point.failed for point in self._fitted)
                self._scales.clear()
                self._limit_scales.clear()

    def propose(self, pending: Sequence[Configuration], number: int, seed: int) -> dict[str, Value]:
        window = self._window() if self.ready(len(pending)) else []
        self.source = self.name if window else self._design.source
        if not window:
            return self._design.propose(pending, number, seed)
        niche = None
        if elsewhere := self.looks_elsewhere(number):
            self.source, niche = ELSEWHERE, self._niches.best
        random = np.random.default_rng(seed)
        variant = self._variant(number)
        weights = self._drawn_weights(random)
        modelled = [point for point in window if not point.failed]
        training = regression_data(modelled, self._cube.dimension, variant.warping, weights)
        pending_points = [point for point in map(self._cube.point, pending[-_PENDING:]) if point is not None]
        with np.errstate(over="ignore", under="ignore"):
            scales = self._scales_of(variant, weights)
            posterior = Posterior(
                scales.shortened(_SHORTER) if elsewhere and niche is None else scales,
                self._cube.features(training.points),
                training.values,
                training.noise(scales),
                self._cube.features(stacked(pending_points, self._cube.dimension)),
                self._cube.numeric,
            )
            model_points = np.concatenate([training.points, stacked(pending_points, self._cube.dimension)])
            order, acquisition = posterior.expected, cast(Acquisition, posterior.log_improvement)
            bounds = [bound for index in (_FAILURES, *range(self._limits)) if (bound := self._bound(index, window))]
            if bounds:
                feasible = np.array([point.feasible for point in modelled] + [False] * len(pending_points))
                order, acquisition = _within(posterior, feasible, bounds)
            if niche is not None:
                posterior.best = float(posterior.at(niche.features[None])[0][0])
                acquisition = self._inside(acquisition)
            parents = (
                model_points[np.argsort(order, kind="stable")[:_PARENTS]] if niche is None else niche.coordinates[None]
            )
            if self._cube.has_priors:
                acquisition = self._weighed(acquisition)
            candidates = ranked(self._cube, acquisition, parents, random, Effort())
        pending_keys = self._identity.set_of(pending)
        for point in _distinct(candidates):
            configuration = self._cube.configuration(point)
            key = self._identity.of(configuration)
            if key not in self._tried and key not in pending_keys:
                return configuration
        return self._cube.configuration(candidates[0])

    def _window(self) -> list[TrainingPoint]:
        """Return the points that the model uses, penalties as failures; empty if failures have displaced all values."""
        points = without_penalties([point for _index, point in self._history.window()])
        return points if any(point.losses is not None for point in points) else []

    def _follow(self, point: TrainingPoint) -> None:
        """Update the niches with a result. They are searched while the search is stalled, one after the other."""
        if not self._stall.lasts:
            self._niches.leave()
            self._stalled = False
        elif not self._stalled and self._fitted:
            self._stalled = True
            with np.errstate(over="ignore", under="ignore"):
                scales = self._scales_of(_VARIANTS[0], (1.0,))
            self._niches.begin(scales.weights, self._known())
        elif self._niches.add(self._evaluated(point), self._stall.min_improvement):
            self._niches.enter(self._known())

    def _known(self) -> list[EvaluatedPoint]:
        return [self._evaluated(point) for _index, point in self._history.window() if point.feasible]

    def _evaluated(self, point: TrainingPoint) -> EvaluatedPoint:
        assert point.losses is not None
        return EvaluatedPoint(point.coordinates, self._cube.features(point.coordinates[None])[0], point.losses[0])

    def _variant(self, number: int) -> ModelVariant:
        has_few_results = self._scored < _FIRST_RESULTS_PER_COORDINATE * self._cube.dimension
        variants = self._first_variants if has_few_results else self._variants
        return variants[number // 2 % len(variants)]

    def _inside(self, acquisition: Acquisition) -> Acquisition:
        """Return the acquisition function restricted to the current niche."""
        return lambda features: np.where(self._niches.holds(features), acquisition(features), -math.inf)

    def _weighed(self, acquisition: Acquisition) -> Acquisition:
        """Return the acquisition times the priors, to a power that decays with the results (Hvarfner et al., 2022)."""
        weight = _PRIOR_RESULTS / max(self._scored, 1)
        return lambda features: acquisition(features) + weight * self._cube.log_prior(features)

    def _bound(self, index: int, points: Sequence[TrainingPoint]) -> _Bound | None:
        """Return the model of a limit or of failures; None without data for it now or at the last fit."""
        known, scales = self._data_of_limit(points, index), self._scales_of_limit(index)
        if known is None or scales is None:
            return None
        training, limit = known
        features = self._cube.features(training.points)
        with np.errstate(over="ignore", under="ignore"):
            noise = training.noise(scales)
            model = Posterior(scales, features, training.values, noise, features[:0], self._cube.numeric)
        worst = (limit + float(training.values.max())) / 2 if index == _FAILURES else math.inf
        return _Bound(model, limit, worst)

    def _data_of_limit(self, points: Sequence[TrainingPoint], index: int) -> tuple[TrainingData, float] | None:
        """Return the data of a limit or of failures; None if there is none."""
        if index == _FAILURES:
            return failure_data(points, self._cube.dimension)
        return limit_data(points, self._cube.dimension, index)

    def _scales_of_limit(self, index: int) -> Scales | None:
        if index not in self._limit_scales:
            known = self._data_of_limit(self._fitted, index)
            if known is None:
                return None
            training, _limit = known
            self._limit_scales[index] = fit(self._cube.features(training.points), training, self._cube.numeric)
        return self._limit_scales[index]

    def _scales_of(self, variant: ModelVariant, weights: tuple[float, ...]) -> Scales:
        if (variant, weights) not in self._scales:
            fitted = [point for point in self._fitted if not point.failed]
            training = regression_data(fitted, self._cube.dimension, variant.warping, weights)
            features = self._cube.features(training.points)
            self._scales[variant, weights] = fit(features, training, self._cube.numeric, additive=variant.additive)
        return self._scales[variant, weights]

    def _drawn_weights(self, random: np.random.Generator) -> tuple[float, ...]:
        if self._objectives == 1:
            return (1.0,)
        chosen = int(random.integers(_WEIGHT_VECTORS))
        if self._objectives == 2:
            first = (chosen + 0.5) / _WEIGHT_VECTORS
            return (first, 1 - first)
        return tuple(np.random.default_rng(chosen).dirichlet(np.ones(self._objectives)).tolist())


def max_history(dimension: int, limits: int) -> int:
    """Return the maximum length of the history: it fits into memory if a fit does, and each limit has a model too."""
    return max_fit_points(dimension * max(1, limits // _LIMITS_AT_FULL_HISTORY))


def _distinct(points: Floats) -> Floats:
    """Return the first distinct points. If a corner is the known optimum, most local searches end in the same point."""
    _, first = np.unique(points, axis=0, return_index=True)
    distinct: Floats = points[np.sort(first)[:_TOP_POINTS]]
    return distinct


def _within(posterior: Posterior, feasible: Flags, bounds: Sequence[_Bound]) -> tuple[Floats, Acquisition]:
    """Return sort keys of the known points, and the log expected improvement plus the log probability of feasibility.

    While no feasible point is known, the acquisition is that probability alone (Gardner et al., 2014).
    """
    any_feasible = bool(feasible.any())
    if any_feasible:
        posterior.best = float(posterior.expected[feasible].min())

    def acquisition(features: Floats) -> Floats:
        total = posterior.log_improvement(features) if any_feasible else np.zeros(len(features))
        for bound in bounds:
            total = total + bound.log_chance(features)
        return total

    return np.where(feasible, posterior.expected, posterior.expected + _BEHIND), acquisition
