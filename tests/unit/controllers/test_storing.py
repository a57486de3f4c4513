"""A place for files that does not answer holds up what needs it, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestune.bootstrap import build
from orchestune.files.folder import FolderFiles
from orchestune.server.settings import Settings
from orchestune.services.commands import change_experiment
from orchestune.store import imports
from tests.contract.world import CoreWorld
from tests.testbeds.waiting import until


def test_workers_start_while_files_of_another_experiment_cannot_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_removing, go_on = threading.Event(), threading.Event()

    def keys(files: FolderFiles, prefix: str) -> Iterator[str]:
        is_removing.set()
        go_on.wait(240)
        return iter(())

    monkeypatch.setattr(FolderFiles, "keys", keys)
    world = CoreWorld(tmp_path)
    doomed = world.create(budget=1)
    world.run(doomed)
    change_experiment.delete(world.core, doomed, True, "ada")
    settings = Settings(state=tmp_path, database_url=world.url, files=str(tmp_path / "files"))
    running = build(settings, "http://127.0.0.1:1", backends={"local": world.backend})
    running.start()
    try:
        assert is_removing.wait(120)
        experiment = world.create(budget=1)
        until("a worker", lambda: any(order.experiment == experiment for order in world.backend.orders.values()))
    finally:
        go_on.set()
        running.stop(20)
        world.close()


def test_a_server_that_takes_a_record_in_is_not_idle(tmp_path: Path) -> None:
    world = CoreWorld(tmp_path)
    settings = Settings(state=tmp_path, database_url=world.url, files=str(tmp_path / "files"))
    running = build(settings, "http://127.0.0.1:1", backends={"local": world.backend})
    idle = [running.is_idle()]
    for change in (lambda session: imports.begin(session, "e", "token"), lambda session: imports.end(session, "e")):
        with running.core.store.transaction() as session:
            change(session)
        idle.append(running.is_idle())
    running.core.store.close()
    world.close()
    assert idle == [True, False, True]
