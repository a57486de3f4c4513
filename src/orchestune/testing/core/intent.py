"""What an owner may ask of an experiment that is there."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import suppress

import pytest
from sqlalchemy import func, select

from orchestune.controllers.archiving import ORPHAN_SECONDS, Archiving
from orchestune.controllers.finishing import FILES_SECONDS
from orchestune.errors import Ambiguous, Conflict, NotFound, Purged, StoreUnavailable
from orchestune.services import (
    bundles,
    change_experiment,
    create_experiment,
    queue_trial,
    read_experiments,
    read_trials,
    stop_trial,
    uploads,
)
from orchestune.services.read_trials import blob_key
from orchestune.store import records
from orchestune.store.tables import metadata
from orchestune.testing.world import World
from orchestune.testing.world_contract import WorldContract


class IntentContract(WorldContract):
    """Pause, stop, extend, delete; names."""

    def test_pause_lets_running_trials_end_and_resume_goes_on(self, world: World) -> None:
        experiment = world.create(budget=4, parallelism=1)
        worker, lease = world.lease()[0]
        change_experiment.pause(world.core, experiment, False, "ada")
        worker.call(finished=[worker.finish(lease)])
        world.tick(2)
        assert worker.call(want=1)["leases"] == []
        assert world.status(experiment)["state"] == "paused"
        change_experiment.resume(world.core, experiment, "ada")
        assert world.run(experiment)["counts"]["completed"] == 4

    def test_a_pause_of_what_is_over_or_stopped_changes_nothing(self, world: World) -> None:
        experiment = world.create(budget=2, parallelism=1)
        world.run(experiment)
        assert change_experiment.pause(world.core, experiment, True, "ada")["state"] == "completed"
        assert change_experiment.resume(world.core, experiment, "ada")["state"] == "completed"
        other = world.create(budget=2, parallelism=1)
        change_experiment.stop(world.core, other, "ada")
        assert change_experiment.pause(world.core, other, False, "ada")["desired"] == "stopped"

    def test_pause_now_takes_running_trials_back_and_offers_them_again(self, world: World) -> None:
        experiment = world.create(budget=2, parallelism=1)
        worker, lease = world.lease()[0]
        change_experiment.pause(world.core, experiment, True, "ada")
        order = worker.call()["orders"][0]
        assert order["state"] == "preempted"
        worker.call(finished=[worker.finish(lease, state="preempted", points=[])])
        assert world.trials(experiment)[0]["state"] == "queued"
        assert world.status(experiment)["counts"]["running"] == 0
        change_experiment.resume(world.core, experiment, "ada")
        assert world.run(experiment)["counts"]["completed"] == 2
        assert len(read_trials.trial(world.core, experiment, 1)["attempts"]) == 2

    def test_a_trial_that_says_something_while_it_is_stopped_is_not_killed_at_once(self, world: World) -> None:
        experiment = world.create(budget=1, parallelism=1)
        worker, lease = world.lease()[0]
        change_experiment.stop(world.core, experiment, "ada")
        said = {"attempt": lease["attempt"], "token": lease["token"], "started": True, "points": []}
        answer = worker.call(beats=[said])
        assert [ack["result"] for ack in answer["acks"]] == ["ok"]
        assert [(order["attempt"], order["state"]) for order in answer["orders"]] == [(lease["attempt"], "cancelled")]

    @pytest.mark.parametrize("parallelism", [1, 2])
    def test_a_trial_that_is_stopped_is_none_of_the_budget(self, world: World, parallelism: int) -> None:
        experiment = world.create(budget=3, parallelism=parallelism)
        (worker, lease), *_ = world.lease(parallelism)
        number = lease["trial"]
        for _ in range(2):
            shown = stop_trial.stop_trial(world.core, experiment, number, "ada")
            assert (shown["state"], shown["reason"]["code"]) == ("cancelled", "stopped")
            assert shown["attempts"][0]["state"] == "cancelled"
        orders = worker.call()["orders"]
        assert [(order["attempt"], order["state"]) for order in orders] == [(lease["attempt"], "cancelled")]
        assert worker.call(finished=[worker.finish(lease, 0.0)])["acks"][0]["result"] == "superseded"
        shown = world.run(experiment)
        assert (shown["state"], shown["reason"]["code"]) == ("completed", "budget")
        assert shown["counts"]["completed"] == 3 and shown["counts"]["cancelled"] == 1
        assert number not in [best["trial"] for best in shown["best"]]

    def test_a_trial_that_waits_is_stopped_and_a_finished_one_is_not(self, world: World) -> None:
        experiment = world.create(budget=2, parallelism=1)
        queue_trial.queue_trial(world.core, experiment, {"x": 0.25}, "ada")
        assert stop_trial.stop_trial(world.core, experiment, 1, "ada")["state"] == "cancelled"
        shown = world.run(experiment)
        assert shown["counts"] | {"completed": 2, "cancelled": 1, "queued": 0, "running": 0} == shown["counts"]
        with pytest.raises(Conflict, match="completed already"):
            stop_trial.stop_trial(world.core, experiment, 2, "ada")
        with pytest.raises(NotFound, match="no trial 9"):
            stop_trial.stop_trial(world.core, experiment, 9, "ada")

    def test_a_space_whose_last_trial_is_stopped_is_exhausted(self, world: World) -> None:
        choices = [{"name": "x", "type": "categorical", "choices": [1, 2, 3]}]
        experiment = world.create(budget=10, parallelism=3, parameters=choices)
        held = world.lease(3)
        world.tick(3)
        stop_trial.stop_trial(world.core, experiment, held[0][1]["trial"], "ada")
        shown = world.run(experiment)
        assert shown["reason"]["code"] == "exhausted" and shown["state"] == "completed"

    def test_stop_cancels_everything_and_ends_when_the_workers_have(self, world: World) -> None:
        experiment = world.create(budget=10, parallelism=2)
        (worker, lease), _ = world.lease(2)
        shown = change_experiment.stop(world.core, experiment, "ada")
        assert shown["state"] == "stopping"
        assert shown["counts"]["running"] == 0
        orders = worker.call()["orders"]
        assert {order["state"] for order in orders} == {"cancelled"}
        assert worker.call(finished=[worker.finish(lease)])["acks"][0]["result"] == "superseded"
        world.tick(3)
        shown = world.status(experiment)
        assert shown["state"] == "stopped"
        assert shown["counts"]["completed"] == 0
        assert world.backend.ended
        assert change_experiment.stop(world.core, experiment, "ada")["state"] == "stopped"

    def test_a_worker_that_takes_its_time_is_told_once_to_end(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        experiment = world.create(budget=10, parallelism=2)
        world.lease(2)
        told: list[str] = []
        monkeypatch.setattr(world.backend, "end", lambda worker, handle, grace: told.append(worker))
        change_experiment.stop(world.core, experiment, "ada")
        world.tick(5)
        assert len(told) == len(set(told)) > 0
        assert world.status(experiment)["state"] == "stopping"

    def test_what_trials_keep_arrives_before_the_end_of_the_experiment_ends_their_worker(self, world: World) -> None:
        experiment = world.create(budget=1, parallelism=1)
        ((worker, lease),) = world.lease()
        worker.call(finished=[worker.finish(lease)], sending=1)
        world.tick(3)
        shown = world.status(experiment)
        assert shown["state"] == "completed" and not world.backend.ended
        assert [seen["sending"] for seen in shown["workers"]] == [True]
        worker.call(want=1, wait=1)  # a poll was on its way since before
        world.tick()
        assert worker.told_to_drain and not world.backend.ended
        worker.call(sending=0)
        world.tick()
        assert world.backend.ended
        assert [seen["sending"] for seen in world.status(experiment)["workers"]] == [False]

    def test_what_trials_keep_is_not_waited_for_for_ever(self, world: World) -> None:
        world.create(budget=1, parallelism=1)
        ((worker, lease),) = world.lease()
        worker.call(finished=[worker.finish(lease)], sending=1)
        world.tick()
        for _ in range(2):
            world.clock.pass_time(FILES_SECONDS * 0.51)
            worker.call(sending=1)
            assert not world.backend.ended
            world.tick()
        assert world.backend.ended

    @pytest.mark.parametrize("wish", ["stop", "delete"])
    def test_whoever_stops_or_deletes_waits_for_no_files(self, world: World, wish: str) -> None:
        experiment = world.create(budget=2 if wish == "stop" else 1, parallelism=1)
        ((worker, lease),) = world.lease()
        worker.call(finished=[worker.finish(lease)], sending=1)
        world.tick()
        assert not world.backend.ended
        if wish == "stop":
            change_experiment.stop(world.core, experiment, "ada")
        else:
            change_experiment.delete(world.core, experiment, False, "ada")
        world.tick()
        assert world.backend.ended

    def test_extend_goes_on_with_a_finished_experiment(self, world: World) -> None:
        experiment = world.create(budget=3)
        world.run(experiment)
        change_experiment.change_experiment(world.core, experiment, {"budget": 7, "parallelism": 3}, "ada")
        shown = world.run(experiment)
        assert shown["counts"]["completed"] == 7
        assert shown["parallelism"] == 3

    def test_a_budget_below_what_was_handed_out_is_refused(self, world: World) -> None:
        experiment = world.create(budget=5)
        world.run(experiment)
        with pytest.raises(Conflict, match="5 trials"):
            change_experiment.change_experiment(world.core, experiment, {"budget": 3}, "ada")

    def test_delete_hides_and_purge_removes_every_row(self, world: World) -> None:
        experiment = world.create(budget=3)
        world.run(experiment)
        change_experiment.delete(world.core, experiment, False, "ada")
        assert read_experiments.statuses(world.core)["items"] == []
        assert world.status(experiment)["counts"]["completed"] == 3
        change_experiment.delete(world.core, experiment, True, "ada")
        world.tick(4)
        with pytest.raises(NotFound):
            world.status(experiment)
        with world.core.store.reading() as session:
            for table in metadata.sorted_tables:
                if "experiment" in table.c:
                    assert session.select(select(func.count()).select_from(table))[0][0] == 0, table.name

    def test_what_was_purged_is_deleted_again_without_a_word_and_a_typo_is_not(self, world: World) -> None:
        experiment = world.create(budget=1)
        handle = world.run(experiment)["handle"]
        for name in (handle, experiment):
            for purge in (True, False):
                change_experiment.delete(world.core, name, purge, "ada")
                world.tick(4)
            with pytest.raises(Purged, match="removed for good"):
                world.status(name)
        with pytest.raises(NotFound, match="there is no experiment") as caught:
            change_experiment.delete(world.core, handle[:-1] + "_", True, "ada")
        assert not isinstance(caught.value, Purged)

    def test_an_experiment_whose_files_cannot_be_removed_keeps_no_other(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        doomed = [world.create(name=name, budget=1) for name in ("one", "two")]
        for experiment in doomed:
            change_experiment.delete(world.core, experiment, True, "ada")
        keys, locked = world.core.files.keys, set[str]()

        def refuse_the_first(prefix: str) -> Iterator[str]:
            if not locked or prefix in locked:
                locked.add(prefix)
                raise StoreUnavailable("s3://bucket refused ListObjectsV2: AccessDenied")
            return keys(prefix)

        with monkeypatch.context() as patch:
            patch.setattr(world.core.files, "keys", refuse_the_first)
            for _ in range(4):
                with suppress(StoreUnavailable):
                    world.tick()
            left = [experiment for experiment in doomed if not self._is_gone(world, experiment)]
            assert [records.log_prefix(experiment) for experiment in left] == [*locked]
        world.tick()
        assert all(self._is_gone(world, experiment) for experiment in doomed)

    def _is_gone(self, world: World, experiment: str) -> bool:
        try:
            world.status(experiment)
        except Purged:
            return True
        return False

    def test_a_purge_is_not_taken_back_by_another_delete(self, world: World) -> None:
        experiment = world.create(budget=1)
        world.run(experiment)
        change_experiment.delete(world.core, experiment, True, "ada")
        change_experiment.delete(world.core, experiment, False, "ada")
        world.tick(4)
        with pytest.raises(Purged):
            world.status(experiment)

    def test_what_was_deleted_is_listed_again_once_it_goes_on(self, world: World) -> None:
        resumed, extended = world.create(budget=3), world.create(budget=1)
        world.run(extended)
        for experiment in (resumed, extended):
            change_experiment.delete(world.core, experiment, False, "ada")
        change_experiment.change_experiment(world.core, extended, {"parallelism": 2}, "ada")
        assert read_experiments.statuses(world.core)["items"] == []
        change_experiment.resume(world.core, resumed, "ada")
        change_experiment.change_experiment(world.core, extended, {"budget": 2}, "ada")
        assert {item["id"] for item in read_experiments.statuses(world.core)["items"]} == {resumed, extended}
        assert world.run(extended)["counts"]["completed"] == 2

    def test_what_is_being_removed_for_good_does_not_go_on(self, world: World) -> None:
        experiment = world.create(budget=3)
        change_experiment.delete(world.core, experiment, True, "ada")
        with pytest.raises(Conflict, match="removed for good"):
            change_experiment.resume(world.core, experiment, "ada")
        with pytest.raises(Conflict, match="removed for good"):
            change_experiment.change_experiment(world.core, experiment, {"budget": 9}, "ada")
        world.tick(4)
        with pytest.raises(Purged):
            world.status(experiment)

    def test_a_prefix_names_the_visible_one_and_a_hidden_one_only_where_no_other_has_it(self, world: World) -> None:
        hidden, shown = world.create(name="same"), world.create(name="same")
        with pytest.raises(Ambiguous, match=r"'sa' could be same-\w{4} \(pending\) or same-\w{4} \(pending\)"):
            world.status("sa")
        change_experiment.delete(world.core, hidden, False, "ada")
        assert world.status("SA")["id"] == shown
        change_experiment.delete(world.core, "same", False, "ada")
        with pytest.raises(Ambiguous):
            world.status("same")
        change_experiment.delete(world.core, shown, True, "ada")
        world.tick(4)
        assert world.status("same")["id"] == hidden

    def test_a_prefix_of_many_names_the_newest_of_them_and_how_many_more_there_are(self, world: World) -> None:
        handles = [world.status(world.create(name="many"))["handle"] for _ in range(8)]
        with pytest.raises(
            Ambiguous, match=rf"could be {handles[7]} \(pending\), {handles[6]} .*{handles[3]} .* or 3 more"
        ):
            world.status("many")

    def _orphan(self, world: World, code: bytes = b"own") -> str:
        """The digest of code that nothing names any more."""
        digest = hashlib.sha256(code).hexdigest()
        bundles.store(world.core, digest, io.BytesIO(code))
        request = world.request() | {"bundle": digest}
        purged = create_experiment.create_experiment(world.core, request, "ada")["id"]
        change_experiment.delete(world.core, purged, True, "ada")
        world.tick(4)
        return digest

    @pytest.mark.parametrize("done", [False, True], ids=["refused", "done, and the answer was lost"])
    def test_bytes_that_cannot_be_deleted_are_known_until_they_are(
        self, world: World, monkeypatch: pytest.MonkeyPatch, done: bool
    ) -> None:
        digest = self._orphan(world)
        delete = world.core.files.delete

        def refuse(key: str) -> None:
            if done:
                delete(key)
            raise StoreUnavailable("s3://bucket refused DeleteObject: AccessDenied")

        with monkeypatch.context() as patch:
            patch.setattr(world.core.files, "delete", refuse)
            with suppress(StoreUnavailable):
                Archiving(world.core).drop_orphans()
        assert bundles.has(world.core, digest) is not done
        world.clock.pass_time(2 * ORPHAN_SECONDS)
        Archiving(world.core).drop_orphans()
        assert world.core.files.size(blob_key(digest)) is None and not bundles.has(world.core, digest)

    def test_bytes_that_can_never_be_deleted_keep_no_others(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        orphans = {self._orphan(world, b"own"), self._orphan(world, b"another")}
        delete, locked = world.core.files.delete, set[str]()

        def refuse_the_first(key: str) -> None:
            if not locked or key in locked:
                locked.add(key)
                raise StoreUnavailable("s3://bucket refused DeleteObject: AccessDenied")
            delete(key)

        monkeypatch.setattr(world.core.files, "delete", refuse_the_first)
        for _ in range(2):
            with suppress(StoreUnavailable):
                Archiving(world.core).drop_orphans()
        left = {blob_key(digest) for digest in orphans if world.core.files.size(blob_key(digest)) is not None}
        assert left == locked

    def test_a_removal_that_was_cut_off_is_finished_by_the_next_server(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        digest = self._orphan(world)

        class Killed(BaseException):
            pass

        def die(key: str) -> None:
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(world.core.files, "delete", die)
            with pytest.raises(Killed):
                Archiving(world.core).drop_orphans()
        Archiving(world.core).drop_orphans()
        assert world.core.files.size(blob_key(digest)) is None
        bundles.store(world.core, digest, io.BytesIO(b"own"))
        assert bundles.has(world.core, digest) and world.core.files.size(blob_key(digest)) == 3

    def test_whoever_sends_bytes_while_they_are_deleted_sends_them_again(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        digest = self._orphan(world)
        delete = world.core.files.delete

        def meanwhile(key: str) -> None:
            assert not bundles.has(world.core, digest)
            with pytest.raises(StoreUnavailable, match="just being removed"):
                bundles.store(world.core, digest, io.BytesIO(b"own"))
            with pytest.raises(NotFound):
                create_experiment.create_experiment(world.core, world.request() | {"bundle": digest}, "ada")
            delete(key)

        monkeypatch.setattr(world.core.files, "delete", meanwhile)
        Archiving(world.core).drop_orphans()
        bundles.store(world.core, digest, io.BytesIO(b"own"))
        assert world.core.files.size(blob_key(digest)) == 3

    @pytest.mark.parametrize("looks", ["commit", "size"])
    def test_bytes_that_are_being_deleted_are_not_taken_for_those_that_are_sent(
        self, world: World, monkeypatch: pytest.MonkeyPatch, looks: str
    ) -> None:
        digest, files = self._orphan(world), world.core.files
        world.create(budget=1, parallelism=1)
        ((worker, lease),) = world.lease()
        with world.core.store.transaction() as session:
            assert records.let_blob_go(session, digest, session.now)
        look = getattr(files, looks)

        def deleted_right_after(*given: object) -> object:
            found = look(*given)
            monkeypatch.undo()
            Archiving(world.core).drop_orphans()
            return found

        monkeypatch.setattr(files, looks, deleted_right_after)
        sent = [{"path": "own", "digest": digest, "size": 3}]
        said = {"attempt": lease["attempt"], "token": lease["token"], "files": sent}
        send = {
            "commit": lambda: bundles.store(world.core, digest, io.BytesIO(b"own")),
            "size": lambda: uploads.keep_artifacts(world.core, worker.id, said),
        }
        with pytest.raises(StoreUnavailable, match="just being removed"):
            send[looks]()

    def test_bytes_that_somebody_has_just_asked_for_are_not_swept(self, world: World) -> None:
        digest = self._orphan(world)
        assert bundles.has(world.core, digest)
        Archiving(world.core).drop_orphans()
        created = create_experiment.create_experiment(world.core, world.request() | {"bundle": digest}, "ada")
        world.clock.pass_time(2 * ORPHAN_SECONDS)
        Archiving(world.core).drop_orphans()
        assert created["state"] == "pending" and world.core.files.size(blob_key(digest)) == 3

    def test_code_whose_bytes_are_gone_is_asked_for_again(self, world: World) -> None:
        digest = self._orphan(world)
        world.core.files.delete(blob_key(digest))
        assert not bundles.has(world.core, digest)
        bundles.store(world.core, digest, io.BytesIO(b"own"))
        assert bundles.has(world.core, digest)

    def test_a_purged_experiments_files_go_with_the_next_sweep_unless_another_one_names_them(
        self, world: World
    ) -> None:
        contents = {hashlib.sha256(content).hexdigest(): content for content in (b"shared", b"own")}
        for digest, content in contents.items():
            bundles.store(world.core, digest, io.BytesIO(content))
        shared, own = contents
        request = world.request()
        kept = create_experiment.create_experiment(world.core, request | {"bundle": shared}, "ada")["id"]
        purged = [
            create_experiment.create_experiment(world.core, request | {"bundle": d}, "ada")["id"] for d in contents
        ]
        for experiment in purged:
            change_experiment.delete(world.core, experiment, True, "ada")
        world.tick(4)
        Archiving(world.core).drop_orphans()
        assert world.core.files.size(blob_key(shared)) is not None
        assert world.core.files.size(blob_key(own)) is None
        assert world.status(kept)["state"] != "completed"
