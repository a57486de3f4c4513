"""Records of experiments that are copied again and again."""

from __future__ import annotations

from pathlib import Path

from orchestune.archives.copying import copy
from orchestune.archives.shelf import Shelf
from orchestune.files.folder import FolderFiles
from orchestune.services.archive_experiment import Records
from orchestune.services.change_experiment import change_experiment, drop_files
from orchestune.testing.world import World


def test_a_shelf_keeps_the_logs_that_a_server_has_dropped_since(tmp_path: Path) -> None:
    world = World(tmp_path)
    experiment = world.create(budget=1)
    world.run(experiment)
    shelf, source, copied = Shelf(FolderFiles(tmp_path / "shelf")), Records(world.core), []
    for _ in range(2):
        copied.append(copy(source, shelf, experiment, tmp_path)["imported"])
        drop_files(world.core, experiment)
    [kept] = shelf.records()
    assert (copied, kept.rows["log_segments"]) == ([True, False], 1)
    change_experiment(world.core, experiment, {"budget": 3}, "ada")
    world.run(experiment)
    copy(source, shelf, experiment, tmp_path)
    [kept] = shelf.records()
    assert kept.rows["trials"] == 3, "what went on is taken in anew"
    world.close()
