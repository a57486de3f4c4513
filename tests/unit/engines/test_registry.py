from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from orchestune.domain.search.engines import LEARNERS, NAMES
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import Space
from orchestune.domain.specification.metrics import Limit, Metric
from orchestune.engines.process.parent import ProcessEngine
from orchestune.engines.registry import create
from orchestune.errors import BadInput

SPACE = Space.of((Parameter("x", "float", 0.0, 1.0), Parameter("n", "int", 1, 3)))
LOSS = Metric("loss", "minimize")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "grid"])
def test_an_engine_reports_the_name_it_was_asked_for(name: str) -> None:
    engine = create(name, SPACE, [LOSS], seed=1)
    assert engine.name == name
    assert engine.uses_history is (name in LEARNERS)
    engine.close()


@pytest.mark.parametrize("name", LEARNERS)
def test_what_learns_has_its_history_in_a_process_of_its_own(name: str) -> None:
    assert isinstance(create(name, SPACE, [LOSS], seed=1), ProcessEngine)


@pytest.mark.parametrize("name", LEARNERS)
def test_an_engine_has_the_same_version_in_its_process_and_beside_it(name: str) -> None:
    beside = create(name, SPACE, [LOSS], seed=1, in_process=True)
    assert create(name, SPACE, [LOSS], seed=1).version == beside.version
    assert len(beside.version) <= 64, "the column of the store"


def test_a_typo_in_the_name_is_answered_with_the_name_meant() -> None:
    with pytest.raises(BadInput, match=r"engine: unknown engine 'sobel' \(did you mean sobol\?\)"):
        create("sobel", SPACE, [LOSS], seed=1)


def test_a_name_like_no_other_is_answered_with_all_of_them() -> None:
    with pytest.raises(
        BadInput, match="allowed: auto, gp, tpe, cma, evolution, swarm, random, sobol, halton, latin, grid"
    ):
        create("xyzzy", SPACE, [LOSS], seed=1)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("tpe", {"startups": 3}, r"engine\.startups: unknown option of the engine 'tpe' \(did you mean startup\?\)"),
        ("tpe", {"startup": 0}, r"engine\.startup: 0 is not an integer of at least 1"),
        ("auto", {"history": True}, r"engine\.history: True is not an integer of at least 50"),
        ("tpe", {"candidates": 2.5}, r"engine\.candidates: 2\.5 is not an integer"),
        ("random", {"startup": 3}, r"unknown option of the engine 'random' \('random' has no options\)"),
    ],
)
def test_a_wrong_option_is_refused_where_the_engine_is_made(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        create(name, SPACE, [LOSS], seed=1, options=options)


def test_all_wrong_options_are_reported_together() -> None:
    with pytest.raises(BadInput) as caught:
        create("tpe", SPACE, [LOSS], seed=1, options={"startup": -1, "gamma": 3})
    assert [problem.key for problem in caught.value.problems] == ["engine.startup", "engine.gamma"]


@pytest.mark.parametrize("name", ["cma", "swarm"])
def test_an_engine_of_one_objective_refuses_several_and_takes_limits(name: str) -> None:
    size = Metric("size", "minimize")
    with pytest.raises(BadInput, match=f"'{name}' optimizes one metric, but 2 have a goal: loss, size") as caught:
        create(name, SPACE, [LOSS, size], seed=1)
    assert caught.value.problems[0].key == "engine" and "evolution" in caught.value.problems[0].hint
    limited = Metric("size", "minimize", limit=Limit(3.0, False), optimized=False)
    create(name, SPACE, [LOSS, limited], seed=1, in_process=True).close()


def test_a_grid_of_a_float_without_a_step_is_refused_by_the_name_of_the_parameter() -> None:
    with pytest.raises(BadInput, match="x: has no step") as caught:
        create("grid", SPACE, [LOSS], seed=1)
    assert "step" in caught.value.hint


@pytest.mark.parametrize("name", ["random", "grid", "tpe", "gp", "auto"])
def test_no_heavy_library_is_loaded_for_what_does_not_need_it(name: str) -> None:
    script = (
        "import sys\n"
        "from orchestune.domain.specification.metrics import Metric\n"
        "from orchestune.domain.search.parameters import Parameter\n"
        "from orchestune.domain.search.space import Space\n"
        "from orchestune.engines.registry import create\n"
        "space = Space.of((Parameter('n', 'int', 1, 9),))\n"
        f"engine = create({name!r}, space, [Metric('m', 'minimize')], seed=1)\n"
        "print(sorted({'numpy', 'scipy', 'optuna'} & set(sys.modules)))\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
