"""Our engines and those of others, behind one face. A peer is imported when it is used."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.search.simulation import Searcher
from orchestune.domain.metrics import Metric
from orchestune.domain.space import Configuration, Parameter, Space, Value
from orchestune.domain.trial import Observation, ask_seed
from orchestune.engines.registry import create

_LOSS = (Metric("loss", "minimize"),)


class Ours:
    """An engine of the registry; `tpe:startup=5` has options."""

    def __init__(self, name: str, space: Space, seed: int, budget: int) -> None:
        name, _, rest = name.partition(":")
        options = {
            key: json.loads(value) for key, _, value in (item.partition("=") for item in rest.split(",") if item)
        }
        self._engine = create(name, space, _LOSS, seed=seed, budget=budget, options=options, in_process=True)
        self._seed = seed

    def ask(self, pending: Sequence[Configuration], number: int) -> dict[str, Value]:
        return self._engine.ask(pending, number, ask_seed(self._seed, number))

    def tell(self, observation: Observation) -> None:
        self._engine.tell([observation])


class Optuna:
    """A study of Optuna as its users run it."""

    def __init__(self, space: Space, sampler: Any) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._study = optuna.create_study(sampler=sampler)
        self._trials: dict[int, Any] = {}

    def ask(self, pending: Sequence[Configuration], number: int) -> dict[str, Value]:
        self._trials[number] = trial = self._study.ask()
        found: dict[str, Value] = {}
        for parameter in self._space.parameters:
            if self._space.is_active(parameter.name, found):
                found[parameter.name] = _suggest(trial, parameter)
        return found

    def tell(self, observation: Observation) -> None:
        from optuna.trial import TrialState

        trial = self._trials.pop(observation.number)
        if "loss" in observation.metrics:
            self._study.tell(trial, observation.metrics["loss"])
        else:
            self._study.tell(trial, state=TrialState.FAIL)


def _suggest(trial: Any, parameter: Parameter) -> Value:
    low, high = parameter.low, parameter.high
    found: Value
    if not parameter.numeric:
        found = trial.suggest_categorical(parameter.name, parameter.choices)
    elif parameter.kind == "int":
        step = {} if parameter.log else {"step": int(parameter.step or 1)}
        found = trial.suggest_int(parameter.name, int(low or 0), int(high or 0), log=parameter.log, **step)
    else:
        found = trial.suggest_float(parameter.name, low, high, log=parameter.log, step=parameter.step)
    return found


def _optuna_tpe(space: Space, seed: int, budget: int) -> Searcher:
    from optuna.samplers import TPESampler

    return Optuna(space, TPESampler(seed=seed))


def _optuna_group(space: Space, seed: int, budget: int) -> Searcher:
    from optuna.samplers import TPESampler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Optuna(space, TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True))


def _optuna_gp(space: Space, seed: int, budget: int) -> Searcher:
    from optuna.samplers import GPSampler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Optuna(space, GPSampler(seed=seed))


_PEERS: dict[str, Callable[[Space, int, int], Searcher]] = {
    "optuna-tpe": _optuna_tpe,
    "optuna-tpe-group": _optuna_group,
    "optuna-gp": _optuna_gp,
}


def searcher(name: str, space: Space, seed: int, budget: int) -> Searcher:
    """A new searcher: a peer's name, or one of our engines with its options."""
    return _PEERS[name](space, seed, budget) if name in _PEERS else Ours(name, space, seed, budget)
