"""The first suggestion of a learning engine needs none of its libraries, and is the one that the engine would make."""

from __future__ import annotations

import subprocess
import sys

import pytest

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import Space
from orchestune.domain.search.trial import Observation
from orchestune.domain.specification.metrics import Metric
from orchestune.engines import learners
from orchestune.engines.samplers.center_first import CenterFirst
from orchestune.engines.samplers.gp import GpProposer
from orchestune.engines.samplers.portfolio import AutoProposer

NUMBERS = Space((Parameter("x", "float", low=0.001, high=1.0, log=True), Parameter("n", "int", low=1, high=9)))
WITH_CHOICE = Space((*NUMBERS.parameters, Parameter("c", "categorical", choices=("a", "b"))))
METRICS = [Metric("loss", "minimize")]


@pytest.mark.parametrize("name", ["auto", "gp"])
def test_each_suggestion_is_that_of_the_engine(name: str) -> None:
    engine = (AutoProposer if name == "auto" else GpProposer)(NUMBERS, METRICS, 7)
    center_first = learners.proposer(name, NUMBERS, METRICS, 7, {})
    assert isinstance(center_first, CenterFirst)
    assert (center_first.name, center_first.version, center_first.tries) == (engine.name, engine.version, engine.tries)
    for number in range(1, 14):
        configuration = engine.propose([], number, number)
        assert center_first.propose([], number, number) == configuration
        assert center_first.source == engine.source
        observation = Observation(
            number, configuration, TrialState.COMPLETED, {"loss": (float(configuration["x"]) - 0.2) ** 2}
        )
        engine.tell([observation])
        center_first.tell([observation])


def test_results_of_a_warm_start_are_used_for_the_first_suggestion() -> None:
    center = learners.proposer("auto", NUMBERS, METRICS, 7, {}).propose([], 1, 1)
    engine = learners.proposer("auto", NUMBERS, METRICS, 7, {})
    engine.tell([Observation(0, NUMBERS.rounded(center), TrialState.COMPLETED, {"loss": 1.0})])
    assert engine.propose([], 1, 1) != center


def test_a_space_with_choices_is_left_to_the_engine() -> None:
    assert isinstance(learners.proposer("auto", WITH_CHOICE, METRICS, 7, {}), AutoProposer)


def test_the_first_suggestion_imports_no_library_of_the_engine() -> None:
    program = f"""
import json, sys
from orchestune.domain.search.space import Space
from orchestune.domain.specification.metrics import Metric
from orchestune.engines import learners
space = Space.from_json({NUMBERS.to_json()!r})
engine = learners.proposer("auto", space, [Metric("loss", "minimize")], 7, {{}})
engine.propose([], 1, 1)
print([name for name in ("numpy", "scipy", "optuna") if name in sys.modules])
"""
    output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert output == "[]\n"
