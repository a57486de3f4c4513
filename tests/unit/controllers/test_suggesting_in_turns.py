"""An engine with a long search delays no other one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Configuration
from orchestune.engines.constraints.deduplication import DistinctEngine
from orchestune.engines.process.parent import EngineLost
from orchestune.engines.samplers import grid
from orchestune.services.commands import change_experiment
from tests.contract.world import CoreWorld

DIGITS = [{"name": f"d{place}", "type": "int", "min": 0, "max": 9} for place in range(9)]
RARE = " + ".join(f"d{place}" for place in range(9)) + " >= 81"


def rare(world: CoreWorld) -> str:
    return world.create(
        budget=4, parallelism=1, engine="grid", parameters=DIGITS, constraints=[RARE], run="true {args}"
    )


def test_while_a_grid_is_walked_others_get_their_suggestions_and_status_says_what_happens(world: CoreWorld) -> None:
    looking = rare(world)
    other = world.create(budget=3, parallelism=1, engine="random")
    assert world.run(other)["state"] == "completed"
    status = world.status(looking)
    assert status["state"] in ("pending", "running")
    assert status["notes"] == ["searching the grid for the next configuration that satisfies the constraints"]
    assert change_experiment.pause(world.core, looking, now=False, actor="ada")["notes"] == []
    change_experiment.resume(world.core, looking, "ada")
    assert world.status(looking)["notes"] == status["notes"]


def test_a_walk_that_finds_nothing_for_too_long_pauses_with_the_reason(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid, "MAX_STEPS", 10_000)
    looking = rare(world)
    status = world.run(looking)
    assert (status["state"], status["reason"]["code"], status["notes"]) == ("paused", "engine_failed", [])
    assert "allowed by the constraints in 10,000 steps" in status["reason"]["message"]
    assert "; use another engine, such as random," in status["reason"]["message"]


def test_what_is_found_in_the_end_is_tried(world: CoreWorld) -> None:
    parameters = DIGITS[:5]
    looking = world.create(
        budget=4, parallelism=1, engine="grid", parameters=parameters, constraints=["d0 + d1 + d2 + d3 + d4 >= 45"],
        run="true {args}",
    )  # fmt: skip
    status = world.run(looking)
    assert (status["counts"]["completed"], status["reason"]["code"], status["notes"]) == (1, "exhausted", [])


def test_an_engine_whose_process_ends_again_and_again_fails_and_others_go_on(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = DistinctEngine.ask
    deaths: list[int] = []

    def ask_or_die(
        engine: DistinctEngine, pending: Sequence[Configuration], number: int, seed: int
    ) -> dict[str, Value]:
        if engine.name == "tpe":
            deaths.append(number)
            raise EngineLost("the process of the engines is gone: it ended")
        return ask(engine, pending, number, seed)

    monkeypatch.setattr(DistinctEngine, "ask", ask_or_die)
    fatal = world.create(budget=3, parallelism=1, engine="tpe")
    other = world.create(budget=3, parallelism=1, engine="evolution")
    assert world.run(other)["state"] == "completed"
    status = world.run(fatal)
    assert (status["state"], status["reason"]["code"]) == ("paused", "engine_failed")
    assert "5 times in a row" in status["reason"]["message"]
    assert len(deaths) == 5
