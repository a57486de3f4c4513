"""An observation comes out of the line as it went in."""

from __future__ import annotations

import json

import pytest

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.trial import Observation
from orchestune.engines.process.messages import encode, observation_from_json, observation_to_json


@pytest.mark.parametrize(
    "observation",
    [
        Observation(1, {"x": 0.1}, TrialState.COMPLETED, {"loss": 1e-300}),
        Observation(2, {"x": 0.1}, TrialState.COMPLETED, {"loss": 0.1}, {"loss": 0.01}),
        Observation(3, {"x": 0.1}, TrialState.PRUNED, {"loss": 0.1}, last=(3.5, -0.25)),
        Observation(4, {"x": 0.1}, TrialState.PRUNED, {"loss": 0.1}, {"loss": 0.01}, (3.0, 0.25)),
        Observation(5, {}, TrialState.FAILED),
    ],
)
def test_an_observation_comes_back_as_it_was(observation: Observation) -> None:
    line = encode({"told": observation_to_json(observation)})
    assert observation_from_json(json.loads(line)["told"]) == observation
