"""Records of experiments that are copied again and again."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from orchestune.archives.archive_store import ArchiveStore
from orchestune.archives.copy_records import copy
from orchestune.errors import StoreUnavailable
from orchestune.files.folder import FolderFiles
from orchestune.services.commands.change_experiment import Changes, change_experiment, drop_files
from orchestune.services.queries.export_record import Records
from tests.contract.world import CoreWorld


def test_a_shelf_keeps_the_logs_that_a_server_has_dropped_since(tmp_path: Path) -> None:
    world = CoreWorld(tmp_path)
    experiment = world.create(budget=1)
    world.run(experiment)
    shelf, source, copied = ArchiveStore(FolderFiles(tmp_path / "shelf")), Records(world.core), []
    for _ in range(2):
        copied.append(copy(source, shelf, experiment, tmp_path)["imported"])
        drop_files(world.core, experiment)
    [record] = shelf.records()
    assert (copied, record.counts["log"]) == ([True, False], 1)
    change_experiment(world.core, experiment, Changes(budget=3), "ada")
    world.run(experiment)
    copy(source, shelf, experiment, tmp_path)
    [record] = shelf.records()
    assert record.counts["trial"] == 3, "a record that has changed since is imported again"
    world.close()


@pytest.mark.parametrize("cut_off", range(1, 9))
def test_a_shelf_that_is_full_when_a_newer_record_comes_keeps_the_older_one_or_has_the_newer_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut_off: int
) -> None:
    world = CoreWorld(tmp_path)
    experiment = world.create(budget=1)
    world.run(experiment)
    files, source = FolderFiles(tmp_path / "shelf"), Records(world.core)
    copy(source, ArchiveStore(files), experiment, tmp_path)
    change_experiment(world.core, experiment, Changes(budget=3), "ada")
    world.run(experiment)
    done = 0

    def full(act: Any) -> Any:
        def called(*arguments: Any) -> Any:
            nonlocal done
            done += 1
            if done >= cut_off:
                raise StoreUnavailable("no space is left")
            return act(*arguments)

        return called

    with monkeypatch.context() as patch:
        for name in ("put", "delete"):
            patch.setattr(files, name, full(getattr(files, name)))
        with suppress(StoreUnavailable):
            copy(source, ArchiveStore(files), experiment, tmp_path)
    [record] = ArchiveStore(files).records()
    ArchiveStore(files).fetch_record(experiment, tmp_path / "fetched")
    assert record.counts["trial"] in (1, 3)
    copy(source, ArchiveStore(files), experiment, tmp_path)
    [record] = ArchiveStore(files).records()
    assert (record.counts["trial"], len(list(files.keys("experiments/")))) == (3, 1)
    world.close()
