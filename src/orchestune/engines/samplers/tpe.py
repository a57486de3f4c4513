"""Tree-structured Parzen estimators (Bergstra et al., 2011; Watanabe, 2023) as Optuna implements them.

Treatment of observations:

- completed, every metric finite: a value; infeasible ones rank behind all feasible ones, by their excess;
- pruned: no value, since the value at pruning is not that of a finished trial. Optuna ranks it behind every completed
  one; among pruned trials the one with more steps is better, and at equal steps the one with the smaller loss there;
- pending: part of the density of bad configurations (Optuna's `constant_liar`), so that simultaneous suggestions keep
  apart from each other;
- failed, or not finite: treated as pending, forever. If failures are left out of the model, as in Optuna, nothing keeps
  suggestions away from them: if the best values are next to a failing region (memory, divergence), most of a budget is
  spent inside it;
- cancelled: ignored.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from random import Random

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import TPESampler
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.trial import FrozenTrial, TrialState

from orchestune.domain.lifecycle import states
from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.search.trial import Observation, ask_seed
from orchestune.domain.specification.metrics import Metric, excesses, objectives
from orchestune.engines.constraints.feasible import draw_allowed, repaired_configuration
from orchestune.engines.constraints.identity import ConfigurationKeys
from orchestune.engines.models.history import History
from orchestune.engines.samplers.optuna_axes import OptunaAxis, axis
from orchestune.engines.samplers.optuna_storage import Snapshot, frozen
from orchestune.engines.samplers.start import STARTUP, required_results
from orchestune.engines.versions import version_of

HISTORY = 500
"""default number of observations in the model, measured by benchmarks/search_history_cap.py"""
_MAX_MODEL_VALUES = 10_000  # values in the model: fewer observations with many parameters, so that an ask stays fast
_MIN_HISTORY = 100
_MAX_WEIGHTS = 10_000_000  # Optuna holds 8 bytes for each choice of each observation and pending trial
_ATTEMPTS = 2  # with constraints: the best feasible candidate is taken; if there is none, a repaired one
_DRAWS = 8
_PRIOR_RESULTS = 10.0  # with priors: the share of draws from them falls from 1/2; it is 1/4 after this many results
_FINE = 1_000_000  # Optuna's steps are integers
_Allowed = Callable[[Mapping[str, np.ndarray]], np.ndarray]


class TpeProposer:
    """Rebuilds the model for each ask, from the history and the pending trials, with the seed of the ask."""

    name = "tpe"
    uses_history = True
    tries = 4

    def __init__(
        self,
        space: Space,
        metrics: Sequence[Metric],
        *,
        startup: int = STARTUP,
        candidates: int = 24,
        history: int | None = None,
    ) -> None:
        self.version = version_of(self.name)
        self._space = space
        self._every, self._metrics = tuple(metrics), objectives(metrics)
        self._startup = startup
        self._candidates = candidates
        self._axes: dict[str, OptunaAxis] = {parameter.name: axis(parameter) for parameter in space.parameters}
        limit = history or max(_MIN_HISTORY, min(HISTORY, _MAX_MODEL_VALUES // max(1, len(self._axes))))
        self._most = max(_MIN_HISTORY, _MAX_WEIGHTS // max(1, sum(len(each.choices) for each in space.parameters)))
        """maximum of observations, and of pending trials, in the model"""
        self._history: History[FrozenTrial] = History(min(limit, self._most), len(self._metrics))
        self._completed = self._ranked = 0
        self._identity = ConfigurationKeys(space)
        self._known: set[bytes] = set()
        self._has_priors = any(parameter.prior is not None for parameter in space.parameters)
        self._shapes: dict[tuple[str, ...], dict[str, BaseDistribution]] = {}
        directions = [optuna.study.StudyDirection[metric.goal.upper()] for metric in self._metrics]
        self._snapshot = Snapshot(directions)
        self.source = self.name
        # Loaded, not created: creating a study logs a message, and the log level belongs to other users of Optuna.
        self._study = optuna.load_study(study_name="snapshot", storage=self._snapshot, sampler=self._sampler(0))

    def tell(self, observations: Sequence[Observation]) -> None:
        self._known |= self._identity.set_of(item.parameters for item in observations if not item.own)
        for observation in observations:
            if observation.state is states.TrialState.CANCELLED:
                continue
            values = self._values(observation)
            state = TrialState.RUNNING if values is None else TrialState.COMPLETE
            if observation.state is states.TrialState.PRUNED:
                state = TrialState.PRUNED
            reached = self._intermediate(observation)
            beyond = list(excesses(self._every, observation.metrics)) if values is not None else []
            trial = self._trial(len(self._history), state, observation.parameters, values, reached, beyond)
            if trial is not None:
                is_feasible = all(excess <= 0 for excess in beyond)
                losses = (
                    [self._loss(m, v) for m, v in zip(self._metrics, values, strict=True)]
                    if values and is_feasible
                    else None
                )
                self._history.add(trial, losses or None)
                self._completed += state is TrialState.COMPLETE
                self._ranked += state is not TrialState.RUNNING

    def ready(self, pending: int) -> bool:
        """Return True if there are enough results, including pruned trials, given the number of pending trials."""
        return self._ranked >= required_results(self._startup, pending) and self._completed > 0

    def propose(self, pending: Sequence[Configuration], number: int, seed: int) -> dict[str, Value]:
        if not self.ready(len(pending)):
            self.source = "random"
            return self._drawn(seed)
        if self._has_priors and Random(seed).random() < _PRIOR_RESULTS / 2 / (_PRIOR_RESULTS + self._completed):
            self.source = "prior"
            return self._drawn(ask_seed(seed, 1))
        self.source = self.name
        trials = [trial for _, trial in self._history.window()]
        for index, configuration in enumerate(pending[-self._most :], start=len(self._history)):
            running = self._trial(index, TrialState.RUNNING, configuration, None)
            trials += [] if running is None else [running]
        candidate: dict[str, Value] = {}
        for attempt in range(_ATTEMPTS if self._space.constraints else 1):
            self._snapshot.show(trials)
            varied = ask_seed(seed, attempt) if attempt else seed
            self._study.sampler = self._sampler(varied)
            with np.errstate(all="ignore"):  # very large metrics overflow, without consequences
                candidate = repaired_configuration(self._space, self._suggest(self._study.ask()), Random(varied))
            if self._space.allows(candidate):
                break
        return candidate

    def _drawn(self, seed: int) -> dict[str, Value]:
        """Return a random draw; avoid those already in the warm start of a search with the same seed."""
        configuration = draw_allowed(self._space, Random(seed))
        for attempt in range(1, _DRAWS if self._known else 1):
            if self._identity.of(self._space.rounded(configuration)) not in self._known:
                break
            configuration = draw_allowed(self._space, Random(ask_seed(seed, attempt)))
        return configuration

    def _sampler(self, seed: int) -> TPESampler:
        """Return a new sampler for each ask: a sampler caches its groups of parameters, which depend on past asks."""
        with warnings.catch_warnings():  # not thread-safe, but the child has only one thread
            warnings.simplefilter("ignore", ExperimentalWarning)
            return _Sampler(self._allowed if self._space.constraints else None, seed, self._candidates)

    def _allowed(self, samples: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return a mask of the candidates, for a subset of the parameters, that violate no constraint among these."""
        outward = [(name, self._axes[name].outward, positions) for name, positions in samples.items()]
        count = len(next(iter(samples.values())))
        candidates = [{name: value(positions[place]) for name, value, positions in outward} for place in range(count)]
        return np.array([self._space.allows(configuration) for configuration in candidates])

    def _suggest(self, trial: optuna.Trial) -> dict[str, Value]:
        configuration: dict[str, Value] = {}
        for name, parameter_axis in self._axes.items():
            if not self._space.is_active(name, configuration):
                continue
            position: float
            match parameter_axis.distribution:
                case FloatDistribution(low=low, high=high):
                    position = trial.suggest_float(name, low, high)
                case IntDistribution(low=low, high=high, log=log):
                    position = trial.suggest_int(name, low, high, log=log)
                case CategoricalDistribution(choices=choices):
                    position = trial.suggest_categorical(name, choices)  # type: ignore[assignment]
            configuration[name] = parameter_axis.outward(position)
        return configuration

    def _trial(
        self,
        number: int,
        state: TrialState,
        configuration: Configuration,
        values: Sequence[float] | None,
        intermediate: dict[int, float] | None = None,
        excesses: Sequence[float] = (),
    ) -> FrozenTrial | None:
        """Return an Optuna trial; None if the configuration is not in this space, as after a change of the space."""
        positions: dict[str, float | int] = {}
        for name, value in configuration.items():
            parameter_axis = self._axes.get(name)
            position = parameter_axis.inward(value) if parameter_axis else None
            if position is None:
                return None
            positions[name] = position
        names = tuple(positions)
        if names not in self._shapes:
            self._shapes[names] = {name: self._axes[name].distribution for name in names}
        return frozen(number, state, positions, self._shapes[names], values, intermediate, excesses)

    def _intermediate(self, observation: Observation) -> dict[int, float] | None:
        """Return the last report of a pruned trial with the sign Optuna expects: it negates values to maximize."""
        if observation.last is None or len(self._metrics) > 1:
            return None
        step, loss = observation.last
        return {round(step * _FINE): loss if self._metrics[0].goal == "minimize" else -loss}

    def _values(self, observation: Observation) -> list[float] | None:
        if observation.state is not states.TrialState.COMPLETED:
            return None
        values = [observation.metrics.get(metric.name, math.nan) for metric in self._metrics]
        return values if all(map(math.isfinite, (*values, *excesses(self._every, observation.metrics)))) else None

    @staticmethod
    def _loss(metric: Metric, value: float) -> float:
        return value if metric.goal == "minimize" else -value


class _Sampler(TPESampler):
    """Chooses among the feasible candidates only.

    All known bad results are feasible, so of all candidates the most promising ones would be infeasible.
    """

    def __init__(self, allowed: _Allowed | None, seed: int, candidates: int) -> None:
        super().__init__(
            seed=seed,
            n_startup_trials=0,
            n_ei_candidates=candidates,
            multivariate=True,
            group=True,
            constant_liar=True,
        )
        self._allowed = allowed

    def _compute_acquisition_func(
        self, samples: dict[str, np.ndarray], mpe_below: _ParzenEstimator, mpe_above: _ParzenEstimator
    ) -> np.ndarray:
        values = super()._compute_acquisition_func(samples, mpe_below, mpe_above)
        return values if self._allowed is None else np.where(self._allowed(samples), values, -np.inf)
