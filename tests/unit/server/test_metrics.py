"""The names that `/metrics` gives, and those that the reference lists."""

from __future__ import annotations

import re
from pathlib import Path

from docs.writing import server_metrics
from orchestune.server.prometheus import exposition
from orchestune.services.commands.change_experiment import delete, pause
from orchestune.services.queries.read_server import GAUGES, metrics
from tests.contract.world import CoreWorld


def test_what_the_server_gives_is_what_the_reference_lists(tmp_path: Path) -> None:
    world = CoreWorld(tmp_path)
    world.run(world.create(budget=2))
    world.run(deleted := world.create(budget=1))
    paused = world.create()
    world.lease()
    pause(world.core, paused, False, "ada")
    delete(world.core, deleted, False, "ada")
    samples = metrics(world.core)
    world.close()
    assert {name for name, _, _ in samples} == GAUGES.keys()
    for name, labels, _ in samples:
        assert list(labels) == ([GAUGES[name].label] if GAUGES[name].label else [])
        assert set(labels.values()) <= set(GAUGES[name].values)
    assert set(re.findall(r"\| `(orchestune_\w+)` \|", server_metrics.page())) == GAUGES.keys()
    values = {(name, *labels.values()): value for name, labels, value in samples}
    assert values["orchestune_experiments", "completed"] == values["orchestune_experiments", "paused"] == 1
    assert values["orchestune_trials", "completed"] == 3
    assert values["orchestune_live_attempts",] == 1
    assert values["orchestune_waiting_messages",] == 3, "the server's own hook may want to hear of each"
    assert "# HELP orchestune_live_attempts Attempts that hold a lease: what runs now.\n" in exposition(samples)


def test_experiments_that_were_deleted_are_left_out_and_their_trials_are_not(tmp_path: Path) -> None:
    world = CoreWorld(tmp_path)
    deleted, stays = (world.create(budget=2) for _ in range(2))
    for experiment in (deleted, stays):
        world.run(experiment)
    delete(world.core, deleted, False, "ada")
    values = {(name, *labels.values()): value for name, labels, value in metrics(world.core)}
    world.close()
    assert values["orchestune_experiments", "completed"] == 1
    assert values["orchestune_trials", "completed"] == 4
