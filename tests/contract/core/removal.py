"""Permanent removal of experiments and files."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest
from sqlalchemy import func, select

from orchestune.controllers.garbage_collection import ORPHAN_SECONDS, GarbageCollection
from orchestune.errors import Conflict, NotFound, Purged, StoreUnavailable
from orchestune.ports.files import FileStoreUnreachable
from orchestune.services import bundles
from orchestune.services.bundles import blob_key
from orchestune.services.commands import change_experiment, create_experiment, rerun_trial
from orchestune.services.commands.change_experiment import Changes
from orchestune.services.execution import uploads
from orchestune.services.queries import read_experiments
from orchestune.store import blobs, logs, removal
from orchestune.store.session import Session
from orchestune.store.tables import attempts, metadata, points
from tests.contract.refusing_files import refusing_the_first
from tests.contract.world import CoreWorld
from tests.contract.world_contract import WorldContract


class RemovalContract(WorldContract):
    """Delete and purge; files that nothing names any more."""

    def test_delete_hides_and_purge_removes_every_row(self, world: CoreWorld) -> None:
        experiment = world.create(budget=3)
        world.run(experiment)
        change_experiment.delete(world.core, experiment, False, "ada")
        assert read_experiments.statuses(world.core)["items"] == []
        status = world.status(experiment)
        assert status["counts"]["completed"] == 3
        purge = f"`orchestune delete {status['handle']} --purge` removes its records"
        assert [note for note in status["notes"] if note.startswith("deleted: hidden from lists") and purge in note]
        change_experiment.delete(world.core, experiment, True, "ada")
        assert world.status(experiment)["notes"][0].startswith("deleted: its records, logs and files are removed")
        world.tick(4)
        with pytest.raises(NotFound):
            world.status(experiment)
        with world.core.store.reading() as session:
            for table in metadata.sorted_tables:
                if "experiment" in table.c:
                    assert session.select(select(func.count()).select_from(table), int) == [0], table.name

    def test_what_was_purged_is_deleted_again_without_a_word_and_a_typo_is_not(self, world: CoreWorld) -> None:
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
        self, world: CoreWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        doomed = [world.create(name=name, budget=1) for name in ("one", "two")]
        for experiment in doomed:
            change_experiment.delete(world.core, experiment, True, "ada")
        why = "s3://bucket refused ListObjectsV2: AccessDenied"
        refuse_the_first, locked = refusing_the_first(world.core.files.keys, why)

        with monkeypatch.context() as patch:
            patch.setattr(world.core.files, "keys", refuse_the_first)
            for _ in range(4):
                with suppress(StoreUnavailable):
                    world.tick()
            remaining = [experiment for experiment in doomed if not self._is_gone(world, experiment)]
            assert [logs.prefix(experiment) for experiment in remaining] == [*locked]
        world.tick()
        assert all(self._is_gone(world, experiment) for experiment in doomed)

    def _is_gone(self, world: CoreWorld, experiment: str) -> bool:
        try:
            world.status(experiment)
        except Purged:
            return True
        return False

    def test_records_go_a_few_at_a_time_and_a_removal_that_was_cut_off_goes_on(
        self, world: CoreWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        survivor, experiment = (world.create(budget=budget, parallelism=1) for budget in (1, 4))
        curve = [[place, "loss", 0.5, float(place), None] for place in range(3)]
        for _ in range(5):
            [(worker, lease)] = world.lease()
            worker.call(finished=[worker.finish(lease, points=curve)])
        change_experiment.delete(world.core, experiment, True, "ada")
        shrink, once = removal.shrink, iter([True])

        def cut_off(session: Session, experiment: str) -> bool:
            if not next(once, False):
                raise StoreUnavailable("cut off")
            return shrink(session, experiment)

        monkeypatch.setattr(removal, "_BATCH_ROWS", 2)
        monkeypatch.setattr(removal, "shrink", cut_off)
        others, rows_left = self._rows(world, survivor), [self._rows(world, experiment)]
        while rows_left[-1]:
            once = iter([True])
            with suppress(StoreUnavailable):
                change_experiment.remove(world.core, experiment)
            rows_left.append(self._rows(world, experiment))
            if rows_left[-1]:
                world.trials(experiment)
                assert world.status(experiment)["counts"]["completed"] == 4
        assert rows_left[0] > 40 and {before - after for before, after in pairwise(rows_left)} == {1, 2}
        monkeypatch.undo()
        change_experiment.remove(world.core, experiment)
        with pytest.raises(Purged):
            world.status(experiment)
        with world.core.store.reading() as session:
            assert session.select(select(func.count()).select_from(points), int) == [len(curve)]
        assert self._rows(world, survivor) == others

    def _rows(self, world: CoreWorld, experiment: str) -> int:
        """Return the number of rows that belong to an experiment, beside its own."""
        own = select(attempts.c.id).where(attempts.c.experiment == experiment)
        queries = [select(func.count()).where(points.c.attempt.in_(own))]
        queries += [
            select(func.count()).where(table.c.experiment == experiment)
            for table in metadata.sorted_tables
            if "experiment" in table.c
        ]
        with world.core.store.reading() as session:
            return sum(sum(session.select(query, int)) for query in queries)

    def test_a_purge_is_not_taken_back_by_another_delete(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1)
        world.run(experiment)
        change_experiment.delete(world.core, experiment, True, "ada")
        change_experiment.delete(world.core, experiment, False, "ada")
        world.tick(4)
        with pytest.raises(Purged):
            world.status(experiment)

    def test_what_was_deleted_is_listed_again_once_it_goes_on(self, world: CoreWorld) -> None:
        resumed, extended = world.create(budget=3), world.create(budget=1)
        world.run(extended)
        for experiment in (resumed, extended):
            change_experiment.delete(world.core, experiment, False, "ada")
        change_experiment.change_experiment(world.core, extended, Changes(parallelism=2), "ada")
        assert read_experiments.statuses(world.core)["items"] == []
        change_experiment.resume(world.core, resumed, "ada")
        change_experiment.change_experiment(world.core, extended, Changes(budget=2), "ada")
        assert {item["id"] for item in read_experiments.statuses(world.core)["items"]} == {resumed, extended}
        done = world.run(extended)
        assert (done["counts"]["completed"], done["notes"]) == (2, [])

    def test_what_is_being_removed_for_good_does_not_go_on(self, world: CoreWorld) -> None:
        experiment = world.create(budget=3)
        change_experiment.delete(world.core, experiment, True, "ada")
        with pytest.raises(Conflict, match="is being purged"):
            change_experiment.resume(world.core, experiment, "ada")
        with pytest.raises(Conflict, match="is being purged"):
            change_experiment.change_experiment(world.core, experiment, Changes(budget=9), "ada")
        world.tick(4)
        with pytest.raises(Purged):
            world.status(experiment)

    def _orphan(self, world: CoreWorld, code: bytes = b"own") -> str:
        """The digest of code that nothing names any more."""
        digest = hashlib.sha256(code).hexdigest()
        bundles.store(world.core, digest, io.BytesIO(code))
        request = replace(world.request(), bundle=digest)
        purged = create_experiment.create_experiment(world.core, request, "ada")["id"]
        change_experiment.delete(world.core, purged, True, "ada")
        world.tick(4)
        return digest

    @pytest.mark.parametrize("done", [False, True], ids=["refused", "done, and the answer was lost"])
    def test_bytes_that_cannot_be_deleted_are_known_until_they_are(
        self, world: CoreWorld, monkeypatch: pytest.MonkeyPatch, done: bool
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
                GarbageCollection(world.core).drop_orphans()
        assert bundles.has(world.core, digest) is not done
        world.clock.pass_time(2 * ORPHAN_SECONDS)
        GarbageCollection(world.core).drop_orphans()
        assert world.core.files.size(blob_key(digest)) is None and not bundles.has(world.core, digest)

    def test_bytes_that_can_never_be_deleted_keep_no_others(
        self, world: CoreWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        orphans = {self._orphan(world, b"own"), self._orphan(world, b"another")}
        why = "s3://bucket refused DeleteObject: AccessDenied"
        refuse_the_first, locked = refusing_the_first(world.core.files.delete, why)

        monkeypatch.setattr(world.core.files, "delete", refuse_the_first)
        with pytest.raises(StoreUnavailable, match=why):
            GarbageCollection(world.core).drop_orphans()
        remaining = {blob_key(digest) for digest in orphans if world.core.files.size(blob_key(digest)) is not None}
        assert remaining == locked

    def test_a_place_of_files_that_is_away_is_asked_for_two_things_at_most(
        self, world: CoreWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        orphans = {self._orphan(world, code) for code in (b"one", b"two", b"three", b"four")}
        keys: list[str] = []

        def wait_in_vain(key: str) -> None:
            keys.append(key)
            raise FileStoreUnreachable("s3://bucket cannot be reached: ReadTimeoutError")

        with monkeypatch.context() as patch:
            for name in ("delete", "size"):
                patch.setattr(world.core.files, name, wait_in_vain)
            with pytest.raises(FileStoreUnreachable):
                GarbageCollection(world.core).drop_orphans()
        assert len(keys) == 2
        GarbageCollection(world.core).drop_orphans()
        assert all(world.core.files.size(blob_key(digest)) is None for digest in orphans)

    def test_a_removal_that_was_cut_off_is_finished_by_the_next_server(
        self, world: CoreWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        digest = self._orphan(world)

        class Killed(BaseException):
            pass

        def die(key: str) -> None:
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(world.core.files, "delete", die)
            with pytest.raises(Killed):
                GarbageCollection(world.core).drop_orphans()
        GarbageCollection(world.core).drop_orphans()
        assert world.core.files.size(blob_key(digest)) is None
        bundles.store(world.core, digest, io.BytesIO(b"own"))
        assert bundles.has(world.core, digest) and world.core.files.size(blob_key(digest)) == 3

    def test_whoever_sends_bytes_while_they_are_deleted_sends_them_again(
        self, world: CoreWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        digest = self._orphan(world)
        delete = world.core.files.delete

        def meanwhile(key: str) -> None:
            assert not bundles.has(world.core, digest)
            with pytest.raises(StoreUnavailable, match="is being deleted"):
                bundles.store(world.core, digest, io.BytesIO(b"own"))
            with pytest.raises(NotFound):
                create_experiment.create_experiment(world.core, replace(world.request(), bundle=digest), "ada")
            delete(key)

        monkeypatch.setattr(world.core.files, "delete", meanwhile)
        GarbageCollection(world.core).drop_orphans()
        bundles.store(world.core, digest, io.BytesIO(b"own"))
        assert world.core.files.size(blob_key(digest)) == 3

    @pytest.mark.parametrize("looks", ["commit", "size"])
    def test_bytes_that_are_being_deleted_are_not_taken_for_those_that_are_sent(
        self, world: CoreWorld, monkeypatch: pytest.MonkeyPatch, looks: str
    ) -> None:
        digest, files = self._orphan(world), world.core.files
        world.create(budget=1, parallelism=1)
        ((worker, lease),) = world.lease()
        with world.core.store.transaction() as session:
            assert blobs.claim_for_deletion(session, digest, session.now)
        look = getattr(files, looks)

        def deleted_right_after(*arguments: object) -> object:
            result = look(*arguments)
            monkeypatch.undo()
            GarbageCollection(world.core).drop_orphans()
            return result

        monkeypatch.setattr(files, looks, deleted_right_after)
        sent = [{"path": "own", "digest": digest, "size": 3}]
        artifacts = {"attempt": lease["attempt"], "token": lease["token"], "files": sent}
        send: dict[str, Callable[[], object]] = {
            "commit": lambda: bundles.store(world.core, digest, io.BytesIO(b"own")),
            "size": lambda: worker.keep_artifacts(artifacts),
        }
        with pytest.raises(StoreUnavailable, match="is being deleted"):
            send[looks]()

    def test_bytes_that_somebody_has_just_asked_for_are_not_swept(self, world: CoreWorld) -> None:
        digest = self._orphan(world)
        assert bundles.has(world.core, digest)
        GarbageCollection(world.core).drop_orphans()
        created = create_experiment.create_experiment(world.core, replace(world.request(), bundle=digest), "ada")
        world.clock.pass_time(2 * ORPHAN_SECONDS)
        GarbageCollection(world.core).drop_orphans()
        assert created["state"] == "pending" and world.core.files.size(blob_key(digest)) == 3

    @pytest.mark.parametrize("swept", [True, False])
    def test_a_rerun_goes_on_from_a_checkpoint_that_stays_or_is_refused(
        self, world: CoreWorld, monkeypatch: pytest.MonkeyPatch, swept: bool
    ) -> None:
        experiment = world.create(budget=1, checkpoint_every=60.0)
        [(worker, lease)] = world.lease()

        def publish(content: bytes) -> str:
            digest = hashlib.sha256(content).hexdigest()
            uploads.append(world.core, worker.id, digest, 0, content)
            checkpoint = {"attempt": lease["attempt"], "token": lease["token"], "digest": digest, "size": len(content)}
            assert worker.checkpoint(checkpoint)["accepted"]
            return digest

        before = publish(b"old")
        world.clock.pass_time(2 * ORPHAN_SECONDS)
        collection, look = GarbageCollection(world.core), blobs.unreferenced

        def meanwhile(*_: object) -> None:
            """The trial that runs publishes a newer one, and what nothing names any more is looked for."""
            publish(b"new")
            with world.core.store.reading() as session:
                blobs_to_delete = look(session, session.now - ORPHAN_SECONDS)
            assert blobs_to_delete == [before]
            monkeypatch.setattr(blobs, "unreferenced", lambda *_: blobs_to_delete)
            if swept:
                collection.drop_orphans()

        monkeypatch.setattr(rerun_trial, "run_preflight", meanwhile)
        again = partial(
            rerun_trial.rerun_trial, world.core, experiment, 1, rerun_trial.Rerun(from_checkpoint=True), "ada"
        )
        if swept:
            with pytest.raises(Conflict, match=r"checkpoint of .*/1 was deleted"):
                again()
            assert len(read_experiments.statuses(world.core)["items"]) == 1
        else:
            again()
            collection.drop_orphans()
            assert world.core.files.size(blob_key(before)) == 3

    def test_code_whose_bytes_are_gone_is_asked_for_again(self, world: CoreWorld) -> None:
        digest = self._orphan(world)
        world.core.files.delete(blob_key(digest))
        assert not bundles.has(world.core, digest)
        bundles.store(world.core, digest, io.BytesIO(b"own"))
        assert bundles.has(world.core, digest)

    def test_a_purged_experiments_files_go_with_the_next_sweep_unless_another_one_names_them(
        self, world: CoreWorld
    ) -> None:
        contents = {hashlib.sha256(content).hexdigest(): content for content in (b"shared", b"own")}
        for digest, content in contents.items():
            bundles.store(world.core, digest, io.BytesIO(content))
        shared, own = contents
        request = world.request()
        rerun = create_experiment.create_experiment(world.core, replace(request, bundle=shared), "ada")["id"]
        purged = [
            create_experiment.create_experiment(world.core, replace(request, bundle=d), "ada")["id"] for d in contents
        ]
        for experiment in purged:
            change_experiment.delete(world.core, experiment, True, "ada")
        world.tick(4)
        GarbageCollection(world.core).drop_orphans()
        assert world.core.files.size(blob_key(shared)) is not None
        assert world.core.files.size(blob_key(own)) is None
        assert world.status(rerun)["state"] != "completed"
