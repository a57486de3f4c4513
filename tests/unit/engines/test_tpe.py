from __future__ import annotations

import statistics
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState as OptunaState

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.search.trial import Observation, ask_seed
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.registry import create
from orchestune.engines.samplers.tpe import TpeProposer
from orchestune.ports.engine import Engine
from tests.contract.engine_contract import MIXED, observe, wide

LOSS = Metric("loss", "minimize")
SPEED = Metric("speed", "maximize")


def tpe(space: Space, *metrics: Metric, **options: Any) -> Engine:
    return create("tpe", space, metrics or (LOSS,), seed=1, options=options, in_process=True)


def run(engine: Engine, count: int, loss: Callable[[Configuration], float], seed: int = 1) -> list[float]:
    losses = []
    for number in range(1, count + 1):
        configuration = engine.ask([], number, ask_seed(seed, number))
        losses.append(loss(configuration))
        engine.tell([observe(number, configuration, losses[-1])])
    return losses


def bowl(configuration: Configuration) -> float:
    return sum((float(value) - 0.3) ** 2 for value in configuration.values())


@pytest.mark.parametrize(
    "constraint", ["x1 + x2 <= 0.1", "abs(x0 + x1 + x2 - 1) <= 0.05", "abs(x0 + x1 + x2 - 1) <= 1e-6"]
)
def test_where_little_is_allowed_it_is_the_model_that_suggests(constraint: str) -> None:
    engine = tpe(Space.of(wide(3).parameters, [constraint]), startup=10)
    sources = []
    for number in range(1, 41):
        configuration = engine.ask([], number, ask_seed(1, number))
        sources.append(engine.source)
        engine.tell([observe(number, configuration, bowl(configuration))])
    assert sources == ["random"] * 10 + ["tpe"] * 30


def random_history(space: Space, count: int) -> list[Observation]:
    engine = create("random", space, [LOSS], seed=1)
    drawn = [engine.ask([], number, ask_seed(2, number)) for number in range(1, count + 1)]
    return [observe(number, configuration) for number, configuration in enumerate(drawn, 1)]


def test_it_finds_better_values_than_random_search() -> None:
    def best(name: str, seed: int) -> float:
        engine = create(name, wide(3), [LOSS], seed=seed, in_process=True)
        return min(run(engine, 60, bowl, seed))

    learnt, drawn = (statistics.median(best(name, seed) for seed in range(5)) for name in ("tpe", "random"))
    assert learnt < drawn / 3


def test_it_finds_the_better_branch_of_a_condition() -> None:
    def loss(configuration: Configuration) -> float:
        return abs(float(configuration["rate"]) - 0.01) if "rate" in configuration else 1.0

    engine = tpe(MIXED)
    run(engine, 60, loss)
    later = [engine.ask([], 61, seed) for seed in range(20)]
    assert sum("rate" in configuration for configuration in later) >= 18
    assert statistics.median(abs(float(c["rate"]) - 0.01) for c in later if "rate" in c) < 0.1


def test_the_goal_turns_the_sign_of_a_metric() -> None:
    up, down = tpe(wide(2), Metric("m", "maximize")), tpe(wide(2), Metric("m", "minimize"))
    history = random_history(wide(2), 40)
    up.tell([Observation(o.number, o.parameters, o.state, {"m": -o.metrics["loss"]}) for o in history])
    down.tell([Observation(o.number, o.parameters, o.state, {"m": o.metrics["loss"]}) for o in history])
    assert up.ask([], 41, 7) == down.ask([], 41, 7)


def test_with_two_metrics_it_moves_to_where_both_are_good() -> None:
    engine = tpe(wide(2), LOSS, SPEED)
    for number in range(1, 81):
        c = engine.ask([], number, ask_seed(1, number))
        x, y = float(c["x0"]), float(c["x1"])
        engine.tell([Observation(number, c, TrialState.COMPLETED, {"loss": x + y, "speed": x - y})])
    assert statistics.mean(float(engine.ask([], 81, seed)["x1"]) for seed in range(20)) < 0.25


def test_suggestions_keep_away_from_what_is_pending() -> None:
    engine = tpe(wide(1))
    run(engine, 40, bowl)
    alone = [float(engine.ask([], 41, seed)["x0"]) for seed in range(40)]
    busy: list[Configuration] = [{"x0": statistics.median(alone) + 1e-4 * offset} for offset in range(-10, 10)]
    beside = [float(engine.ask(busy, 41, seed)["x0"]) for seed in range(40)]
    center = statistics.median(alone)
    assert statistics.median(abs(x - center) for x in beside) > 2 * statistics.median(abs(x - center) for x in alone)


def test_suggestions_keep_away_from_where_trials_fail_though_the_best_is_beside_it() -> None:
    def failures(seed: int) -> int:
        engine, failed = tpe(wide(2)), 0
        for number in range(1, 81):
            configuration = engine.ask([], number, ask_seed(seed, number))
            x, y = float(configuration["x0"]), float(configuration["x1"])
            fails = x > 0.7
            failed += fails
            state = TrialState.FAILED if fails else None
            engine.tell([observe(number, configuration, (0.75 - x) ** 2 + (y - 0.3) ** 2, state)])
        return failed

    assert statistics.median(failures(seed) for seed in range(5)) < 45, "69 where failures are left out of the model"


