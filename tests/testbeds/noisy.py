"""A noisy search, in which one trial was lucky."""

from __future__ import annotations

import random
from typing import Any

from sqlalchemy import update

from orchestune.services.core import Core
from orchestune.store import experiments, tables
from tests.testbeds.seed import Plan, Writer

LUCKY = 30


def written(core: Core, stddev: float | None, finished: int = 40) -> str:
    """A bowl, and one trial at its edge that was lucky. The handle."""
    numbers = iter(range(1, finished + 1))

    def outcome(parameters: dict[str, Any], chance: random.Random) -> tuple[str, dict[str, float], None]:
        value = 4 * (parameters["x"] - 0.5) ** 2 + chance.gauss(0, 0.2)
        return "completed", {"loss": -0.8 if next(numbers) == min(LUCKY, finished) else value}, None

    parameters = [{"name": "x", "type": "float", "min": 0.0, "max": 1.0}]
    plan = Plan("noisy", parameters, [{"name": "loss", "goal": "minimize"}], outcome, finished, finished)
    handle = Writer(core.store, plan, random.Random(3)).write()
    with core.store.transaction() as session:
        identity = experiments.find(session, handle).id
        table = tables.trial_metrics
        session.change(update(table).where(table.c.experiment == identity).values(stddev=stddev))
    return handle
