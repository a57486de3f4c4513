"""The promises of each `orchestune.ports.engine.Engine`. A test class inherits `EngineContract`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.parameters import Parameter, Value
from orchestune.domain.search.priors import Prior
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.search.trial import Observation, ask_seed
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.samplers.uniform import draw
from orchestune.errors import BadInput
from orchestune.ports.engine import Engine, Exhausted
from tests.contract.spaces import spaces

LOSS = Metric("loss", "minimize")
SPEED = Metric("speed", "maximize")

FAILED = TrialState.FAILED

FINITE = Space.of(
    (
        Parameter("optimizer", "categorical", choices=("sgd", "adam", "none")),
        Parameter("momentum", "float", 0.1, 0.3, step=0.1, when=(("optimizer", ("sgd",)),)),
        Parameter("amsgrad", "bool", choices=(False, True), when=(("optimizer", ("adam",)),)),
        Parameter("layers", "int", 1, 4, log=True),
        Parameter("mixed", "categorical", choices=(1, True)),
    )
)
FINITE_SIZE = (3 + 2 + 1) * 4 * 2
MIXED = Space.of(
    (
        Parameter("method", "categorical", choices=("plain", "tuned")),
        Parameter("depth", "int", 1, 2, when=(("method", ("plain",)),)),
        Parameter("rate", "float", 1e-6, 1.0, log=True, when=(("method", ("tuned",)),)),
    )
)
_thorough = settings(
    deadline=None, derandomize=True, max_examples=20, suppress_health_check=list(HealthCheck), database=None
)


def observe(
    number: int, parameters: Configuration, loss: float | None = None, state: TrialState | None = None
) -> Observation:
    """A completed trial with both metrics, or with the `state` given and none."""
    if state is not None:
        return Observation(number, parameters, state)
    value = Random(number).random() if loss is None else loss
    return Observation(number, parameters, TrialState.COMPLETED, {"loss": value, "speed": -value / 2})


class EngineContract:
    """Override `make`; `walks_only` for an engine that takes finite spaces alone."""

    walks_only = False
    several_goals = True
    """whether it optimizes several metrics; others are refused by the registry's tests"""

    def make(self, space: Space, metrics: Sequence[Metric] = (LOSS,)) -> Engine:
        """A new engine, which learns from few observations where it learns at all."""
        raise NotImplementedError

    def search(
        self,
        engine: Engine,
        count: int,
        parallel: int = 2,
        outcome: Callable[[int, Configuration], Observation] = observe,
    ) -> list[dict[str, Value]]:
        """Ask `count` times with up to `parallel - 1` others pending, telling the oldest."""
        suggestions: list[dict[str, Value]] = []
        for number in range(1, count + 1):
            observed_count = max(0, number - parallel)
            if observed_count:
                engine.tell([outcome(observed_count, suggestions[observed_count - 1])])
            suggestions.append(engine.ask(suggestions[observed_count:], number, ask_seed(11, number)))
        return suggestions

    def check_inside(self, space: Space, configurations: Sequence[Configuration]) -> None:
        for configuration in configurations:
            assert space.configuration_problems(configuration) == []

    def test_each_suggestion_is_a_point_of_the_space(self) -> None:
        @_thorough
        @given(spaces(finite=self.walks_only))
        def check(space: Space) -> None:
            engine = self.make(space)
            try:
                suggestions = self.search(engine, int(min(12, space.size())), parallel=3)
            finally:
                engine.close()
            self.check_inside(space, suggestions)
            assert len({repr(sorted(configuration.items())) for configuration in suggestions}) == len(suggestions)

        check()

    def test_a_finite_space_is_suggested_once_and_then_exhausted(self) -> None:
        @_thorough
        @given(spaces(finite=True, most=3))
        def check(space: Space) -> None:
            engine = self.make(space)
            try:
                if space.size() <= 60:
                    suggestions = self.search(engine, int(space.size()))
                    self.check_inside(space, suggestions)
                    with pytest.raises(Exhausted):
                        engine.ask(suggestions[-2:], len(suggestions) + 1, 5)
            finally:
                engine.close()

        check()

    def test_conditions_and_look_alikes_do_not_hide_a_point(self) -> None:
        engine = self.make(FINITE)
        suggestions = self.search(engine, FINITE_SIZE, parallel=4)
        self.check_inside(FINITE, suggestions)
        assert len({repr(sorted(configuration.items())) for configuration in suggestions}) == FINITE_SIZE
        with pytest.raises(Exhausted):
            engine.ask(suggestions[-4:], FINITE_SIZE + 1, 5)
        engine.close()

    def test_what_is_pending_exhausts_a_space_until_it_is_given_up(self) -> None:
        space = Space.of((Parameter("a", "categorical", choices=("x", "y", "z")),))
        engine = self.make(space)
        pending: list[Configuration] = []
        for number in (1, 2, 3):
            pending.append(engine.ask(pending, number, number))
        with pytest.raises(Exhausted):
            engine.ask(pending, 4, 4)
        given_up = pending.pop(1)
        assert engine.ask(pending, 5, 5) == given_up
        engine.close()

    def test_a_value_that_a_user_spelled_otherwise_is_not_suggested_again(self) -> None:
        space = Space.of((Parameter("steps", "float", 0.0, 0.3, step=0.1), Parameter("n", "int", 1, 2)))
        engine = self.make(space)
        engine.tell([observe(1, {"steps": 0, "n": 1.0}), observe(2, {"n": 1, "steps": 0.3})])
        pending: list[Configuration] = [{"steps": 0.1, "n": 1}, {"n": 1, "steps": 0.2}]
        suggestions: list[Configuration] = []
        for number in range(3, 7):
            suggestions.append(engine.ask([*pending, *suggestions], number, number))
        assert [configuration["n"] for configuration in suggestions] == [2] * 4
        with pytest.raises(Exhausted):
            engine.ask([*pending, *suggestions], 7, 7)
        engine.close()

    def test_a_branch_without_floats_is_not_repeated(self) -> None:
        if self.walks_only:
            return
        engine = self.make(MIXED)
        suggestions = self.search(
            engine, 40, outcome=lambda n, c: observe(n, c, 0.0 if c["method"] == "plain" else 1.0)
        )
        self.check_inside(MIXED, suggestions)
        assert len({repr(configuration) for configuration in suggestions}) == 40
        engine.close()

    def test_an_engine_that_is_built_again_answers_the_same(self) -> None:
        for space in (FINITE,) if self.walks_only else (FINITE, MIXED, wide(4)):
            self.check_same_answers(space)

    def check_same_answers(self, space: Space) -> None:
        first, number = self.make(space), 0
        observations: list[Observation] = []
        pending: list[Configuration] = []
        for number in range(1, 40):
            answer = first.ask(pending, number, ask_seed(3, number))
            assert first.ask(list(pending), number, ask_seed(3, number)) == answer, "asking changes nothing"
            if number % 6 == 0:
                again = self.make(space)
                again.tell(observations)
                assert repr(again.ask(pending, number, ask_seed(3, number))) == repr(answer)
                again.close()
            pending.append(answer)
            if len(pending) == 3:
                observations.append(observe(number - 2, pending.pop(0)))
                first.tell(observations[-1:])
        first.close()

    @pytest.mark.parametrize("state", [TrialState.FAILED, TrialState.PRUNED, TrialState.CANCELLED])
    def test_a_history_without_a_result_is_no_reason_to_stop(self, state: TrialState) -> None:
        engine = self.make(FINITE)
        self.check_inside(FINITE, self.search(engine, 20, outcome=lambda n, c: observe(n, c, state=state)))
        engine.close()

    def test_a_search_that_finds_nothing_better_for_long_goes_on(self) -> None:
        if self.walks_only:
            return
        space = Space.of((*MIXED.parameters, *wide(2).parameters), ["x0 + x1 <= 1.5"])
        first, again = self.make(space), self.make(space)

        def outcome(number: int, configuration: Configuration) -> Observation:
            state = FAILED if number % 7 == 0 else None
            return observe(number, configuration, 0.5 if number % 9 == 0 else number % 3 + 1.0, state)

        drawn = [draw(space, Random(number)) for number in range(1, 70)]
        observations = [outcome(number, configuration) for number, configuration in enumerate(drawn, 1)]
        for observation in observations:
            first.tell([observation])
        for number in range(70, 80):
            answer = first.ask(drawn[:2], number, ask_seed(3, number))
            self.check_inside(space, [answer])
            observations.append(outcome(number, answer))
            first.tell(observations[-1:])
        again.tell(observations)
        for number in range(80, 84):
            answers = [engine.ask([], number, ask_seed(3, number)) for engine in (first, again)]
            assert repr(answers[0]) == repr(answers[1])
        first.close()
        again.close()

    @pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf, 1e308, -1e308, 0.0])
    def test_a_metric_may_have_any_value(self, loss: float) -> None:
        def outcome(number: int, configuration: Configuration) -> Observation:
            return observe(number, configuration, loss if number % 2 else -loss)

        engine = self.make(FINITE, (LOSS, SPEED) if self.several_goals else (LOSS,))
        self.check_inside(FINITE, self.search(engine, 20, outcome=outcome))
        engine.close()

    def test_a_metric_may_be_missing(self) -> None:
        engine = self.make(FINITE)
        self.search(engine, 12, outcome=lambda n, c: Observation(n, c, TrialState.COMPLETED, {"other": 1.0}))
        engine.close()

    def test_observations_of_another_space_do_no_harm(self) -> None:
        engine = self.make(FINITE)
        strange: list[dict[str, Value]] = [{"gone": 1.0}, {"layers": 99, "optimizer": "lion"}, {"layers": "many"}, {}]
        engine.tell([observe(number, strange[number % 4]) for number in range(1, 30)])
        self.check_inside(FINITE, [engine.ask([{"gone": 2}], 30, 1)])
        engine.close()

    def test_nothing_is_suggested_that_the_constraints_do_not_allow(self) -> None:
        texts = ["layers * 2 + (5 if mixed == 1 else 0) <= 8", "momentum > 0.15 or layers > 3", "optimizer != 'none'"]
        space = Space.of(FINITE.parameters, texts)
        engine = self.make(space)
        suggestions = self.search(engine, int(space.size()))
        self.check_inside(space, suggestions)
        assert 0 < space.size() < FINITE_SIZE
        assert len({repr(sorted(configuration.items())) for configuration in suggestions}) == space.size()
        with pytest.raises(Exhausted):
            engine.ask(suggestions[-2:], FINITE_SIZE + 1, 5)
        engine.close()

    def test_a_thin_part_of_a_wide_space_is_searched(self) -> None:
        if self.walks_only:
            return
        space = Space.of(wide(6).parameters, ["x0 + x1 <= 0.01", "x2 < x3 < x4", "abs(x5 - x0) < 0.001"])
        engine = self.make(space)
        suggestions = self.search(engine, 14, parallel=3)
        self.check_inside(space, suggestions)
        assert len({repr(configuration) for configuration in suggestions}) == 14
        engine.close()

    def test_a_thin_part_behind_a_condition_is_searched_when_all_else_was_tried(self) -> None:
        if self.walks_only:
            return
        behind = [Parameter(name, "float", 0.0, 1.0, when=(("layers", (3,)),)) for name in ("x", "y")]
        space = Space.of((Parameter("layers", "int", 1, 20), *behind), ["x + y <= 0.1"])
        engine = self.make(space)
        suggestions = self.search(engine, 60)
        self.check_inside(space, suggestions)
        assert len({repr(configuration) for configuration in suggestions}) == 60
        engine.close()

    def test_a_space_in_which_nothing_is_allowed_is_refused_with_the_reason(self) -> None:
        with pytest.raises(
            BadInput, match=r"constraints: no configuration satisfies .*layers > 9.*satisfies `layers > 9`"
        ):
            self.make(Space.of(FINITE.parameters, ["layers > 9", "layers > 1"]))
        if not self.walks_only:
            with pytest.raises(
                BadInput, match=r"each of them is satisfiable, but none of 3000 configurations satisfies"
            ):
                self.make(Space.of(wide(2).parameters, ["x0 + x1 < 0.5", "x0 > 0.3", "x1 > 0.3"]))

    def test_a_warm_start_is_history_and_keeps_nothing_from_being_suggested(self) -> None:
        space = Space.of((Parameter("n", "int", 1, 3), Parameter("c", "categorical", choices=("x", "y"))))
        engine = self.make(space)
        results = [Observation(0, point, TrialState.COMPLETED, {"loss": 1.0 * point["n"]}) for point in space.walk()]  # type: ignore[operator]
        partial = [Observation(0, {"n": 2}, TrialState.COMPLETED, {"loss": 0.5}), Observation(0, {"c": "x"}, FAILED)]
        engine.tell([*results, *partial])
        self.check_inside(space, suggestions := self.search(engine, 6))
        assert len({repr(sorted(configuration.items())) for configuration in suggestions}) == 6
        with pytest.raises(Exhausted):
            engine.ask(suggestions[-2:], 7, 7)
        engine.close()

    @pytest.mark.parametrize("mean", [None, 0.3])
    def test_what_a_search_of_the_same_seed_has_measured_is_not_what_a_warm_start_begins_with(
        self, mean: float | None
    ) -> None:
        """The best of it may come again, where a model says so; the draws that a search begins with need not."""
        if self.walks_only:
            return
        prior = None if mean is None else Prior("normal", (mean, 0.2))
        space = Space.of(tuple(Parameter(name, "float", 0.0, 1.0, prior=prior) for name in "xy"))
        before = self.make(space)
        [suggestion] = self.search(before, 1)
        engine = self.make(space)
        engine.tell([observe(0, suggestion)])
        suggestions = self.search(engine, 3)
        assert (suggestion in suggestions) is not engine.uses_history
        before.close()
        engine.close()

    def test_one_point_is_suggested_once(self) -> None:
        for space in (Space.of((Parameter("only", "categorical", choices=("x",)),)), Space.of(())):
            engine = self.make(space)
            engine.tell([observe(1, engine.ask([], 1, 1))])
            with pytest.raises(Exhausted):
                engine.ask([], 2, 2)
            engine.close()

    def test_a_parameter_of_one_value_stands_beside_others(self) -> None:
        space = Space.of((Parameter("only", "categorical", choices=("x",)), Parameter("n", "int", 0, 50)))
        engine = self.make(space)
        self.check_inside(space, self.search(engine, 15))
        engine.close()

    def test_two_hundred_parameters_are_not_too_many(self) -> None:
        space = Space.of(tuple(Parameter(f"n{index}", "int", 0, 9) for index in range(200)))
        engine = self.make(space)
        self.check_inside(space, self.search(engine, 15))
        engine.close()

    def test_bounds_may_be_as_far_apart_as_floats_are(self) -> None:
        if self.walks_only:
            return
        space = Space.of(
            (
                Parameter("log", "float", 1e-300, 1e300, log=True),
                Parameter("line", "float", -1.7e308, 1.7e308),
                Parameter("narrow", "float", 1.0, 1.0 + 1e-15),
                Parameter("tiny", "float", 5e-324, 1e-323, log=True),
                Parameter("many", "int", 1, 10**18, log=True),
                Parameter("most", "int", -(10**18), 10**18),
                Parameter("fine", "float", 1e-9, 1e9, log=True, step=1e-9),
            )
        )
        engine = self.make(space)
        self.check_inside(space, self.search(engine, 25))
        engine.close()

    def test_numbers_may_be_asked_in_any_order_and_with_gaps(self) -> None:
        engine = self.make(FINITE)
        suggestions: list[Configuration] = []
        for number in (9, 2, 700, 3, 1, 40):
            suggestions.append(engine.ask(suggestions, number, ask_seed(1, number)))
        self.check_inside(FINITE, suggestions)
        engine.close()

    def test_an_engine_says_what_it_is_and_closes_twice(self) -> None:
        engine = self.make(FINITE)
        assert engine.name
        assert engine.version
        assert isinstance(engine.uses_history, bool)
        engine.close()
        engine.close()


def wide(count: int) -> Space:
    """A flat space of `count` floats between 0 and 1."""
    return Space.of(tuple(Parameter(f"x{index}", "float", 0.0, 1.0) for index in range(count)))
