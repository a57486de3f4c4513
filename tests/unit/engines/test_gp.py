from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from random import Random

import pytest

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.parameters import Parameter, Value
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.search.trial import Observation, ask_seed
from orchestune.domain.specification.metrics import Limit, Metric
from orchestune.engines.constraints.deduplication import DistinctEngine
from orchestune.engines.models.cube import Cube
from orchestune.engines.models.training_data import TrainingPoint, thinned, training_point
from orchestune.engines.registry import create
from orchestune.engines.samplers.gp import GpProposer
from orchestune.engines.samplers.portfolio import AutoProposer
from orchestune.engines.samplers.quasi import QuasiRandomProposer
from tests.contract.engine_contract import wide

LOSS = Metric("loss", "minimize")
PLANE = wide(2)
Outcome = Callable[[int, Configuration], Observation]


def completed(number: int, configuration: Configuration, loss: float, stddev: float | None = None) -> Observation:
    spread = {} if stddev is None else {"loss": stddev}
    return Observation(number, configuration, TrialState.COMPLETED, {"loss": loss}, spread)


def bowl(number: int, configuration: Configuration) -> Observation:
    x, y = (float(configuration[name]) for name in ("x0", "x1"))
    return completed(number, configuration, (x - 0.37) ** 2 + (y - 0.81) ** 2)


def search(space: Space, outcome: Outcome, count: int, metrics: Sequence[Metric] = (LOSS,)) -> list[Observation]:
    engine = DistinctEngine(space, GpProposer(space, metrics, 3, startup=6))
    observations: list[Observation] = []
    for number in range(1, count + 1):
        observations.append(outcome(number, engine.ask([], number, ask_seed(3, number))))
        engine.tell(observations[-1:])
    return observations


def test_the_bottom_of_a_bowl_is_found_in_thirty_trials() -> None:
    assert min(observation.metrics["loss"] for observation in search(PLANE, bowl, 30)) < 1e-4


@pytest.mark.parametrize("seed", range(3))
def test_few_results_of_many_parameters_tell_what_each_does_by_itself(seed: int) -> None:
    def loss(configuration: Configuration) -> float:
        values = map(float, configuration.values())
        return sum(abs(x - 0.15 - 0.7 * (7 * i % 12) / 12) / (1 + 0.3 * i) for i, x in enumerate(values))

    space, random = wide(12), Random(seed)
    proposer, losses, pending = GpProposer(space, [LOSS], seed), [], list[dict[str, Value]]()
    for number in range(1, 31):
        drawn = {parameter.name: random.random() for parameter in space.parameters}
        losses.append(loss(drawn))
        proposer.tell([completed(number, drawn, losses[-1])])
    for number in range(31, 37):
        pending.append(proposer.propose(pending, number, number))
    assert max(map(loss, pending)) < min(losses)


def test_a_metric_to_maximize_is_maximized() -> None:
    def outcome(number: int, configuration: Configuration) -> Observation:
        value = -bowl(number, configuration).metrics["loss"]
        return Observation(number, configuration, TrialState.COMPLETED, {"score": value})

    observations = search(PLANE, outcome, 30, (Metric("score", "maximize"),))
    assert max(observation.metrics["score"] for observation in observations) > -1e-4


@pytest.mark.parametrize("state", [TrialState.FAILED, TrialState.PRUNED])
def test_suggestions_keep_away_from_where_trials_fail_or_are_pruned(state: TrialState) -> None:
    def outcome(number: int, configuration: Configuration) -> Observation:
        if float(configuration["x0"]) > 0.5:
            return Observation(number, configuration, state)
        return completed(number, configuration, 1 - float(configuration["x0"]))

    observations = search(PLANE, outcome, 50)
    assert sum(float(observation.parameters["x0"]) > 0.65 for observation in observations[20:]) < 6, (
        "of 30, evenly 10.5"
    )
    assert min(observation.metrics.get("loss", 1.0) for observation in observations) < 0.53


