"""The results of a warm start are mapped in seconds, in the request and whenever the engine is opened."""

from __future__ import annotations

import time
from typing import Any

import pytest

from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import Space
from orchestune.domain.search.warm_start import mapped
from orchestune.domain.specification.metrics import Metric

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
