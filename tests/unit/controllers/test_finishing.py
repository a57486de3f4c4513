"""Cost of checking for finished experiments."""

from __future__ import annotations

import pytest

from orchestune.controllers.finishing import Finishing
from orchestune.controllers.warm_pool import WarmPool
from tests.contract.world import CoreWorld


def test_a_time_that_is_not_over_is_looked_at_without_the_lock(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = world.create(budget=50, stop={"time": 60})
    world.lease()
    world.clock.pass_time(30.0)
    finishing = Finishing(world.core, WarmPool(world.core))
    with monkeypatch.context() as patched:
        patched.setattr(world.core.store, "transaction", None)
        finishing.tick()
    world.clock.pass_time(31.0)
    finishing.tick()
    assert world.status(experiment)["reason"]["code"] == "time"