def test_the_best_beside_a_border_of_failures_is_found() -> None:
    def outcome(number: int, configuration: Configuration) -> Observation:
        x, y = float(configuration["x0"]), float(configuration["x1"])
        if x + y > 1.1:
            return Observation(number, configuration, TrialState.FAILED)
        return completed(number, configuration, 1.1 - x - y + (x - 0.4) ** 2)

    observations = search(PLANE, outcome, 40)
    assert min(observation.metrics.get("loss", 1.0) for observation in observations) < 0.03


@pytest.mark.parametrize("engine", ["auto", "gp"])
def test_where_most_trials_fail_what_does_not_is_learnt_before_eight_have_a_value(engine: str) -> None:
    """A tenth of the space does not fail; a start that waits for values would take 80 trials."""

    def searched(seed: int) -> list[TrialState]:
        proposer = create(engine, wide(4), [LOSS], seed=seed, in_process=True)
        states: list[TrialState] = []
        for number in range(1, 41):
            configuration = proposer.ask([], number, ask_seed(seed, number))
            x, y, z = (float(configuration[name]) for name in ("x0", "x1", "x2"))
            fails = Observation(number, configuration, TrialState.FAILED)
            done = fails if x + y > 0.45 else completed(number, configuration, (x - 0.1) ** 2 + z)
            states.append(done.state)
            proposer.tell([done])
        return states

    completed_counts = [searched(seed).count(TrialState.COMPLETED) for seed in range(3)]
    assert statistics.median(completed_counts) >= 10, completed_counts


def test_a_model_begins_with_half_of_the_results_where_the_others_are_on_their_way() -> None:
    proposer = GpProposer(PLANE, [LOSS], 3, startup=10)
    points: list[dict[str, Value]] = [{"x0": (0.37 * n) % 1, "x1": (0.59 * n) % 1} for n in range(1, 16)]

    def source(pending: int) -> str:
        proposer.propose(points[5 : 5 + pending], 20, 1)
        return proposer.source

    proposer.tell([bowl(number, point) for number, point in enumerate(points[:4], start=1)])
    assert source(9) == "sobol", "four are too few"
    proposer.tell([bowl(5, points[4])])
    assert source(4) == "sobol", "one worker brings ten results first"
    assert source(5) == "gp"


def test_a_lucky_value_that_says_how_unsure_it_is_does_not_draw_the_search_to_it() -> None:
    lucky = {"x0": 0.95, "x1": 0.05}

    def near(stddev: float | None) -> int:
        proposer = GpProposer(PLANE, [LOSS], 3, startup=6)
        start = [bowl(number, {"x0": (0.37 * number) % 1, "x1": (0.59 * number) % 1}) for number in range(1, 15)]
        proposer.tell([*start, completed(15, lucky, -0.3, stddev)])
        answers = [proposer.propose([], number, number) for number in range(16, 28)]
        return sum(abs(float(a["x0"]) - 0.95) < 0.15 and abs(float(a["x1"]) - 0.05) < 0.15 for a in answers)

    assert near(None) > 6
    assert near(1.0) < 3


@pytest.mark.parametrize(
    "space",
    [PLANE, Space.of(tuple(Parameter(f"x{place}", "categorical", choices=tuple(range(6))) for place in range(3)))],
    ids=["a corner of numbers", "choices"],
)
def test_where_the_best_was_tried_the_next_best_is_suggested_and_nothing_left_to_chance(space: Space) -> None:
    engine = DistinctEngine(space, GpProposer(space, (LOSS,), 3, startup=6))
    sources: list[str] = []
    for number in range(1, 31):
        configuration = engine.ask([], number, ask_seed(3, number))
        sources.append(engine.source)
        engine.tell([completed(number, configuration, sum(float(value) for value in configuration.values()))])
    assert sources == ["sobol"] * 6 + ["gp"] * 24


