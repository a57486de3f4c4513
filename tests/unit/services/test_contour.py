"""A metric over two parameters, as pages and notebooks draw it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter

from orchestune import documents
from orchestune.errors import BadInput, UsageError
from orchestune.services.core import Core
from orchestune.services.queries.read_contour import contour
from tests.testbeds.seed import Plan, Writer, core_of

SPACE = (
    {"name": "rate", "type": "float", "min": 1e-4, "max": 1.0, "log": True},
    {"name": "width", "type": "float", "min": 0.0, "max": 10.0},
    {"name": "layers", "type": "int", "min": 1, "max": 4},
    {"name": "kind", "type": "categorical", "choices": ["a", "b"]},
    {"name": "extra", "type": "float", "min": 0.0, "max": 1.0, "when": {"kind": ["b"]}},
)


@pytest.fixture
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    core = core_of(tmp_path_factory.mktemp("contours"))
    yield core
    core.store.close()


def written(core: Core, value: Callable[[Any], float], trials: int, failed: int = 0) -> str:
    """The handle of an experiment of so many trials, the first of which failed."""
    count = iter(range(trials))

    def outcome(parameters: Any, chance: object) -> tuple[str, dict[str, float], None]:
        return ("failed", {}, None) if next(count) < failed else ("completed", {"loss": value(parameters)}, None)

    plan = Plan("contours", SPACE, [{"name": "loss", "goal": "minimize"}], outcome, trials, trials)
    return Writer(core.store, plan, random.Random(3)).write()


def test_it_follows_the_metric_and_says_of_how_many_trials_it_is_made(core: Core) -> None:
    ref = written(core, lambda configuration: configuration["width"], 400, failed=10)
    grid = contour(core, ref, "rate", "width", None)
    TypeAdapter(documents.Contour).validate_python(grid)
    assert (grid["metric"], grid["x"], grid["y"], grid["trials"]) == ("loss", "rate", "width", 390)
    lowest, *_, highest = grid["across"]  # equal steps of the logarithm
    assert isinstance(lowest, float) and isinstance(highest, float) and lowest < 2e-4 and highest > 0.5
    middle = [row[len(row) // 2] for row in grid["values"]]
    for width, value in list(zip(grid["up"], middle, strict=True))[8:-8]:  # at the edges it leans inwards
        assert value == pytest.approx(width, abs=1.2)


def test_where_no_trial_is_near_nothing_is_told(core: Core) -> None:
    grid = contour(core, written(core, lambda configuration: 1.0, 2), "rate", "width", "loss")
    values_near = [value for row in grid["values"] for value in row if value is not None]
    assert values_near and set(values_near) == {1.0}
    assert len(values_near) < 0.8 * len(grid["up"]) * len(grid["across"])


def test_few_values_and_words_have_a_cell_each(core: Core) -> None:
    ref = written(
        core, lambda configuration: configuration["layers"] + (10 if configuration["kind"] == "b" else 0), 300
    )
    grid = contour(core, ref, "layers", "kind", None)
    assert (grid["across"], grid["up"]) == ([1, 2, 3, 4], ["a", "b"])
    below, above = grid["values"]
    steps = [b - a for a, b in zip(below, above, strict=True) if a is not None and b is not None]
    assert steps == pytest.approx([10] * 4, abs=0.5)


def test_trials_without_the_parameter_do_not_count(core: Core) -> None:
    ref = written(core, lambda configuration: 2.0, 60)
    grid = contour(core, ref, "extra", "rate", None)
    assert 0 < grid["trials"] < 60


def test_one_value_that_diverged_hides_nothing(core: Core) -> None:
    values = iter([1e30, *([1.0, 2.0] * 100)])
    grid = contour(core, written(core, lambda configuration: next(values), 200), "rate", "width", None)
    assert max(value for row in grid["values"] for value in row if value is not None) < 10


def test_without_a_trial_it_is_empty(core: Core) -> None:
    grid = contour(core, written(core, lambda configuration: 1.0, 0), "kind", "layers", None)
    assert grid["trials"] == 0 and grid["values"] == [[None, None], [None, None], [None, None], [None, None]]


def test_what_is_not_there_is_said(core: Core) -> None:
    ref = written(core, lambda configuration: 1.0, 3)
    with pytest.raises(BadInput, match="unknown parameter: 'speed'"):
        contour(core, ref, "speed", "rate", None)
    with pytest.raises(UsageError, match="two different"):
        contour(core, ref, "rate", "rate", None)
    with pytest.raises(UsageError, match="has no metric 'f1'"):
        contour(core, ref, "rate", "width", "f1")


def test_values_of_diverged_trials_are_numbers_all_the_same(core: Core) -> None:
    grid = contour(
        core,
        written(core, lambda configuration: 1.5e308 * (0.5 + configuration["width"] / 20), 15),
        "rate",
        "width",
        None,
    )
    finite = [value for row in grid["values"] for value in row if value is not None]
    assert finite and all(7e307 < value < 1.6e308 for value in finite)
