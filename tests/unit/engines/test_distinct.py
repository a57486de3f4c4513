from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

import pytest

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.parameters import Parameter, Value
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.search.trial import Observation, ask_seed
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.constraints import deduplication
from orchestune.engines.constraints.deduplication import DistinctEngine
from orchestune.engines.registry import create
from orchestune.ports.engine import Engine, Exhausted, StillLooking
from tests.contract.engine_contract import MIXED, observe


class Stubborn:
    """Proposes the same configuration for ever, and counts how often it was asked."""

    name = source = "stubborn"
    version = "1"
    uses_history = True
    tries = 3

    def __init__(self, configuration: dict[str, Value]) -> None:
        self.configuration = configuration
        self.seeds: list[int] = []

    def tell(self, observations: Sequence[Observation]) -> None:
        pass

    def propose(self, pending: Sequence[Configuration], number: int, seed: int) -> dict[str, Value]:
        self.seeds.append(seed)
        return dict(self.configuration)


def observations(configuration: Configuration) -> list[Observation]:
    return [Observation(1, configuration, TrialState.FAILED)]


def test_a_new_proposal_is_taken_at_once_with_the_seed_of_the_ask() -> None:
    proposer = Stubborn({"method": "plain", "depth": 1})
    assert DistinctEngine(MIXED, proposer).ask([], 1, 5) == {"method": "plain", "depth": 1}
    assert proposer.seeds == [5]


def test_a_known_proposal_is_asked_for_again_with_other_seeds_a_few_times_and_then_replaced() -> None:
    proposer = Stubborn({"method": "plain", "depth": 1})
    engine = DistinctEngine(MIXED, proposer)
    engine.tell(observations({"method": "plain", "depth": 1}))
    answer = engine.ask([], 2, 5)
    assert answer != proposer.configuration
    assert MIXED.configuration_problems(answer) == []
    assert len(set(proposer.seeds)) == 3


def test_the_last_points_of_a_large_finite_space_are_found() -> None:
    space = Space.of((Parameter("a", "int", 0, 99), Parameter("b", "int", 0, 199)))
    engine = DistinctEngine(space, Stubborn({"a": 0, "b": 0}))
    remaining = [{"a": 3, "b": 4}, {"a": 98, "b": 198}]
    engine.tell([Observation(n, c, TrialState.FAILED) for n, c in enumerate(space.walk(), 1) if c not in remaining])
    first = engine.ask([], 20_000, 1)
    second = engine.ask([first], 20_001, 2)
    assert sorted([first, second], key=repr) == remaining
    with pytest.raises(Exhausted, match="each of the 20000 configurations"):
        engine.ask([first, second], 20_002, 3)


def behind(depth: int, last: Parameter) -> Space:
    """A parameter that applies where so many switches are on, of which each applies where the one before is."""
    switches = [
        Parameter(f"s{n}", "bool", choices=(False, True), when=((f"s{n - 1}", (True,)),) if n else ())
        for n in range(depth)
    ]
    return Space.of((*switches, replace(last, when=((f"s{depth - 1}", (True,)),))))


def test_a_float_behind_many_conditions_is_found_when_all_else_was_tried() -> None:
    depth = 12
    space = behind(depth, Parameter("x", "float", 0.0, 1.0))
    engine = DistinctEngine(space, Stubborn({"s0": False}))
    finite: list[Configuration] = [
        {**{f"s{n}": True for n in range(length)}, f"s{length}": False} for length in range(depth)
    ]
    engine.tell([Observation(n, configuration, TrialState.FAILED) for n, configuration in enumerate(finite, 1)])
    answers = [engine.ask([], number, number) for number in range(20)]
    assert all("x" in answer for answer in answers)
    assert len({answer["x"] for answer in answers}) == 20


def test_of_branches_with_floats_those_are_searched_in_which_something_is_allowed() -> None:
    method = Parameter("method", "categorical", choices=(1, True, "plain"))
    x, y = (Parameter(name, "float", 0.0, 1.0, when=(("method", (value,)),)) for name, value in (("x", 1), ("y", True)))
    engine = DistinctEngine(Space.of((method, x, y), ["x > 1", "y < 1e-3"]), Stubborn({"method": "plain"}))
    for number in range(1, 30):
        answer = engine.ask([], number, number)
        assert number == 1 or answer["method"] is True
        engine.tell([observe(number, answer)])