def test_suggestions_made_at_the_same_time_differ() -> None:
    proposer = GpProposer(PLANE, [LOSS], 3, startup=6)
    proposer.tell([bowl(number, {"x0": (0.37 * number) % 1, "x1": (0.59 * number) % 1}) for number in range(1, 12)])
    pending: list[dict[str, Value]] = []
    for number in range(12, 24):
        pending.append(proposer.propose(pending, number, ask_seed(1, number)))
    spots = {(round(float(c["x0"]), 3), round(float(c["x1"]), 3)) for c in pending}
    assert len(spots) >= 10


def test_two_metrics_spread_over_their_front() -> None:
    metrics = (Metric("a", "minimize"), Metric("b", "maximize"))

    def outcome(number: int, configuration: Configuration) -> Observation:
        x, y = float(configuration["x0"]), float(configuration["x1"])
        return Observation(number, configuration, TrialState.COMPLETED, {"a": x * x + y, "b": -((1 - x) ** 2) - y})

    observations = search(PLANE, outcome, 50, metrics)[25:]
    assert sum(float(observation.parameters["x1"]) < 0.15 for observation in observations) > 12
    places = [float(observation.parameters["x0"]) for observation in observations]
    assert min(places) < 0.3 and max(places) > 0.7


def test_the_source_says_who_made_a_suggestion() -> None:
    engine = DistinctEngine(PLANE, AutoProposer(PLANE, [LOSS], 3, startup=6))
    sources: list[str] = []
    for number in range(1, 31):
        engine.tell([bowl(number, engine.ask([], number, ask_seed(3, number)))])
        sources.append(engine.source)
    assert set(sources[:6]) == {"sobol"}
    assert set(sources[6:]) == {"gp", "tpe"}


def test_where_most_trials_are_pruned_the_other_engine_learns_from_them_meanwhile() -> None:
    engine = DistinctEngine(PLANE, AutoProposer(PLANE, [LOSS], 3, startup=10))
    sources: list[str] = []
    for number in range(1, 21):
        configuration = engine.ask([], number, ask_seed(3, number))
        sources.append(engine.source)
        done = bowl(number, configuration)
        pruned = Observation(number, configuration, TrialState.PRUNED, done.metrics, {}, (1.0, done.metrics["loss"]))
        engine.tell([done if number % 10 == 1 else pruned])
    assert set(sources[:10]) == {"sobol"}
    assert sources[10:] == ["tpe", "sobol"] * 5


