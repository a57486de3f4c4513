from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import Space
from orchestune.domain.search.trial import Observation, ask_seed
from orchestune.domain.specification.metrics import Limit, Metric
from orchestune.engines.models.training_data import TrainingPoint
from orchestune.engines.registry import create
from orchestune.engines.samplers.population import Individual, order

SPACE = Space.of(
    (
        Parameter("x", "float", -5.0, 5.0),
        Parameter("y", "float", 1e-4, 1.0, log=True),
        Parameter("n", "int", 0, 20),
        Parameter("kind", "categorical", choices=("a", "b", "c")),
    )
)
LOSS = Metric("loss", "minimize")


def member(*losses: float, excesses: tuple[float, ...] = (), failed: bool = False) -> Individual:
    return Individual(
        1, TrainingPoint(np.zeros(2), None if failed else losses, (0.0,) * len(losses), excesses=excesses)
    )


def measured(observation: Observation) -> dict[str, float]:
    x, y, n = (float(observation.parameters[name]) for name in ("x", "y", "n"))
    tail = {"a": 3.0, "b": 0.0, "c": 1.0}[str(observation.parameters["kind"])]
    return {"loss": (x - 1.3) ** 2 + (np.log10(y) + 2) ** 2 + (n - 13) ** 2 / 20 + tail, "size": x**2 + n}


def search(name: str, metrics: Sequence[Metric], count: int, parallel: int = 5) -> tuple[list[Observation], set[str]]:
    """Results come late, and every third out of order."""
    engine = create(name, SPACE, metrics, seed=3, in_process=True)
    observations: list[Observation] = []
    waiting: list[Observation] = []
    sources: set[str] = set()
    for number in range(1, count + 1):
        configuration = engine.ask([observation.parameters for observation in waiting], number, ask_seed(3, number))
        sources.add(engine.source)
        observation = Observation(number, configuration, TrialState.COMPLETED)
        waiting.append(Observation(number, configuration, TrialState.COMPLETED, measured(observation)))
        if len(waiting) == parallel:
            observations.append(waiting.pop(1 if number % 3 == 0 else 0))
            engine.tell(observations[-1:])
    return observations, sources


@pytest.mark.parametrize(("name", "source"), [("cma", "cma"), ("evolution", "de"), ("swarm", "swarm")])
def test_a_population_closes_in_on_the_best_although_results_come_late(name: str, source: str) -> None:
    observations, sources = search(name, [LOSS], 300)
    assert sources == {"sobol", source}
    draws, _ = search("random", [LOSS], 300)
    best, by_chance = (min(observation.metrics["loss"] for observation in trials) for trials in (observations, draws))
    assert best < 0.25 * by_chance
    assert np.median([observation.metrics["loss"] for observation in observations[200:]]) < 2


def test_several_metrics_are_spread_along_the_front() -> None:
    metrics = [LOSS, Metric("size", "minimize")]
    observations, sources = search("evolution", metrics, 300)
    assert "nsga2" in sources
    late = observations[150:]
    assert min(observation.metrics["loss"] for observation in late) < 0.5
    assert min(observation.metrics["size"] for observation in late) < 3


def test_what_is_beyond_a_limit_beats_nothing_within() -> None:
    """Else the places next to a limit, behind which everything is better, come last."""
    within = [member(1.0, 5.0), member(2.0, 2.0), member(5.0, 1.0), member(5.5, 1.2)]
    beyond = [member(loss, loss, excesses=(excess,)) for loss, excess in ((1.5, 3.0), (1.8, 2.0), (1.9, 1.0))]
    assert order([*within, *beyond]) == [0, 2, 1, 3, 6, 5, 4]


class Watched(TrainingPoint):
    """Counts how often its losses are read."""

    looks = 0

    def __getattribute__(self, name: str) -> object:
        Watched.looks += name == "losses"
        return super().__getattribute__(name)


def test_many_results_of_several_metrics_are_not_gone_through_for_each_rank() -> None:
    """Every ask puts them in order."""
    random = np.random.default_rng(0)
    points = random.random((400, 2)).tolist()
    members = [Individual(1, Watched(np.zeros(2), tuple(losses), (0.0, 0.0))) for losses in points]
    assert sorted(order(members)) == list(range(400))
    assert Watched.looks < 400 * 20


def test_the_order_is_by_limits_then_by_what_beats_whom_then_by_loneliness() -> None:
    assert order([member(3.0), member(1.0), member(failed=True), member(2.0)]) == [1, 3, 0, 2]
    limited = [member(0.0, excesses=(5.0,)), member(9.0, excesses=(0.0,)), member(1.0, excesses=(2.0, -1.0))]
    assert order(limited) == [1, 2, 0]
    several = [member(1.0, 4.0), member(4.0, 1.0), member(2.0, 2.0), member(2.1, 2.0), member(5.0, 5.0)]
    assert order(several) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", ["cma", "evolution", "swarm"])
def test_limits_come_before_the_loss(name: str) -> None:
    metrics = [LOSS, Metric("size", "minimize", limit=Limit(8.0, False), optimized=False)]
    observations, _ = search(name, metrics, 300)
    feasible = [observation for observation in observations[100:] if observation.metrics["size"] <= 8]
    assert len(feasible) > 60
    assert min(observation.metrics["loss"] for observation in feasible) < 4


def test_a_block_of_a_latin_hypercube_has_one_point_in_each_slice() -> None:
    space = Space.of((Parameter("x", "float", 0.0, 1.0), Parameter("y", "float", 0.0, 1.0)))
    engine = create("latin", space, [LOSS], seed=1, options={"size": 10})
    suggestions = [engine.ask([], number, number) for number in range(1, 21)]
    for block in (suggestions[:10], suggestions[10:]):
        for name in ("x", "y"):
            assert sorted(int(float(configuration[name]) * 10) for configuration in block) == list(range(10))
    assert engine.ask([], 3, 99) == suggestions[2]
