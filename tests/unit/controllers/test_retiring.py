"""An idle cluster is archived, and then destroyed; any new work cancels that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from orchestune import documents
from orchestune.archives.archive_store import ArchiveStore
from orchestune.controllers.cluster_teardown import RETRY_SECONDS, TeardownController
from orchestune.errors import Conflict, Denied, StoreUnavailable, Unreachable
from orchestune.files.folder import FolderFiles
from orchestune.services import cluster_teardown
from orchestune.services.commands import change_experiment
from orchestune.services.memory.teardown_plan import TeardownPlan
from orchestune.services.queries.read_cluster import cluster
from tests.contract.world import CoreWorld

HOURS = 8 * 3600.0


@dataclass
class Undertaker:
    """Counts; `fails` is what it says instead."""

    begun: int = 0
    fails: Exception | None = None

    def begin(self) -> None:
        self.begun += 1
        if self.fails is not None:
            raise self.fails


class Place:
    """The world with a controller that ends it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.world = folder, CoreWorld(folder)
        self.undertaker, self.shelf = Undertaker(), ArchiveStore(FolderFiles(folder / "archive"))
        self.start()

    def start(self) -> None:
        """As a new server would have it."""
        self.plan = TeardownPlan(HOURS, "s3://team/vision", {}, self.folder / "retiring")
        self.core = replace(self.world.core, retirement=self.plan)
        self.controller = TeardownController(
            self.core, self.plan, self.undertaker, self._shelf, self.folder / "scratch"
        )
        self.broken: Exception | None = None

    def _shelf(self) -> ArchiveStore:
        if self.broken is not None:
            raise self.broken
        return self.shelf

    def tick(self, seconds: float = 0.0) -> None:
        self.world.clock.pass_time(seconds)
        self.controller.tick()

    def end(self, experiment: str) -> None:
        """It is over, and its workers have gone."""
        self.world.run(experiment)
        for _ in range(100):
            self.world.clock.pass_time(1.0)
            self.world.tick()
            if cluster_teardown.at_rest(self.core):
                return
        raise AssertionError("its workers stay")

    def begun(self) -> bool:
        return self.plan.begun

    def record_count(self) -> int:
        return len(list(self.shelf.records()))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    cluster_place = Place(tmp_path)
    yield cluster_place
    cluster_place.world.close()


def retirement(place: Place) -> documents.Retirement:
    document = cluster(place.core)["retirement"]
    assert document is not None
    return document


def over(place: Place, name: str) -> str:
    """An experiment of one trial that is over, and whose worker has gone."""
    experiment = place.world.create(name=name, budget=1)
    place.end(experiment)
    return experiment


def test_an_idle_cluster_is_archived_and_then_destroyed_and_not_before_its_time(place: Place) -> None:
    over(place, "sgd")
    place.tick()
    place.tick(HOURS - 60)
    assert place.record_count() == 0 and place.undertaker.begun == 0
    place.tick(120)
    assert place.record_count() == 1 and place.undertaker.begun == 0
    place.tick(1)
    assert place.undertaker.begun == 1


def test_what_is_not_over_keeps_it_and_time_counts_anew_afterwards(place: Place) -> None:
    place.tick()
    place.tick(HOURS - 60)
    experiment = place.world.create(name="sgd", budget=1)
    place.tick(120)
    place.tick(10 * HOURS)
    assert place.undertaker.begun == 0 and retirement(place)["idle_since"] is None
    place.end(experiment)
    place.tick()
    place.tick(HOURS - 60)
    assert place.record_count() == 0
    place.tick(120)
    place.tick(1)
    assert place.undertaker.begun == 1


def test_nothing_new_is_taken_once_it_has_begun_and_what_was_on_its_way_calls_it_off(place: Place) -> None:
    place.tick()
    cluster_teardown.refuse(place.core)
    place.tick(HOURS + 1)
    with pytest.raises(Conflict, match="is being destroyed; its records are in s3://team/vision"):
        cluster_teardown.refuse(place.core)
    experiment = place.world.create(name="late", budget=1)
    place.tick(1)
    assert place.undertaker.begun == 0
    cluster_teardown.refuse(place.core)
    place.end(experiment)
    place.tick()
    place.tick(HOURS + 1)
    place.tick(1)
    assert place.undertaker.begun == 1 and place.record_count() == 1


def test_a_server_that_is_started_again_in_the_middle_goes_on_and_still_takes_nothing_new(place: Place) -> None:
    place.tick()
    place.tick(HOURS + 1)
    place.start()
    with pytest.raises(Conflict):
        cluster_teardown.refuse(place.core)
    place.tick()
    assert place.undertaker.begun == 1


def test_a_server_that_is_started_again_before_that_counts_anew(place: Place) -> None:
    place.tick()
    place.tick(HOURS - 60)
    place.start()
    place.tick(120)
    place.tick(HOURS - 60)
    assert place.undertaker.begun == 0 and not place.begun()


@pytest.mark.parametrize("failure", [Denied("you may not s3:PutObject"), StoreUnavailable("the bucket is away")])
def test_without_a_copy_it_is_never_destroyed_and_says_why(place: Place, failure: Exception) -> None:
    over(place, "sgd")
    place.broken = failure
    place.tick()
    for _ in range(3):
        place.tick(HOURS + RETRY_SECONDS)
    assert place.undertaker.begun == 0
    assert str(failure) in retirement(place)["trouble"]
    cluster_teardown.refuse(place.core)
    place.broken = None
    place.tick(RETRY_SECONDS + 1)
    place.tick(1)
    assert place.undertaker.begun == 1 and retirement(place)["trouble"] == ""


def test_a_teardown_that_cannot_be_reached_is_called_again_and_one_that_refuses_is_told_of(place: Place) -> None:
    place.undertaker.fails = Unreachable("no network")
    place.tick()
    place.tick(HOURS + 1)
    place.tick(1)
    place.tick(1)
    assert place.undertaker.begun == 1 and place.begun()
    place.undertaker.fails = Denied("you may not lambda:InvokeFunction")
    place.tick(RETRY_SECONDS + 1)
    assert place.undertaker.begun == 2 and not place.begun()
    assert "lambda:InvokeFunction" in retirement(place)["trouble"]
    cluster_teardown.refuse(place.core)


def test_it_is_asked_again_as_long_as_the_server_is_still_there(place: Place) -> None:
    place.tick()
    place.tick(HOURS + 1)
    place.tick(1)
    place.tick(RETRY_SECONDS / 2)
    assert place.undertaker.begun == 1
    place.tick(RETRY_SECONDS)
    assert place.undertaker.begun == 2


def test_a_paused_experiment_keeps_the_cluster(place: Place) -> None:
    experiment = place.world.create(name="sgd", budget=1)
    change_experiment.pause(place.world.core, experiment, False, "ada")
    place.tick()
    place.tick(10 * HOURS)
    place.tick(1)
    assert place.undertaker.begun == 0


def test_the_status_tells_when_it_goes(place: Place) -> None:
    place.tick()
    status = retirement(place)
    assert status["after"] == HOURS and status["archive"] == "s3://team/vision" and not status["begun"]
    assert status["idle_since"] and status["destroys_at"] and status["destroys_at"] > status["idle_since"]
    assert cluster(place.world.core)["retirement"] is None
