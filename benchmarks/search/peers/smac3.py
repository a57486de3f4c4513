"""SMAC3 (Lindauer et al., 2022): random forests, by its facade for hyperparameters, with its defaults.

It has conditions of its own, and receives trials that crashed.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.search.peers.dials import Dial, Dials, Pending
from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Space
from orchestune.domain.search.trial import Observation

_CRASH = 2147483647.0
"""What a crash costs, as in the versions before 2: with the infinite cost of now its forest refuses to learn."""


class Smac3:
    """One facade, by ask and tell."""

    def __init__(self, space: Space, seed: int, budget: int, workers: int) -> None:
        from smac import HyperparameterOptimizationFacade, Scenario

        self._dials = Dials(space)
        self._by_name = {dial.name: dial for dial in self._dials.all}
        self._folder = tempfile.TemporaryDirectory()
        scenario = Scenario(
            _configuration_space(space, self._dials, seed),
            output_directory=Path(self._folder.name),
            deterministic=True,
            n_trials=budget,
            seed=seed,
        )
        self._facade = HyperparameterOptimizationFacade(
            scenario, lambda config, seed=0: 0.0, overwrite=True, logging_level=False
        )
        self._open: dict[int, Any] = {}

    def ask(self, pending: Pending, number: int) -> dict[str, Value]:
        self._open[number] = trial = self._facade.ask()
        return {name: self._by_name[name].value(float(value)) for name, value in dict(trial.config).items()}

    def tell(self, observation: Observation) -> None:
        from smac.runhistory import StatusType, TrialValue

        info = self._open.pop(observation.number)
        if "loss" in observation.metrics:
            self._facade.tell(info, TrialValue(cost=observation.metrics["loss"], time=1.0))
        else:
            self._facade.tell(info, TrialValue(cost=_CRASH, time=1.0, status=StatusType.CRASHED))

    def best(self) -> int | None:
        """The one with the best value."""
        return None


def _configuration_space(space: Space, dials: Dials, seed: int) -> Any:
    from ConfigSpace import AndConjunction, ConfigurationSpace, InCondition

    configuration_space = ConfigurationSpace(seed=seed)
    hyperparameters = {dial.name: _dimension(dial) for dial in dials.all}
    configuration_space.add(*hyperparameters.values())
    for parameter in space.parameters:
        conditions = [
            InCondition(
                hyperparameters[parameter.name],
                hyperparameters[parent],
                [_index(space, parent, value) for value in values],
            )
            for parent, values in parameter.when
        ]
        if conditions:
            configuration_space.add(AndConjunction(*conditions) if len(conditions) > 1 else conditions[0])
    return configuration_space


def _index(space: Space, parent: str, value: Value) -> int:
    choices = space.by_name[parent].choices
    return next(i for i, choice in enumerate(choices) if choice == value and type(choice) is type(value))


def _dimension(dial: Dial) -> Any:
    from ConfigSpace import Categorical, Float, Integer

    if dial.kind == "choice":
        return Categorical(dial.name, list(range(dial.size)))
    if dial.kind == "int":
        return Integer(dial.name, (int(dial.low), int(dial.high)), log=dial.log)
    return Float(dial.name, (dial.low, dial.high), log=dial.log)
