"""Queued trials with large configurations do not fill the memory of the server, which parses all of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestune.errors import Conflict
from orchestune.services.commands.queue_trial import queue_trial
from orchestune.services.execution import prefetch
from tests.contract.world import CoreWorld

WORDS = [letter * 990 for letter in "abcdefghij"]
PARAMETERS = [{"name": f"p{number}", "type": "categorical", "choices": WORDS} for number in range(4)]
MOST = 40
CONFIGURATION_BYTES = 4 * (992 + 4)


@pytest.fixture
def create(world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], str]:
    monkeypatch.setattr(prefetch, "_MAX_QUEUED_BYTES", MOST * CONFIGURATION_BYTES)
    return lambda engine, parallelism: world.create(
        budget=10_000, parallelism=parallelism, engine=engine, parameters=PARAMETERS, run="true {args}"
    )


@pytest.mark.parametrize("engine", ["random", "tpe"])
def test_suggestions_are_queued_up_to_a_number_of_bytes(
    world: CoreWorld, create: Callable[[str, int], str], engine: str
) -> None:
    experiment = create(engine, 1000)
    for _ in range(100):
        world.tick()
    assert MOST / 2 <= world.status(experiment)["counts"]["queued"] <= MOST


def test_configurations_of_a_user_are_queued_up_to_a_number_of_bytes(
    world: CoreWorld, create: Callable[[str, int], str]
) -> None:
    experiment = create("random", 1)
    configuration = {f"p{number}": WORDS[0] for number in range(4)}
    for _ in range(2 * MOST):
        queue_trial(world.core, experiment, configuration, "ada")
    with pytest.raises(Conflict, match="has 80 queued trials"):
        queue_trial(world.core, experiment, configuration, "ada")
