"""A parameter that decides weighs more than those that do not, for any shape of the space."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.findings import MIN_TRIALS
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.search.trial import Observation
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.constraints.feasible import draw_allowed
from orchestune.engines.models.importance import importance
from orchestune.engines.process.analyses import importance as in_the_child
from orchestune.engines.process.parent import ChildHost

SPACE = Space.of(
    (
        Parameter("lr", "float", 1e-5, 1e-1, log=True),
        Parameter("noise", "float", 0.0, 1.0),
        Parameter("opt", "categorical", choices=("adam", "sgd")),
        Parameter("momentum", "float", 0.0, 1.0, when=(("opt", ("sgd",)),)),
    )
)
LOSS = Metric("loss", "minimize")


def history(count: int, sign: float = 1.0) -> list[Observation]:
    chance = random.Random(3)
    observations = []
    for number in range(1, count + 1):
        values = {parameter.name: parameter.from_unit(chance.random()) for parameter in SPACE.parameters}
        configuration: Configuration = SPACE.active(values)
        loss = sign * (math.log10(float(configuration["lr"])) + 3) ** 2 + sign * 0.01 * float(configuration["noise"])
        observations.append(Observation(number, configuration, TrialState.COMPLETED, {"loss": loss}))
    return observations


@pytest.mark.parametrize(("goal", "sign"), [("minimize", 1.0), ("maximize", -1.0)])
def test_what_decides_comes_first_and_all_together_are_one(goal: str, sign: float) -> None:
    shares = importance(SPACE, Metric("loss", goal), history(120, sign))  # type: ignore[arg-type]
    assert next(iter(shares)) == "lr"
    assert shares["lr"] > 0.7
    assert sum(shares.values()) == pytest.approx(1.0)


def test_conditional_parameters_are_weighed_too() -> None:
    trials = [
        Observation(item.number, item.parameters, item.state, {"loss": float(item.parameters.get("momentum", 1.0))})
        for item in history(200)
    ]
    shares = importance(SPACE, LOSS, trials)
    assert shares["momentum"] > shares["lr"] + shares["noise"]


@pytest.mark.parametrize("trials", [[], history(MIN_TRIALS - 1)], ids=["none", "few"])
def test_nothing_is_said_of_few_trials(trials: list[Observation]) -> None:
    assert importance(SPACE, LOSS, trials) == {}


def test_trials_that_failed_or_are_not_finite_or_equal_raise_nothing() -> None:
    odd = [
        Observation(item.number, item.parameters, state, {"loss": value})
        for item, state, value in zip(
            history(90),
            [TrialState.COMPLETED, TrialState.FAILED, TrialState.PRUNED] * 30,
            [1.0, math.nan, math.inf] * 30,
            strict=True,
        )
    ]
    assert importance(SPACE, LOSS, odd) == {}


@pytest.mark.parametrize("noise", [lambda chance: chance.gauss(0, 1), lambda chance: chance.lognormvariate(0, 2)])
@pytest.mark.parametrize("count", [12, 30, 60])
def test_chance_is_not_said_to_depend_on_anything(noise: Callable[[random.Random], float], count: int) -> None:
    chance = random.Random(11)
    trials = [
        Observation(item.number, item.parameters, item.state, {"loss": noise(chance)}, {"loss": chance.random() / 10})
        for item in history(count)
    ]
    assert importance(SPACE, LOSS, trials) == {}


def test_one_result_that_differs_from_thousands_is_chance() -> None:
    trials = [replace(item, metrics={"loss": float(item.number == 1500)}) for item in history(2000)]
    assert importance(SPACE, LOSS, trials) == {}


def test_what_decides_is_found_among_noise_as_large() -> None:
    chance = random.Random(11)
    trials = [
        Observation(item.number, item.parameters, item.state, {"loss": item.metrics["loss"] + chance.gauss(0, 1)})
        for item in history(60)
    ]
    assert next(iter(importance(SPACE, LOSS, trials))) == "lr"


def test_the_engines_own_process_answers_the_same() -> None:
    host = ChildHost()
    try:
        assert in_the_child(SPACE, LOSS, history(60), host) == importance(SPACE, LOSS, history(60))
    finally:
        host.close()


def test_what_a_search_has_learnt_well_still_counts_for_much() -> None:
    """Build a history in which nearly all trials are near the best `lr`; good ones differ only in other parameters."""
    chance = random.Random(5)
    trials = []
    for number in range(1, 101):
        spread = 2.0 if number <= 20 else 0.2
        lr = 10 ** min(-1.0, max(-5.0, -3 + chance.gauss(0, spread)))
        configuration: Configuration = {"lr": lr, "noise": chance.random(), "opt": "adam"}
        loss = (math.log10(lr) + 3) ** 2 + 0.2 * float(configuration["noise"])
        trials.append(Observation(number, configuration, TrialState.COMPLETED, {"loss": loss}))
    shares = importance(SPACE, LOSS, trials)
    assert shares["lr"] > 0.8, "its squared distance varies by 1.2 over the range, a fifth of the noise by 0.003"
    assert shares["momentum"] == 0, "no trial had it"


def constrained(*texts: str) -> Space:
    return Space.of(tuple(Parameter(name, "float", 0.0, 1.0) for name in "abc"), texts)


def random_trials(space: Space, loss: Callable[[Configuration], float], count: int = 100) -> list[Observation]:
    chance = random.Random(1)
    drawn = [draw_allowed(space, chance) for _ in range(count)]
    return [Observation(i, it, TrialState.COMPLETED, {"loss": loss(it)}) for i, it in enumerate(drawn, start=1)]


def test_what_constraints_do_not_allow_counts_for_nothing() -> None:
    """The slope along `a` is ten times as steep, but its range a fifth and less."""
    space = constrained("a + b <= 0.2")
    trials = random_trials(space, lambda configuration: 10 * float(configuration["a"]) + float(configuration["c"]))
    shares = importance(space, LOSS, trials)
    assert 0.6 < shares["a"] < 0.8
    assert 0.2 < shares["c"] < 0.4
    assert shares["b"] < 0.02
    host = ChildHost()
    try:
        assert in_the_child(space, LOSS, trials, host) == shares
    finally:
        host.close()


@pytest.mark.parametrize(
    "text", ["a + b <= 0.2", "abs(a + b + c - 1) <= 1e-6", "(a if c > 0.5 else b) > 0.7", "a * b > 0.5"]
)
def test_what_decides_comes_first_whatever_the_constraints(text: str) -> None:
    space = constrained(text)
    shares = importance(
        space, LOSS, random_trials(space, lambda configuration: math.sin(8 * float(configuration["a"])))
    )
    assert next(iter(shares)) == "a"
    assert sum(shares.values()) == pytest.approx(1.0)


def test_constraints_are_asked_about_the_parameters_that_they_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """With hundreds of parameters it would take minutes."""
    space = Space.of(tuple(Parameter(f"p{n}", "float", 0.0, 1.0) for n in range(30)), ["p0 + p1 <= 1.5"])
    trials = random_trials(space, lambda configuration: float(configuration["p0"]), 40)
    calls, allows = [], Space.allows

    def counted(self: Space, configuration: Configuration) -> bool:
        calls.append(1)
        return allows(self, configuration)

    monkeypatch.setattr(Space, "allows", counted)
    assert next(iter(importance(space, LOSS, trials))) == "p0"
    assert len(calls) < 6000


def test_a_constraint_may_hold_for_what_does_not_always_apply() -> None:
    space = Space.of(
        (
            Parameter("k", "categorical", choices=("x", "y")),
            Parameter("m", "float", 0.0, 1.0, when=(("k", ("y",)),)),
            Parameter("a", "float", 0.0, 1.0),
        ),
        ["a + m <= 0.8"],
    )
    shares = importance(space, LOSS, random_trials(space, lambda configuration: float(configuration.get("m", 0.4))))
    assert shares["m"] + shares["k"] > 0.9


@pytest.mark.parametrize("count", [120, 400])
def test_what_parameters_do_together_counts_for_each_of_them(count: int) -> None:
    """The function of Ishigami and Homma (1990), whose total effects are known: `x3` matters in no other way."""
    space = Space.of(tuple(Parameter(f"x{place}", "float", -math.pi, math.pi) for place in (1, 2, 3)))
    chance = random.Random(0)
    trials = []
    for number in range(1, count + 1):
        x1, x2, x3 = (chance.uniform(-math.pi, math.pi) for _ in range(3))
        loss = math.sin(x1) + 7 * math.sin(x2) ** 2 + 0.1 * x3**4 * math.sin(x1)
        trials.append(Observation(number, {"x1": x1, "x2": x2, "x3": x3}, TrialState.COMPLETED, {"loss": loss}))
    assert importance(space, LOSS, trials) == pytest.approx({"x1": 0.449, "x2": 0.355, "x3": 0.196}, abs=0.06)