@pytest.mark.parametrize("count", [1, 40, 400])
def test_a_history_of_any_length_is_answered_the_same_by_an_engine_that_was_asked_before(count: int) -> None:
    history = [bowl(number, {"x0": (0.37 * number) % 1, "x1": (0.59 * number) % 1}) for number in range(1, count + 1)]
    reused, fresh = (AutoProposer(PLANE, [LOSS], 3) for _ in range(2))
    for index, observation in enumerate(history):
        reused.tell([observation])
        if index % max(1, count // 8) == 0:
            reused.propose([], index + 2, index)
    fresh.tell(history)
    for number in range(count + 1, count + 5):
        assert reused.propose([], number, number) == fresh.propose([], number, number)


def test_failures_that_begin_late_are_answered_the_same_by_an_engine_that_was_asked_before() -> None:
    def outcome(number: int) -> Observation:
        point: dict[str, Value] = {"x0": (0.37 * number) % 1, "x1": (0.59 * number) % 1}
        fails = number > 20 and float(point["x0"]) > 0.6
        return Observation(number, point, TrialState.FAILED) if fails else bowl(number, point)

    history = [outcome(number) for number in range(1, 31)]
    reused = GpProposer(PLANE, [LOSS], 3)
    for index, observation in enumerate(history):
        reused.tell([observation])
        fresh = GpProposer(PLANE, [LOSS], 3)
        fresh.tell(history[: index + 1])
        assert reused.propose([], index + 2, index) == fresh.propose([], index + 2, index)


def entries(count: int) -> list[TrainingPoint]:
    cube = Cube(PLANE)
    places = [{"x0": (0.37 * number) % 1, "x1": (0.59 * number) % 1} for number in range(count)]
    points = [training_point(cube, [LOSS], bowl(number, place)) for number, place in enumerate(places)]
    return [item for item in points if item is not None]


def test_a_long_history_is_thinned_to_its_best_and_an_even_selection_of_the_rest() -> None:
    history = entries(400)
    kept_points = thinned(history, 150)
    assert len(kept_points) == 150
    ranked = sorted(history, key=lambda item: item.losses or ())
    assert all(item in kept_points for item in ranked[:50])
    quarters = [sum(item in kept_points for item in ranked[start : start + 100]) for start in (100, 200, 300)]
    assert min(quarters) > 20


def test_a_short_history_is_not_thinned() -> None:
    history = entries(20)
    assert thinned(history, 150) == history


@pytest.mark.parametrize("engine", ["auto", "tpe"])
def test_a_limit_steers_to_the_best_that_keeps_it(engine: str) -> None:
    """The loss falls with both numbers, their sum may be 0.8 at most: the best is a point on that line."""
    metrics = [Metric("loss", "minimize"), Metric("cost", "minimize", limit=Limit(0.8, False), optimized=False)]
    search_engine = create(engine, PLANE, metrics, seed=3, in_process=True)
    observations: list[Observation] = []
    for number in range(1, 46):
        configuration = search_engine.ask([], number, ask_seed(3, number))
        x, y = (float(configuration[name]) for name in ("x0", "x1"))
        metric_values = {"loss": -x - 2 * y, "cost": x + y}
        observations.append(Observation(number, configuration, TrialState.COMPLETED, metric_values))
        search_engine.tell(observations[-1:])
    feasible = [observation for observation in observations if observation.metrics["cost"] <= 0.8]
    assert min(observation.metrics["loss"] for observation in feasible) < (-1.5 if engine != "tpe" else -1.3)
    assert sum(observation.metrics["cost"] <= 0.9 for observation in observations[20:]) >= 12


def test_a_limit_that_nothing_keeps_yet_is_searched_for() -> None:
    metrics = [Metric("loss", "minimize"), Metric("gain", "maximize", limit=Limit(0.95, True), optimized=False)]
    search_engine = create("gp", PLANE, metrics, seed=3, in_process=True)
    feasible = 0
    for number in range(1, 31):
        configuration = search_engine.ask([], number, ask_seed(3, number))
        x, y = (float(configuration[name]) for name in ("x0", "x1"))
        gain = 1 - (x - 0.9) ** 2 * 4 - (y - 0.1) ** 2 * 4
        feasible += gain >= 0.95
        search_engine.tell([Observation(number, configuration, TrialState.COMPLETED, {"loss": x, "gain": gain})])
    assert feasible >= 5, "a draw keeps it once in 25"


@pytest.mark.parametrize("engine", ["auto", "gp", "tpe"])
def test_the_part_of_a_front_is_searched_where_each_metric_has_reached_its_threshold(engine: str) -> None:
    """The front is the line between two corners; with thresholds its middle is wanted, a fifth of it."""

    def count_hits(thresholds: tuple[float | None, float | None]) -> int:
        metrics = [Metric("a", "minimize", threshold=thresholds[0]), Metric("b", "maximize", threshold=thresholds[1])]
        search_engine = create(engine, PLANE, metrics, seed=3, in_process=True)
        hits = 0
        for number in range(1, 61):
            configuration = search_engine.ask([], number, ask_seed(3, number))
            x, y = (float(configuration[name]) for name in ("x0", "x1"))
            metric_values = {"a": x + y, "b": -(1 - x) - y}
            hits += number > 20 and metric_values["a"] <= 0.6 and metric_values["b"] >= -0.6
            search_engine.tell([Observation(number, configuration, TrialState.COMPLETED, metric_values)])
        return hits

    assert count_hits((0.6, -0.6)) >= max(8, 1.4 * count_hits((None, None)))


def test_several_metrics_are_searched_by_both_in_turns() -> None:
    metrics = (Metric("a", "minimize"), Metric("b", "minimize"))
    engine = create("auto", PLANE, metrics, seed=3, options={"startup": 4}, in_process=True)
    sources: list[str] = []
    for number in range(1, 13):
        point = engine.ask([], number, ask_seed(3, number))
        x, y = (float(point[name]) for name in ("x0", "x1"))
        engine.tell([Observation(number, point, TrialState.COMPLETED, {"a": x + y, "b": 1 - x + y})])
        sources.append(engine.source)
    assert sources[:4] == ["sobol"] * 4
    assert sources[4:] == ["tpe", "gp"] * 4


def test_a_quarter_of_the_suggestions_is_the_process_s_while_nothing_better_comes() -> None:
    auto = AutoProposer(PLANE, [LOSS], 3)
    design = QuasiRandomProposer("sobol", PLANE, 3)
    results = [bowl(number, design.propose([], number, number)) for number in range(1, 81)]
    best = min(range(80), key=lambda index: results[index].metrics["loss"])
    results.insert(0, results.pop(best))

    def sources() -> list[str]:
        sources = []
        for number in (101, 102, 103, 104):
            auto.propose([], number, ask_seed(3, number))
            sources.append(auto.source)
        return sources

    auto.tell(results[:30])
    assert sources() == ["tpe", "gp", "tpe", "gp"]
    auto.tell(results[30:])
    assert sources() == ["gp-elsewhere", "gp", "tpe", "gp"]
    auto.tell([completed(81, {"x0": 0.3, "x1": 0.8}, -1.0)])
    assert sources() == ["tpe", "gp", "tpe", "gp"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_search_that_stands_in_the_second_best_valley_goes_into_the_other(seed: int) -> None:
    space = wide(3)
    second, other = [0.1] * 3, [0.9] * 3

    def observation(number: int, point: list[float]) -> Observation:
        first, deeper = (sum((x - y) ** 2 for x, y in zip(point, middle, strict=True)) for middle in (second, other))
        loss = -math.exp(-first / 0.4**2) - 1.4 * math.exp(-deeper / 0.2**2)
        return completed(number, {f"x{axis}": x for axis, x in enumerate(point)}, loss)

    auto = AutoProposer(space, [LOSS], seed)
    auto.tell([observation(1, second), observation(2, [0.78] * 3)])
    around = [[0.1 + 0.02 * math.sin(7 * number * axis + axis) for axis in (1, 2, 3)] for number in range(1, 46)]
    auto.tell([observation(number, point) for number, point in enumerate(around, 3)])
    best = math.inf
    for number in range(101, 181, 4):
        point = [float(value) for value in auto.propose([], number, ask_seed(seed, number)).values()]
        auto.tell([observation(number, point)])
        best = min(best, observation(number, point).metrics["loss"])
        if best < -1.01:
            return
    pytest.fail(f"the best of twenty suggestions elsewhere was {best}")


@pytest.mark.parametrize("proposer", [GpProposer, AutoProposer])
def test_thousands_of_failures_after_the_last_value_leave_the_start_design(
    proposer: type[GpProposer | AutoProposer],
) -> None:
    engine = proposer(PLANE, [Metric("loss", "minimize", limit=Limit(-1.0, False))], 1, history=40)
    random = Random(0)
    draws = [{"x0": random.random(), "x1": random.random()} for _ in range(2009)]
    engine.tell([completed(number, point, random.random()) for number, point in enumerate(draws[:8], start=1)])
    engine.tell([Observation(n, point, TrialState.FAILED) for n, point in enumerate(draws[8:2008], start=9)])
    assert engine.propose([], 2010, 1) and engine.source != "gp"
    engine.tell([completed(2010, draws[2008], 0.5)])
    assert engine.propose([], 2012, 1) and engine.source == "gp"