def test_the_first_suggestions_are_random_until_enough_trials_have_a_value() -> None:
    space = wide(2)
    engine, random = tpe(space, startup=5), create("random", space, [LOSS], seed=1)
    history = random_history(space, 5)
    engine.tell([observe(number, {"x0": 0.1, "x1": number / 99}, state=TrialState.FAILED) for number in range(20)])
    engine.tell(history[:4])
    assert engine.ask([], 9, 3) == random.ask([], 9, 3)
    engine.tell(history[4:])
    assert engine.ask([], 9, 3) != random.ask([], 9, 3)


def test_a_pruned_trial_counts_as_worse_than_each_completed_one() -> None:
    engine = tpe(wide(1))
    engine.tell([observe(n, {"x0": 0.8 + n / 1000}, loss=1.0) for n in range(15)])
    engine.tell([observe(n, {"x0": 0.2 + n / 1000}, state=TrialState.PRUNED) for n in range(15, 60)])
    suggested = [float(engine.ask([], 61, seed)["x0"]) for seed in range(30)]
    assert sum(x > 0.5 for x in suggested) > 25


def test_of_pruned_trials_those_that_came_further_are_the_better_ones() -> None:
    engine = tpe(wide(1))
    engine.tell([observe(n, {"x0": 0.8 + n / 1000}, loss=1.0) for n in range(3)])
    for n in range(3, 60):
        engine.tell([Observation(n, {"x0": 0.2 + n / 1000}, TrialState.PRUNED, last=(1.0, 0.1))])
    for n in range(60, 80):
        engine.tell([Observation(n, {"x0": 0.7 + n / 1000}, TrialState.PRUNED, last=(9.0, 0.1))])
    suggested = [float(engine.ask([], 81, seed)["x0"]) for seed in range(30)]
    assert sum(x > 0.5 for x in suggested) > 25


def test_of_pruned_trials_that_came_equally_far_those_with_the_smaller_loss_are_the_better_ones() -> None:
    engine = tpe(wide(1), SPEED)
    engine.tell([Observation(n, {"x0": 0.8 + n / 1000}, TrialState.COMPLETED, {"speed": 1.0}) for n in range(3)])
    for n in range(3, 60):
        engine.tell([Observation(n, {"x0": 0.2 + n / 1000}, TrialState.PRUNED, last=(1.0, 0.9))])
    for n in range(60, 80):
        engine.tell([Observation(n, {"x0": 0.7 + n / 1000}, TrialState.PRUNED, last=(1.0, 0.1))])
    suggested = [float(engine.ask([], 81, seed)["x0"]) for seed in range(30)]
    assert sum(x > 0.5 for x in suggested) > 25


def test_its_answer_is_the_one_of_a_plain_optuna_study() -> None:
    history, pending = random_history(wide(2), 60), [{"x0": 0.5, "x1": 0.25}, {"x0": 0.1, "x1": 0.9}]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=99, multivariate=True, group=True, constant_liar=True)
    study = optuna.create_study(sampler=sampler)
    distributions: dict[str, Any] = {name: optuna.distributions.FloatDistribution(0.0, 1.0) for name in ("x0", "x1")}
    for observation in history:
        study.add_trial(
            optuna.trial.create_trial(
                params=dict(observation.parameters), distributions=distributions, value=observation.metrics["loss"]
            )
        )
    for configuration in pending:
        study.add_trial(
            optuna.trial.create_trial(
                params=dict(configuration), distributions=distributions, state=OptunaState.RUNNING
            )
        )
    proposer = TpeProposer(wide(2), [LOSS])
    proposer.tell(history)
    assert proposer.propose(pending, 61, 99) == study.ask(distributions).params


def test_a_history_over_its_cap_gives_the_same_answer_when_it_is_told_again() -> None:
    space = Space.of((*MIXED.parameters, Parameter("n", "int", 1, 64, log=True)))
    history = random_history(space, 400)
    once, often = tpe(space, history=60), tpe(space, history=60)
    once.tell(history)
    for observation in history:
        often.tell([observation])
        if observation.number % 37 == 0:
            often.ask([], observation.number + 1, 1)
    assert [repr(once.ask([], 401, seed)) for seed in range(5)] == [repr(often.ask([], 401, seed)) for seed in range(5)]


def test_the_options_reach_the_model() -> None:
    history = random_history(wide(2), 200)
    answers = []
    for options in ({}, {"candidates": 3}, {"history": 50}):
        engine = tpe(wide(2), **options)
        engine.tell(history)
        answers.append(repr(engine.ask([], 201, 5)))
    assert len(set(answers)) == 3


@pytest.mark.parametrize("switch", ["error", "always"])
def test_it_says_nothing_on_standard_error(switch: str) -> None:
    script = (
        "from tests.unit.engines.test_tpe import tpe, run, bowl, wide\n"
        "import warnings; before = list(warnings.filters)\n"
        "run(tpe(wide(2), startup=2), 12, bowl)\n"
        "assert warnings.filters == before\n"
    )
    result = subprocess.run([sys.executable, "-W", switch, "-c", script], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr, result.stdout) == (0, "", "")


def test_optuna_logs_as_before_for_whoever_uses_it_beside_an_engine() -> None:
    script = (
        "import optuna\n"
        "from tests.unit.engines.test_tpe import tpe, run, bowl, wide\n"
        "run(tpe(wide(2), startup=2), 12, bowl)\n"
        "optuna.create_study(study_name='mine')\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    [line] = result.stderr.splitlines()
    assert line.endswith("A new study created in memory with name: mine")
