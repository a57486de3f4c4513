"""A disk that takes no more, as users see it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from orchestune.errors import StoreUnavailable
from orchestune.outgoing.destinations import AllowedDestinations
from orchestune.outgoing.settings import Outgoing
from orchestune.services.commands import create_experiment
from orchestune.services.queries import read_experiments
from orchestune.store import blobs
from tests.contract.world import CoreWorld
from tests.testbeds.disks import small_disk


@pytest.fixture
def world(tmp_path: Path) -> Iterator[CoreWorld]:
    with small_disk(tmp_path / "disk", 4) as disk:
        core_world = CoreWorld(disk)
        yield core_world
        core_world.close()


def fill(world: CoreWorld) -> None:
    for size in (100_000, 1000):
        with suppress(StoreUnavailable):
            for index in range(1000):
                with world.core.store.transaction() as session:
                    blobs.put(session, f"{size}-{index}", "x" * size, 1)


def listed_notes(world: CoreWorld) -> dict[str, list[str]]:
    return {item["id"]: item["notes"] for item in read_experiments.statuses(world.core)["items"] if "notes" in item}


def test_an_experiment_tells_of_a_full_disk_while_it_waits_for_it(world: CoreWorld) -> None:
    done = world.create(budget=1)
    assert world.run(done)["state"] == "completed"
    waiting = world.create(budget=1)
    assert world.status(waiting)["notes"] == []
    fill(world)
    [note] = world.status(waiting)["notes"]
    assert note.startswith("the disk of the store is full: ")
    assert world.status(done)["notes"] == []
    assert listed_notes(world) == {waiting: [note]}
    world.clock.pass_time(15)
    assert world.status(waiting)["notes"] == []
    assert listed_notes(world) == {}


def test_suggestions_that_find_the_disk_full_keep_their_loop_waiting_which_says_so_once(
    world: CoreWorld, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        world.create(budget=1)
    fill(world)
    with pytest.raises(StoreUnavailable, match="full"):
        world.suggesting.tick()
    assert not caplog.records


def test_a_worker_whose_reports_find_no_room_is_not_taken_for_silent(world: CoreWorld) -> None:
    ballast = world.folder / "ballast"
    ballast.write_bytes(bytes(400_000))
    running = world.create(budget=1)
    world.lease()
    fill(world)
    ballast.unlink()
    for _ in range(6):
        world.clock.pass_time(5)
        with suppress(StoreUnavailable), world.core.store.transaction() as session:
            blobs.put(session, "report", "x" * 1_000_000, 1)
        world.lost_workers.tick()
    assert [worker["state"] for worker in world.status(running)["workers"]] == ["busy"]


def test_no_secret_is_left_of_what_could_not_be_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = CoreWorld(tmp_path)
    core = replace(world.core, outgoing=Outgoing(AllowedDestinations(everywhere=True)))
    keep = core.secrets.put

    def full_by_then(name: str, values: Mapping[str, str]) -> None:
        if name.endswith("-outgoing"):
            raise StoreUnavailable("no space is left for secrets")
        keep(name, values)

    monkeypatch.setattr(core.secrets, "put", full_by_then)
    request = world.request(secrets=[{"name": "KEY", "source": "env:KEY"}], notify=[{"url": "https://192.0.2.1/hook"}])
    with pytest.raises(StoreUnavailable):
        create_experiment.create_experiment(core, replace(request, secrets={"KEY": "value"}), "ada")
    assert list((tmp_path / "secrets").iterdir()) == []
    world.close()
