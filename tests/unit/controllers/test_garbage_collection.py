"""Frequency of the search for files to archive or delete."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from orchestune.controllers.garbage_collection import EVERY_SECONDS, SCAN_PAUSE_FACTOR, GarbageCollection
from orchestune.domain.specification.experiment import Specification
from orchestune.store import artifacts, blobs
from orchestune.store.artifacts import ArtifactRow
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session
from orchestune.store.specifications import read_specification
from tests.contract.world import CoreWorld


@pytest.mark.parametrize(("seconds", "pause"), [(0.0, EVERY_SECONDS), (4.0, 4.0 * SCAN_PAUSE_FACTOR)])
def test_what_takes_long_to_look_for_is_looked_for_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, pause: float
) -> None:
    world = CoreWorld(tmp_path)
    looked: list[float] = []

    def unreferenced(session: Session, older_than: float) -> list[str]:
        world.clock.pass_time(seconds)
        looked.append(world.clock.steady)
        return []

    monkeypatch.setattr(blobs, "unreferenced", unreferenced)
    collection = GarbageCollection(world.core)
    while len(looked) < 4:
        world.clock.pass_time(1.0)
        collection.tick()
    world.close()
    pauses = [after - before - seconds for before, after in pairwise(looked)]
    assert all(pause <= seconds < pause + 2 for seconds in pauses)


@pytest.mark.parametrize("best", [None, 1], ids=["all files are kept", "those of the best"])
def test_experiments_of_which_nothing_is_new_are_not_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, best: int | None
) -> None:
    world = CoreWorld(tmp_path)
    experiment = world.create(budget=1, keep={"patterns": ["model"], "best": best})
    world.run(experiment)
    with world.core.store.transaction() as session:
        artifacts.put(session, [ArtifactRow(experiment, 1, "model", "a", "d", 1, created_at=1.0)])
    looked: list[str] = []

    def specification(row: ExperimentRow) -> Specification:
        looked.append(row.id)
        return read_specification(row.specification_json)

    monkeypatch.setattr(ExperimentRow, "specification", property(specification))
    collection = GarbageCollection(world.core)
    collection.retain_artifacts()
    assert looked
    looked.clear()
    collection.retain_artifacts()
    assert not looked
    monkeypatch.undo()
    world.close()
