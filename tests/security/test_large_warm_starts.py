"""Results of a warm start are mapped in a time that grows with their size alone, in the request and at each open."""

from __future__ import annotations

import time
from typing import Any

import pytest

from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import Space
from orchestune.domain.search.warm_start import mapped
from orchestune.domain.specification.metrics import Metric
from orchestune.errors import BadInput
from orchestune.services.commands import create_experiment
from tests.contract.world import CoreWorld

LOSS = [Metric("loss", "minimize")]
MOST_SECONDS = 5.0


def seconds(space: Space, results: list[dict[str, Any]]) -> float:
    start = time.process_time()
    assert len(mapped("a table", results, space, LOSS).observations) == len(results)
    return time.process_time() - start


def test_results_with_many_parameters_are_mapped_in_linear_time() -> None:
    names = [f"p{number}" for number in range(1000)]
    space = Space.of(tuple(Parameter(name, "float", 0.0, 1.0) for name in names))
    results = [{"parameters": dict.fromkeys(names, 0.5), "metrics": {"loss": 1.0}} for _ in range(40)]
    assert seconds(space, results) < MOST_SECONDS


def test_results_with_many_choices_are_mapped_in_linear_time() -> None:
    names = [f"p{number}" for number in range(100)]
    space = Space.of(tuple(Parameter(name, "categorical", choices=tuple(range(1000))) for name in names))
    results = [{"parameters": dict.fromkeys(names, 999), "metrics": {"loss": 1.0}} for _ in range(300)]
    assert seconds(space, results) < MOST_SECONDS


@pytest.mark.parametrize(
    ("choices", "value", "expected"),
    [
        ((1, True, "1"), True, True),
        ((1, True, "1"), 1.0, 1),
        ((1, True, "1"), "1", "1"),
        ((True, 1), "1", 1),
        ((True, False), " Yes ", True),
        (("1", 1), "1.0", 1),
        ((0.5, "0.5"), "0.50", 0.5),
        (("a", "b"), ["a"], None),
        (("['a']", "b"), ["a"], "['a']"),
        ((2, 3), "nan", None),
    ],
)
def test_a_text_denotes_the_first_choice_that_it_can_mean(choices: tuple[Any, ...], value: Any, expected: Any) -> None:
    space = Space.of((Parameter("x", "categorical", choices=choices),))
    observations = mapped("a table", [{"parameters": {"x": value}, "metrics": {"loss": 1}}], space, LOSS).observations
    assert [(type(each.parameters["x"]), each.parameters["x"]) for each in observations] == (
        [] if expected is None else [(type(expected), expected)]
    )


def results(count: int, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"parameters": parameters, "metrics": {"loss": {"value": 1.0}}}] * count


def test_names_that_are_no_parameters_are_looked_up_at_once() -> None:
    """Each was compared with the spellings of each parameter: a second for one result of a thousand names."""
    space = Space.from_json([{"name": f"p{n}", "type": "float", "min": 0.0, "max": 1.0} for n in range(500)])
    unknown = {f"unknown{n}": 0 for n in range(900)}
    began = time.process_time()
    warm = mapped("a table", results(50, {"p0": 0.5, **unknown}), space, LOSS)
    assert time.process_time() - began < 10
    assert len(warm.observations) == 50 and "unknown0" in warm.notes[0]


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (1, 1),
        (True, True),
        ("1", "1"),
        ("1.0", 1),
        (" yes ", True),
        ("b", "b"),
        (2.0, 2),
        ("2", 2),
        (None, None),
        ("c", None),
    ],
)
def test_a_choice_is_found_by_its_value_or_its_text(raw: object, value: object) -> None:
    space = Space.from_json(
        [
            {"name": "x", "type": "choice", "choices": [True, "b", "1", 1, 2]},
            {"name": "y", "type": "int", "min": 0, "max": 9},
        ]
    )
    observations = mapped("a table", results(1, {"x": raw, "y": 1}), space, LOSS).observations
    parameters = observations[0].parameters if observations else {}
    assert parameters.get("x") == value and type(parameters.get("x")) is type(value)


def test_more_results_than_are_mapped_within_seconds_are_refused(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(create_experiment, "MAX_COMPARISONS", 100)
    documents = results(3, {"x": 0.5})
    world.create(warm_start={"source": "a table", "results": documents})
    with pytest.raises(BadInput, match=r"has 300 results.*expected at most 4"):
        world.create(warm_start={"source": "a table", "results": documents * 100})