def test_an_endless_branch_in_which_nothing_is_allowed_is_no_reason_to_go_on() -> None:
    space = Space.of((Parameter("n", "int", 1, 3), Parameter("x", "float", 0.0, 1.0, when=(("n", (2,)),))), ["x > 1"])
    engine = DistinctEngine(space, Stubborn({"n": 1}))
    engine.tell([observe(number, {"n": number}) for number in (1, 3)])
    with pytest.raises(Exhausted, match="no new configuration found"):
        engine.ask([], 3, 3)


def test_an_interval_of_two_floats_ends_instead_of_going_on_for_ever() -> None:
    space = Space.of((Parameter("x", "float", 1.0, 1.0000000000000002),))
    engine = DistinctEngine(space, Stubborn({"x": 1.0}))
    engine.tell(observations({"x": 1.0}))
    engine.tell(observations(engine.ask([], 2, 2)))
    with pytest.raises(Exhausted):
        engine.ask([], 3, 3)


def test_true_is_new_while_one_runs() -> None:
    space = Space.of((Parameter("a", "categorical", choices=(1, True, 2)), Parameter("n", "int", 0, 2**40)))
    proposer = Stubborn({"a": True, "n": 3})
    assert repr(DistinctEngine(space, proposer).ask([{"a": 1, "n": 3}], 2, 5)) == repr({"a": True, "n": 3})
    assert len(proposer.seeds) == 1


def patiently(engine: Engine, pending: Sequence[Configuration], number: int) -> dict[str, Value]:
    while True:
        try:
            return engine.ask(pending, number, ask_seed(7, number))
        except StillLooking:
            continue


DIVISORS = Space.of((Parameter("a", "int", 1, 400), Parameter("b", "int", 1, 400))).constrained(["a * b == 400"])
"""15 of 160,000 configurations are allowed"""


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_the_few_that_constraints_allow_of_many_are_all_found_before_the_end(name: str) -> None:
    with closing(create(name, DIVISORS, [Metric("loss", "minimize")], seed=1)) as engine:
        suggestions: list[Configuration] = []
        for number in range(1, 16):
            suggestions.append(patiently(engine, [], number))
            engine.tell([observe(number, suggestions[-1])])
        assert sorted(configuration["a"] for configuration in suggestions) == [n for n in range(1, 401) if 400 % n == 0]
        with pytest.raises(Exhausted, match="each configuration that the constraints allow has been suggested once"):
            patiently(engine, [], 16)


def test_what_constraints_allow_far_from_each_other_in_a_large_space_is_found_without_a_walk() -> None:
    a, b = (Parameter(name, "int", 1, 1_000_000) for name in "ab")
    engine = DistinctEngine(Space.of((a, b), ["a % b == 0", "b >= 1000"]), Stubborn({"a": 1000, "b": 1000}))
    values: set[Value] = set()
    for number in range(1, 8):
        answer = engine.ask([], number, number)
        engine.tell([observe(number, answer)])
        values.add(answer["a"])
    assert len(values) > 4


def test_an_engine_that_is_made_again_answers_the_same_where_it_has_to_look_for_long() -> None:
    first = DistinctEngine(DIVISORS, Stubborn({"a": 1, "b": 400}))
    suggestions = [patiently(first, [], 1)]
    for number in range(2, 13):
        first.tell([observe(number - 1, suggestions[-1])])
        suggestions.append(patiently(first, [], number))
    again = DistinctEngine(DIVISORS, Stubborn({"a": 1, "b": 400}))
    again.tell([observe(number, configuration) for number, configuration in enumerate(suggestions[:-1], 1)])
    assert patiently(again, [], 12) == suggestions[-1]


def test_a_wide_parameter_behind_many_conditions_is_found_when_all_else_was_tried() -> None:
    engine = DistinctEngine(behind(10, Parameter("x", "int", 1, 10_000_000)), Stubborn({"s0": False}))
    for number in range(1, 41):
        engine.tell([observe(number, patiently(engine, [], number))])


def test_a_walk_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deduplication, "MAX_STEPS", 10_000)
    space = Space.of((Parameter("a", "int", 1, 10_000), Parameter("b", "int", 1, 10_000))).constrained(["a * b == 1"])
    engine = DistinctEngine(space, Stubborn({"a": 1, "b": 1}))
    engine.tell(observations({"a": 1, "b": 1}))
    with pytest.raises(Exhausted, match="no new configuration found"):
        patiently(engine, [], 2)
