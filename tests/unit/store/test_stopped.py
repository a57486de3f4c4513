"""Trials that a stop of a whole experiment has cancelled."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from orchestune.services.commands.change_experiment import stop
from orchestune.store import trials
from tests.contract.world import CoreWorld


def test_it_is_found_in_one_go_however_much_it_is(tmp_path: Path) -> None:
    world, looked = CoreWorld(tmp_path), list[int]()
    for count in (50, 200):
        named = [{"x": index / count} for index in range(count)]
        experiment = world.create(budget=count, try_first=named)
        world.tick()
        stop(world.core, experiment, "ada")
        with world.core.store.reading() as session:
            driver: Any = session.connection.connection.driver_connection
            steps = itertools.count()
            driver.set_progress_handler(lambda steps=steps: next(steps) < 0, 10)
            assert len(trials.stopped_with_all(session, experiment)) == count
            driver.set_progress_handler(None, 0)
            looked.append(next(steps))
    world.close()
    assert looked[1] < 8 * looked[0], "four times as much takes four times as long, not sixteen times"
