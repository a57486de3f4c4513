"""Files of trials that are on their way when their experiment comes to its end."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import pytest

from orchestune.controllers.finishing import FILES_SECONDS, STOPPED_FILES_SECONDS
from orchestune.controllers.garbage_collection import ORPHAN_SECONDS, GarbageCollection
from orchestune.errors import StoreUnavailable
from orchestune.services.commands import change_experiment
from orchestune.services.execution import uploads
from orchestune.services.execution.requeue import MAX_DELAY_SECONDS
from orchestune.services.queries import read_trials
from tests.contract.world import CoreWorld, FakeWorker
from tests.contract.world_contract import WorldContract


class HandingInContract(WorldContract):
    """They arrive, within limits, and those that do not arrive are reported."""

    def test_what_trials_keep_arrives_before_the_end_of_the_experiment_ends_their_worker(
        self, world: CoreWorld
    ) -> None:
        experiment = world.create(budget=1, parallelism=1)
        ((worker, lease),) = world.lease()
        worker.call(finished=[worker.finish(lease)], sending=1)
        world.tick(3)
        status = world.status(experiment)
        assert status["state"] == "completed" and not world.backend.ended
        assert [worker["sending"] for worker in status["workers"]] == [True]
        worker.call(want=1, wait=1)  # a poll was on its way since before
        world.tick()
        assert worker.told_to_drain and not world.backend.ended
        worker.call(sending=0)
        world.tick()
        assert world.backend.ended
        assert [worker["sending"] for worker in world.status(experiment)["workers"]] == [False]

    def test_what_trials_keep_is_not_waited_for_for_ever(self, world: CoreWorld) -> None:
        world.create(budget=1, parallelism=1)
        ((worker, lease),) = world.lease()
        worker.call(finished=[worker.finish(lease)], sending=1)
        _sends_for_ever(world, worker, FILES_SECONDS)

    def test_whoever_stops_ends_trials_at_once_and_lets_files_of_completed_ones_arrive(self, world: CoreWorld) -> None:
        experiment, worker, second = _one_sends_and_one_runs(world)
        change_experiment.stop(world.core, experiment, "ada")
        world.tick()
        orders = worker.call(sending=1)["orders"]
        assert [(order["attempt"], order["state"]) for order in orders] == [(second["attempt"], "cancelled")]
        world.clock.pass_time(world.core.beat_seconds * 5)
        world.tick()
        assert worker.told_to_drain and not world.backend.ended
        assert world.status(experiment)["state"] == "stopping"
        worker.call(sending=0)
        world.tick(2)
        assert world.backend.ended and world.status(experiment)["state"] == "stopped"

    def test_files_of_what_somebody_stopped_are_not_waited_for_for_ever(self, world: CoreWorld) -> None:
        experiment, worker, _ = _one_sends_and_one_runs(world)
        change_experiment.stop(world.core, experiment, "ada")
        _sends_for_ever(world, worker, STOPPED_FILES_SECONDS)

    def test_a_worker_that_hears_nothing_of_the_stop_is_ended_by_its_place_whatever_it_sends(
        self, world: CoreWorld
    ) -> None:
        experiment, *_ = _one_sends_and_one_runs(world)
        change_experiment.stop(world.core, experiment, "ada")
        world.tick()
        assert not world.backend.ended
        world.clock.pass_time(world.core.beat_seconds)
        world.tick()
        assert world.backend.ended

    def test_whoever_deletes_waits_for_no_files(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=1)
        ((worker, lease),) = world.lease()
        worker.call(finished=[worker.finish(lease)], sending=1)
        world.tick()
        assert not world.backend.ended
        change_experiment.delete(world.core, experiment, False, "ada")
        world.tick()
        assert world.backend.ended

    def test_files_that_went_with_their_worker_are_told_of_their_trial(self, world: CoreWorld) -> None:
        experiment = world.create(budget=4, parallelism=1)
        ((worker, lease),) = world.lease()
        leases = [lease]
        for files in (2, 1, 0):
            done = worker.finish(leases[-1]) | {"files": files}
            leases += worker.call(want=1, finished=[done], sending=1)["leases"] or worker.call(want=1)["leases"]
        reasons = [_reason_of(world, experiment, number) for number in (1, 2, 3)]
        on_the_way = {"code": "files_on_the_way", "message": "uploading 2 files"}
        assert reasons == [on_the_way, on_the_way | {"message": "uploading 1 file"}, None]
        artifacts = {"attempt": leases[0]["attempt"], "token": leases[0]["token"], "files": []}
        worker.keep_artifacts(artifacts)
        world.backend.gone[worker.id] = ""
        world.tick()
        reasons = [_reason_of(world, experiment, number) for number in (1, 2, 3)]
        text = "its files did not arrive: worker w1 is gone: its process ended"
        assert reasons == [None, {"code": "files_lost", "message": text}, None]
        status = world.status(experiment)
        assert status["workers"][0]["reason"] == "files of 1 attempt did not arrive; its process ended"
        assert status["counts"]["completed"] == 3

    def test_files_that_were_refused_are_told_of_their_trial_once_it_has_ended(self, world: CoreWorld) -> None:
        experiment = world.create(budget=2, parallelism=1)
        ((worker, lease),) = world.lease()
        artifacts = {"attempt": lease["attempt"], "token": lease["token"], "files": [], "refused": "HTTP 413"}
        with pytest.raises(StoreUnavailable, match="has not ended yet"):
            worker.keep_artifacts(artifacts)
        worker.call(finished=[worker.finish(lease) | {"files": 1}], sending=1)
        assert worker.keep_artifacts(artifacts) == {"kept": []}
        text = "its files did not arrive: they were refused: HTTP 413"
        assert _reason_of(world, experiment, 1) == {"code": "files_lost", "message": text}
        ((worker, lease),) = world.lease()
        worker.call(finished=[worker.finish(lease)])
        artifacts = {"attempt": lease["attempt"], "token": lease["token"], "files": [], "refused": "HTTP 413"}
        worker.keep_artifacts(artifacts)
        assert _reason_of(world, experiment, 2) is None, "it waits for none"

    @pytest.mark.parametrize("ends_first", [True, False])
    def test_files_of_which_some_have_arrived_are_on_their_way_still(self, world: CoreWorld, ends_first: bool) -> None:
        experiment = world.create(budget=1, parallelism=1)
        ((worker, lease),) = world.lease()
        end = worker.finish(lease) | {"files": 3}
        if ends_first:
            worker.call(finished=[end], sending=1)
        worker.keep_artifacts(_handed_in(world, worker, lease, "a", "b") | {"more": True})
        if not ends_first:
            worker.call(finished=[end], sending=1)
        assert _reason_of(world, experiment, 1)["code"] == "files_on_the_way"
        worker.keep_artifacts(_handed_in(world, worker, lease, "c"))
        assert _reason_of(world, experiment, 1) is None

    def test_files_that_arrive_before_the_end_of_their_trial_are_not_waited_for(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=1)
        ((worker, lease),) = world.lease()
        worker.keep_artifacts(_handed_in(world, worker, lease, "best.pt"))
        worker.call(finished=[worker.finish(lease) | {"files": 1}])
        assert _reason_of(world, experiment, 1) is None

    def test_files_of_an_attempt_that_a_newer_one_has_replaced_are_not_those_of_the_trial(
        self, world: CoreWorld
    ) -> None:
        experiment = world.create(budget=1, parallelism=1, checkpoint_every=1.0)
        ((worker, old),) = world.lease()
        worker.call(finished=[worker.finish(old, state="lost", points=[])])
        world.clock.pass_time(MAX_DELAY_SECONDS)
        ((worker, new),) = world.lease()
        answer = worker.keep_artifacts(_handed_in(world, worker, new, "best.pt", content=b"new"))
        worker.call(finished=[worker.finish(new) | {"files": 1}])
        late = _handed_in(world, worker, old, "best.pt", "last.pt", content=b"old")
        assert (answer, worker.keep_artifacts(late)) == ({"kept": ["best.pt"]}, {"kept": []})
        artifact_list = read_trials.artifacts(world.core, experiment, 1)
        assert artifact_list == [{"path": "best.pt", "digest": hashlib.sha256(b"new").hexdigest(), "size": 3}]

    @pytest.mark.parametrize("what", ["files", "checkpoint"])
    def test_what_is_not_wanted_of_an_attempt_goes_with_the_next_sweep(self, world: CoreWorld, what: str) -> None:
        world.create(budget=1, parallelism=1, checkpoint_every=1.0)
        ((worker, old),) = world.lease()
        worker.call(finished=[worker.finish(old, state="lost", points=[])])
        world.clock.pass_time(MAX_DELAY_SECONDS)
        world.lease()
        late = _handed_in(world, worker, old, "best.pt", content=b"old")
        if what == "files":
            worker.keep_artifacts(late)
        else:
            assert not worker.checkpoint({**late, **late["files"][0]})["accepted"]
        world.clock.pass_time(2 * ORPHAN_SECONDS)
        GarbageCollection(world.core).drop_orphans()
        assert list(world.core.files.keys("blobs/")) == []


def _sends_for_ever(world: CoreWorld, worker: FakeWorker, most: float) -> None:
    """It is waited for, but for so many seconds at most."""
    world.tick()
    for _ in range(2):
        world.clock.pass_time(most * 0.51)
        worker.call(sending=1)
        assert not world.backend.ended
        world.tick()
    assert world.backend.ended


def _handed_in(
    world: CoreWorld, worker: FakeWorker, lease: Mapping[str, Any], *paths: str, content: bytes = b"x"
) -> dict[str, Any]:
    """Build a worker's report of uploaded files."""
    digest = hashlib.sha256(content).hexdigest()
    uploads.append(world.core, worker.id, digest, 0, content)
    files = [{"path": path, "digest": digest, "size": len(content)} for path in paths]
    return {"attempt": lease["attempt"], "token": lease["token"], "files": files}


def _one_sends_and_one_runs(world: CoreWorld) -> tuple[str, FakeWorker, dict[str, Any]]:
    """An experiment, its worker, and what that runs while files of another trial are on their way."""
    experiment = world.create(budget=3, parallelism=1)
    ((worker, lease),) = world.lease()
    worker.call(finished=[worker.finish(lease)], sending=1)
    (second,) = worker.call(want=1)["leases"]
    return experiment, worker, second


def _reason_of(world: CoreWorld, experiment: str, number: int) -> Any:
    (attempt,) = world.trial(experiment, number)["attempts"]
    return attempt["reason"]
