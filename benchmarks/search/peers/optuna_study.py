"""Optuna: a study as its users run it. Conditions are those of its define-by-run; failed trials are told as such."""

from __future__ import annotations

import warnings
from typing import Any

from benchmarks.search.peers.dials import Pending
from orchestune.domain.search.parameters import Parameter, Value
from orchestune.domain.search.space import Space
from orchestune.domain.search.trial import Observation


class OptunaStudy:
    """A study with a sampler of Optuna's."""

    def __init__(self, space: Space, sampler: Any) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._study = optuna.create_study(sampler=sampler)
        self._trials: dict[int, Any] = {}

    def ask(self, pending: Pending, number: int) -> dict[str, Value]:
        self._trials[number] = trial = self._study.ask()
        return suggested(self._space, trial)

    def tell(self, observation: Observation) -> None:
        from optuna.trial import TrialState

        trial = self._trials.pop(observation.number)
        if "loss" in observation.metrics:
            self._study.tell(trial, observation.metrics["loss"])
        else:
            self._study.tell(trial, state=TrialState.FAIL)

    def best(self) -> int | None:
        """The one with the best value."""
        return None


def suggested(space: Space, trial: Any) -> dict[str, Value]:
    """A configuration by define-by-run."""
    configuration: dict[str, Value] = {}
    for parameter in space.parameters:
        if space.is_active(parameter.name, configuration):
            configuration[parameter.name] = _suggest(trial, parameter)
    return configuration


def _suggest(trial: Any, parameter: Parameter) -> Value:
    low, high = parameter.low, parameter.high
    suggested_value: Value
    if not parameter.numeric:
        suggested_value = trial.suggest_categorical(parameter.name, parameter.choices)
    elif parameter.kind == "int":
        step = {} if parameter.log else {"step": int(parameter.step or 1)}
        suggested_value = trial.suggest_int(parameter.name, int(low or 0), int(high or 0), log=parameter.log, **step)
    else:
        suggested_value = trial.suggest_float(parameter.name, low, high, log=parameter.log, step=parameter.step)
    return suggested_value


def tpe(space: Space, seed: int, budget: int, workers: int) -> OptunaStudy:
    """Optuna's default."""
    from optuna.samplers import TPESampler

    return OptunaStudy(space, TPESampler(seed=seed))


def tpe_group(space: Space, seed: int, budget: int, workers: int) -> OptunaStudy:
    """TPE with all that Optuna recommends for spaces and workers like these."""
    from optuna.samplers import TPESampler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return OptunaStudy(space, TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True))


def gp(space: Space, seed: int, budget: int, workers: int) -> OptunaStudy:
    """Optuna's Gaussian process, which needs torch."""
    from optuna.samplers import GPSampler

    warnings.simplefilter("ignore")
    return OptunaStudy(space, GPSampler(seed=seed))
