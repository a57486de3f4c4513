"""Experiments whose engines take long share the one that suggests with those of other principals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from orchestune.controllers.suggesting import Suggesting
from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Configuration
from orchestune.domain.search.trial import Observation
from orchestune.engines.samplers.gp import max_history
from orchestune.ports.engine import Engine
from orchestune.store.experiments import ExperimentRow
from tests.contract.world import CoreWorld

SLOW_SECONDS = 20.0


class TimedEngine:
    """Suggests something new; each time it takes some seconds of the world's clock."""

    name = version = source = "timed"
    uses_history = True

    def __init__(self, world: CoreWorld, seconds: float) -> None:
        self._world, self._seconds = world, seconds

    def tell(self, observations: Sequence[Observation]) -> None:
        pass

    def ask(self, pending: Sequence[Configuration], number: int, seed: int) -> dict[str, Value]:
        self._world.clock.pass_time(self._seconds)
        return {"x": number / 1000}

    def close(self) -> None:
        pass


@pytest.fixture
def suggesting(world: CoreWorld) -> Iterator[Suggesting]:
    def make(row: ExperimentRow) -> Engine:
        return TimedEngine(world, SLOW_SECONDS if row.name.startswith("slow") else 0.1)

    controller = Suggesting(world.core, make)
    yield controller
    controller.close()


def queued(world: CoreWorld, experiment: str) -> int:
    return len(world.trials(experiment))


def create(world: CoreWorld, name: str, owner: str, **fields: object) -> str:
    return world.create(name=name, owner=owner, budget=100, parallelism=50, engine="tpe", **fields)


def test_slow_experiments_of_one_principal_have_half_of_the_time(world: CoreWorld, suggesting: Suggesting) -> None:
    """Six of them took all of it: others had a suggestion every two minutes."""
    slow = [create(world, f"slow{number}", "eve", priority=9) for number in range(6)]
    other, began = create(world, "quick", "ada"), world.clock.steady
    while world.clock.steady < began + 10 * SLOW_SECONDS:
        suggesting.tick()
        world.clock.pass_time(1.0)
    slow_counts = [queued(world, each) for each in slow]
    assert sum(slow_counts) * SLOW_SECONDS <= 0.6 * (world.clock.steady - began)
    assert queued(world, other) >= 30
    assert sum(slow_counts) >= 4 and max(slow_counts) <= 1, "they have turns too"


def test_quick_experiments_of_a_principal_that_rests_go_on(world: CoreWorld, suggesting: Suggesting) -> None:
    quick = create(world, "quick", "eve")
    suggesting.tick()
    create(world, "slow", "eve")
    create(world, "quick", "ada")
    suggesting.tick()
    before = queued(world, quick)
    suggesting.tick()
    assert queued(world, quick) == before + 1


def test_slow_experiments_without_others_do_not_rest(world: CoreWorld, suggesting: Suggesting) -> None:
    slow = [create(world, f"slow{number}", "eve") for number in range(2)]
    for _ in range(3):
        suggesting.tick()
    assert [queued(world, each) for each in slow] == [3, 3]


def test_quick_experiments_have_a_turn_between_any_two_slow_ones(world: CoreWorld, suggesting: Suggesting) -> None:
    for owner in ("eve", "mallory", "trudy"):
        create(world, "slow", owner)
    other, began = create(world, "quick", "ada"), world.clock.steady
    while world.clock.steady < began + 10 * SLOW_SECONDS:
        suggesting.tick()
    assert queued(world, other) >= 6, "one for each slow turn but the first of each"


def test_the_models_of_many_limits_have_a_shorter_history() -> None:
    assert max_history(2, 0) == max_history(2, 7) == 1414
    assert max_history(2, 38) == 471, "with 1,414 results a suggestion took 100 s"
