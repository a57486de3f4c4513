"""Ax 1 with its defaults (BoTorch's Gaussian processes), by the client that its documentation begins with.

It knows what runs and what failed. Conditions are invisible to it.
"""

from __future__ import annotations

import logging
from typing import Any

from benchmarks.search.peers.dials import Dial, Dials, Pending
from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Space
from orchestune.domain.search.trial import Observation


class Ax:
    """One client."""

    def __init__(self, space: Space, seed: int, budget: int, workers: int) -> None:
        from ax.api.client import Client

        logging.getLogger("ax").setLevel(logging.ERROR)
        self._dials = Dials(space)
        self._client = Client(random_seed=seed)
        self._client.configure_experiment(parameters=[_dimension(dial) for dial in self._dials.all])
        self._client.configure_optimization(objective="-loss")
        # Without that it refuses a sixth trial while five run, and a start with more workers is not possible.
        self._client.configure_generation_strategy(
            initialization_random_seed=seed, allow_exceeding_initialization_budget=True
        )
        self._open: dict[int, int] = {}
        self._numbers: dict[int, int] = {}

    def ask(self, pending: Pending, number: int) -> dict[str, Value]:
        [(index, parameters)] = self._client.get_next_trials(max_trials=1).items()
        self._open[number], self._numbers[index] = index, number
        return self._dials.active({name: float(value) for name, value in parameters.items()})

    def tell(self, observation: Observation) -> None:
        index = self._open.pop(observation.number)
        if "loss" not in observation.metrics:
            self._client.mark_trial_failed(trial_index=index)
            return
        loss, spread = observation.metrics["loss"], observation.stddev.get("loss")
        self._client.complete_trial(trial_index=index, raw_data={"loss": (loss, spread) if spread else loss})

    def best(self) -> int | None:
        """The one of which its model expects most."""
        return self._numbers[self._client.get_best_parameterization(use_model_predictions=True)[2]]


def _dimension(dial: Dial) -> Any:
    from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

    if dial.kind == "choice":
        values = list(range(dial.size))
        return ChoiceParameterConfig(name=dial.name, values=values, parameter_type="int", is_ordered=False)
    bounds = (int(dial.low), int(dial.high)) if dial.kind == "int" else (dial.low, dial.high)
    scaling = "log" if dial.log else None
    return RangeParameterConfig(name=dial.name, bounds=bounds, parameter_type=dial.kind, scaling=scaling)
