from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

import pytest

from orchestune.domain.search.constraints import Constraint
from orchestune.domain.search.parameters import Parameter, Value
from orchestune.domain.search.space import Space
from orchestune.engines.samplers import grid
from orchestune.engines.samplers.grid import GridEngine
from orchestune.errors import OrchestuneError, SpaceExhausted
from orchestune.ports.engine import Exhausted, StillLooking
from orchestune.sdk.optimizer import Optimizer
from tests.contract.engine_contract import observe

SPACE = Space.of((Parameter("a", "categorical", choices=("x", "y")), Parameter("b", "int", 1, 3)))


def test_the_grid_is_walked_with_the_last_parameter_fastest() -> None:
    engine = GridEngine(SPACE)
    suggestions: list[dict[str, Value]] = []
    for number in range(1, 7):
        suggestions.append(engine.ask(suggestions, number, 0))
    assert [(c["a"], c["b"]) for c in suggestions] == [("x", 1), ("x", 2), ("x", 3), ("y", 1), ("y", 2), ("y", 3)]
    with pytest.raises(Exhausted):
        engine.ask(suggestions, 7, 0)


def test_a_point_that_a_user_queued_is_passed_over_and_its_number_costs_no_point() -> None:
    engine = GridEngine(SPACE)
    engine.tell([observe(1, {"b": 1, "a": "x"}), observe(2, {"a": "y", "b": 2})])
    assert engine.ask([], 3, 0) == {"a": "x", "b": 2}
    assert engine.ask([{"a": "x", "b": 2}], 4, 0) == {"a": "x", "b": 3}


def test_a_point_whose_trial_was_cancelled_comes_first_again() -> None:
    engine = GridEngine(SPACE)
    first = engine.ask([], 1, 0)
    second = engine.ask([first], 2, 0)
    engine.tell([observe(2, second)])
    assert engine.ask([], 3, 0) == first


def test_a_parameter_with_far_too_many_values_to_list_is_walked_one_by_one() -> None:
    space = Space.of(
        (Parameter("n", "int", 0, 2**53, step=2), Parameter("x", "float", 0.0, 1.0, step=1e-12)), ["x + n >= 2e-12"]
    )
    suggestions: list[dict[str, Value]] = []
    engine = GridEngine(space)
    for number in range(1, 4):
        suggestions.append(engine.ask(suggestions, number, 0))
    assert suggestions == [{"n": 0, "x": 2e-12}, {"n": 0, "x": 3e-12}, {"n": 0, "x": 4e-12}]


def test_a_grid_far_too_large_to_list_starts_at_once() -> None:
    space = Space.of(tuple(Parameter(f"c{n}", "categorical", choices=tuple(range(10))) for n in range(30)))
    engine = GridEngine(space)
    assert [dict(c) for c in islice(space.walk(), 1)] == [engine.ask([], 1, 0)]


def digits(count: int, *constraints: str) -> Space:
    return Space.of(tuple(Parameter(f"d{place}", "int", 0, 9) for place in range(count)), constraints)


def test_what_a_constraint_does_not_allow_of_the_first_parameters_is_not_walked_through() -> None:
    """A billion configurations, of which most begin with what is not allowed."""
    engine = GridEngine(digits(9, "d0 + d1 >= 17", "d2 * d3 >= 72"))
    configuration = engine.ask([], 1, 0)
    assert list(configuration.values()) == [8, 9, 8, 9, 0, 0, 0, 0, 0]


def test_where_the_next_configuration_is_far_away_it_is_looked_for_in_turns() -> None:
    engine = GridEngine(digits(5, "d0 + d1 + d2 + d3 + d4 >= 44"))
    turns, configuration = 0, dict[str, Value]()
    while not configuration:
        try:
            configuration = engine.ask([], 1, 0)
        except StillLooking:
            turns += 1
    assert turns > 10
    assert list(configuration.values()) == [8, 9, 9, 9, 9]


def test_a_search_without_end_is_given_up_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "MAX_STEPS", 10_000)
    engine = GridEngine(digits(9, "d0 + d1 + d2 + d3 + d4 + d5 + d6 + d7 + d8 >= 81"))
    for _ in range(5):
        with pytest.raises(StillLooking):
            engine.ask([], 1, 0)
    with pytest.raises(OrchestuneError, match="no further configuration allowed by the constraints in 10,000 steps"):
        engine.ask([], 1, 0)


def test_a_walk_that_was_interrupted_is_not_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    optimizer = Optimizer({"a": "1..9", "b": "1..9"}, {"loss": "minimize"}, engine="grid", constraints="a + b >= 17")
    holds = Constraint.holds

    def interrupted(self: Constraint, configuration: Mapping[str, Any]) -> bool:
        if configuration == {"a": 5, "b": 3}:
            raise KeyboardInterrupt
        return holds(self, configuration)

    with monkeypatch.context() as patch:
        patch.setattr(Constraint, "holds", interrupted)
        with pytest.raises(KeyboardInterrupt):
            optimizer.ask()
    suggestions = []
    for _ in range(3):
        suggestions.append(optimizer.ask())
        optimizer.tell(suggestions[-1], {"loss": 0.5})
    assert [tuple(each.parameters.values()) for each in suggestions] == [(8, 9), (9, 8), (9, 9)]
    with pytest.raises(SpaceExhausted):
        optimizer.ask()


def test_an_optimizer_waits_for_what_is_far_away() -> None:
    parameters = {f"d{place}": "0..9" for place in range(4)}
    optimizer = Optimizer(parameters, {"y": "maximize"}, engine="grid", constraints="d0 + d1 + d2 + d3 >= 36")
    assert list(optimizer.ask().parameters.values()) == [9, 9, 9, 9]
