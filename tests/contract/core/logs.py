"""Output of trials, and the retention of logs and files."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import BinaryIO

import pytest
from sqlalchemy import select, update

from orchestune.archives import record
from orchestune.controllers.garbage_collection import INLINE_BYTES, GarbageCollection
from orchestune.controllers.retention import Retention
from orchestune.errors import Conflict, NotFound, StoreUnavailable
from orchestune.ports.backend import WorkerLoss
from orchestune.services import bundles
from orchestune.services.bundles import blob_key
from orchestune.services.commands import change_experiment, create_experiment, import_record, rerun_trial, stop_trial
from orchestune.services.commands.change_experiment import Changes
from orchestune.services.commands.rerun_trial import Rerun
from orchestune.services.execution import uploads
from orchestune.services.queries import export_record, read_logs, read_trials
from orchestune.store import logs, removal
from orchestune.store.session import Session
from orchestune.store.tables import folds, log_segments
from tests.contract.refusing_files import refusing_the_first
from tests.contract.world import CoreWorld
from tests.contract.world_contract import WorldContract


class LogsContract(WorldContract):
    """Logs, their ends and tails, retention."""

    def test_log_parts_that_come_twice_or_overlap_are_kept_once_and_in_order(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=1)
        worker, lease = world.lease()[0]
        beat = worker.started(lease)
        worker.call(beats=[beat | {"logs": [[0, "one\n", 0]]}])
        worker.call(beats=[beat | {"logs": [[0, "one\n", 0], [4, "two\n", 0]]}])
        worker.call(beats=[beat | {"logs": [[12, "never mind\n", 0]]}])
        worker.call(beats=[beat | {"logs": [[4, "two\nthree\n", 0]]}])
        worker.call(beats=[beat | {"logs": [[100, "tail\n", 86]]}])
        items = read_logs.logs(world.core, experiment, 0, 100)["items"]
        assert "".join(item["text"] for item in items) == "one\ntwo\nthree\ntail\n"
        assert [item["gap"] for item in items] == [0, 0, 0, 86]

    def test_a_tail_has_as_many_lines_as_are_asked_for(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=1)
        worker, lease = world.lease()[0]
        beat, at = worker.started(lease), 0
        for text in [f"{number:03} {'long ' * 300}\n" for number in range(100)] + ["a bar\r"] * 30:
            worker.call(beats=[beat | {"logs": [[at, text, 0]]}])
            at += len(text)

        def numbers(tail: int) -> list[str]:
            items = read_logs.logs(world.core, experiment, 0, 1000, tail=tail)["items"]
            lines = "".join(item["text"] for item in items).split("\n")[:-1]
            return [line[:3] for line in lines]

        every = [f"{number:03}" for number in range(100)]
        for tail in (1, 5, 80, 100, 1000):
            assert numbers(tail)[-tail:] == every[-tail:], tail
        assert len(numbers(5)) < 10, "about so many"

    def test_a_trial_shows_the_last_lines_of_attempts_that_run_or_were_lost(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1, parallelism=1)

        def tails() -> list[str | None]:
            return [attempt["tail"] for attempt in world.trial(experiment, 1)["attempts"]]

        worker, lease = world.lease()[0]
        world.tick()
        assert tails() == [""]
        beat = worker.started(lease)
        worker.call(beats=[beat | {"logs": [[0, "".join(f"line {n}\n" for n in range(30)), 0]]}])
        assert tails() == ["\n".join(f"line {n}" for n in range(10, 30))]
        end = len("".join(f"line {n}\n" for n in range(30)))
        worker.call(beats=[beat | {"logs": [[end, "the ", 0], [end + 4, "last", 0]]}])
        world.hear_nothing(20)
        for controller in world.controllers[:2]:
            controller.tick()
        worker, lease = world.lease()[0]
        worker.call(finished=[worker.finish(lease, tail="as it was told")])
        lost, final_tail = tails()
        assert lost is not None and lost.endswith("line 29\nthe last") and final_tail == "as it was told"

    def test_the_last_part_of_a_log_says_so(self, world: CoreWorld) -> None:
        experiment = world.create(budget=2, parallelism=1)
        worker, lease = world.lease()[0]
        worker.call(beats=[worker.started(lease) | {"logs": [[0, "one\n", 0]]}])
        worker.call(finished=[worker.finish(lease, logs=[[4, "two", 0]], log_bytes=7)])
        worker, lease = world.lease()[0]
        worker.call(beats=[worker.started(lease) | {"logs": [[0, "one\n", 0]]}])
        items = read_logs.logs(world.core, experiment, 0, 100)["items"]
        assert [(item["trial"], item["last"]) for item in items] == [(1, False), (1, True), (2, False)]

    def test_the_log_of_a_trial_ends_with_the_trial_once_all_has_arrived(self, world: CoreWorld) -> None:
        experiment = world.create(budget=2, parallelism=1)
        worker, lease = world.lease()[0]

        def over(trial: int | None, limit: int = 100) -> bool:
            return bool(read_logs.logs(world.core, experiment, 0, limit, trial)["over"])

        worker.call(beats=[worker.started(lease) | {"logs": [[0, "one\n", 0]]}])
        assert not over(1)
        worker.call(finished=[worker.finish(lease, logs=[], log_bytes=7)])
        assert not over(1), "its last part is still to come"
        report = {name: lease[name] for name in ("attempt", "token")}
        worker.call(beats=[report | {"logs": [[4, "two", 0]]}])
        assert (over(1), over(2), over(None)) == (True, False, False)
        assert not over(1, limit=1), "there is more to read"
        worker, lease = world.lease()[0]
        worker.call(beats=[worker.started(lease) | {"logs": [[0, "one\n", 0]]}])
        stop_trial.stop_trial(world.core, experiment, lease["trial"], "ada")
        assert not over(lease["trial"]), "it may print more in its grace period"
        report = worker.finish(lease, state="cancelled", points=[], logs=[[4, "two", 0]], log_bytes=7)
        assert worker.call(finished=[report])["acks"][0]["result"] == "superseded"
        assert over(lease["trial"]), "its process has ended"

    def test_the_log_of_a_trial_ends_where_nobody_is_left_to_print_more(self, world: CoreWorld) -> None:
        experiment = world.create(budget=3, parallelism=1)

        def over(trial: int) -> bool:
            return bool(read_logs.logs(world.core, experiment, 0, 100, trial)["over"])

        _, lease = world.lease()[0]
        stop_trial.stop_trial(world.core, experiment, lease["trial"], "ada")
        assert over(lease["trial"]), "it never started"
        worker, lease = world.lease()[0]
        worker.call(beats=[worker.started(lease) | {"logs": [[0, "one\n", 0]]}])
        stop_trial.stop_trial(world.core, experiment, lease["trial"], "ada")
        assert not over(lease["trial"])
        world.backend.gone[worker.id] = "killed"
        world.tick()
        assert over(lease["trial"]), "its worker is gone"
        worker, lease = world.lease()[0]
        worker.call(beats=[worker.started(lease) | {"logs": [[0, "one\n", 0]]}])
        world.backend.gone[worker.id] = "out of memory"
        world.backend.faults[worker.id] = WorkerLoss.OUT_OF_MEMORY
        world.tick()
        assert [trial["state"] for trial in world.trials(experiment)][2] == "failed"
        assert over(lease["trial"]), "its worker died of it"

    def test_logs_and_files_go_long_after_the_end_and_records_stay(self, world: CoreWorld) -> None:
        code, state, weights = b"code", b"state", b"weights"
        digests = {content: hashlib.sha256(content).hexdigest() for content in (code, state, weights)}
        bundles.store(world.core, digests[code], io.BytesIO(code))
        request = replace(world.request(budget=1, parallelism=1, checkpoint_every=1.0), bundle=digests[code])
        experiment = str(create_experiment.create_experiment(world.core, request, "ada")["id"])
        [(worker, lease)] = world.lease()
        for content in (state, weights):
            uploads.append(world.core, worker.id, digests[content], 0, content)
        credentials = {"attempt": lease["attempt"], "token": lease["token"]}
        assert worker.checkpoint(credentials | {"digest": digests[state], "step": 3})["accepted"]
        worker.call(finished=[worker.finish(lease, 0.5)])
        artifact = {"path": "best.pt", "digest": digests[weights], "size": len(weights)}
        assert worker.keep_artifacts(credentials | {"files": [artifact]}) == {"kept": ["best.pt"]}
        assert world.run(experiment)["state"] == "completed"

        def sizes() -> list[int | None]:
            GarbageCollection(world.core).drop_orphans()
            return [world.core.files.size(blob_key(digest)) for digest in digests.values()]

        expiring = Retention(world.core, 3600.0)
        expiring.tick()
        assert (world.status(experiment)["files_dropped_at"], sizes()) == (None, [4, 5, 7])
        assert len(read_logs.logs(world.core, experiment, 0, 10)["items"]) == 1
        world.clock.pass_time(3700.0)
        expiring.tick()
        assert world.status(experiment)["files_dropped_at"] is not None
        assert sizes() == [4, None, None], "the code stays"
        with pytest.raises(Conflict, match=r"checkpoint of test-\w{4}/1 was dropped at 2023-"):
            rerun_trial.rerun_trial(world.core, experiment, 1, Rerun(from_checkpoint=True), "ada")
        assert read_logs.logs(world.core, experiment, 0, 10)["items"] == []
        assert read_trials.artifacts(world.core, experiment, 1) == []
        assert world.trial(experiment, 1)["metrics"]["loss"]["value"] == 0.5

    def _with_moved_logs(self, world: CoreWorld) -> tuple[str, str]:
        """An experiment that is over, and what its trial printed."""
        experiment = world.create(budget=1)
        [(worker, lease)] = world.lease()
        text = "x" * (INLINE_BYTES + 1) + "\n"
        worker.call(finished=[worker.finish(lease, logs=[[0, text, 0]], log_bytes=len(text))])
        assert world.run(experiment)["state"] == "completed"
        GarbageCollection(world.core).move_logs()
        return experiment, text

    def test_nothing_is_held_open_in_the_store_while_a_record_fetches_its_logs(
        self, world: CoreWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        experiment, text = self._with_moved_logs(world)
        reading, fetch = world.core.store.reading, world.core.files.open
        opened, opens = [0], []

        @contextmanager
        def counted() -> Iterator[Session]:
            with reading() as session:
                opened[0] += 1
                try:
                    yield session
                finally:
                    opened[0] -= 1

        def fetched(key: str, start: int = 0) -> BinaryIO:
            opens.append((key, opened[0]))
            return fetch(key, start)

        monkeypatch.setattr(world.core.store, "reading", counted)
        monkeypatch.setattr(world.core.files, "open", fetched)
        stream = io.BytesIO()
        export_record.write(world.core, experiment, stream)
        [key] = world.core.files.keys("logs/")
        assert opens == [(key, 0)]
        monkeypatch.undo()
        change_experiment.delete(world.core, experiment, True, "ada")
        world.tick(4)
        stream.seek(0)
        import_record.read(world.core, stream)
        assert [item["text"] for item in read_logs.logs(world.core, experiment, 0, 10)["items"]] == [text]

    def test_logs_of_a_record_that_comes_in_are_kept_as_long_as_if_it_had_ended_then(self, world: CoreWorld) -> None:
        experiment, _ = self._with_moved_logs(world)
        stream = io.BytesIO()
        export_record.write(world.core, experiment, stream)
        change_experiment.delete(world.core, experiment, True, "ada")
        world.tick(4)
        world.clock.pass_time(9000.0)
        stream.seek(0)
        import_record.read(world.core, stream)
        expiring, log_counts = Retention(world.core, 3600.0), []
        for _ in range(2):
            expiring.tick()
            log_counts.append(len(read_logs.logs(world.core, experiment, 0, 10)["items"]))
            world.clock.pass_time(3700.0)
        assert log_counts == [1, 0]

    def test_what_somebody_removed_from_the_place_of_files_hides_nothing_else(self, world: CoreWorld) -> None:
        experiment = world.create(budget=2, parallelism=1)
        weights = hashlib.sha256(b"weights").hexdigest()
        for text in ("x" * (INLINE_BYTES + 1), "short"):
            [(worker, lease)] = world.lease()
            uploads.append(world.core, worker.id, weights, 0, b"weights")
            worker.call(finished=[worker.finish(lease, logs=[[0, text, 0]], log_bytes=len(text))])
            credentials = {"attempt": lease["attempt"], "token": lease["token"]}
            files = [{"path": "best.pt", "digest": weights, "size": 7}]
            worker.keep_artifacts(credentials | {"files": files})
        assert world.run(experiment)["state"] == "completed"
        GarbageCollection(world.core).move_logs()
        for key in [*world.core.files.keys("logs/"), blob_key(weights)]:
            world.core.files.delete(key)
        message = "65,537 bytes of this log are missing in the server's file store"
        log_items = read_logs.logs(world.core, experiment, 0, 10)["items"]
        assert [item["text"] for item in log_items] == [f"orchestune: {message}\n", "short"]
        with pytest.raises(NotFound, match=r"'best\.pt' of trial 1 is missing in the server's file store"):
            read_trials.open_artifact(world.core, experiment, 1, "best.pt")
        stream = export_record.open_archive(world.core, experiment).file
        with stream:
            verification = record.verify(stream)
            assert (verification.lost, verification.head.files) == (2, {})
            stream.seek(0)
            assert import_record.read(world.core, stream)["experiment"] == experiment

    def test_a_log_that_grew_since_a_server_died_while_it_moved_it_is_whole(
        self, world: CoreWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        experiment = world.create(budget=1)
        [(worker, lease)] = world.lease()
        text, more = "x" * INLINE_BYTES + "\n", "the end\n"
        worker.call(finished=[worker.finish(lease, logs=[[0, text, 0]], log_bytes=len(text + more))])

        def dies(*_: object) -> None:
            raise StoreUnavailable("the server dies")

        with monkeypatch.context() as broken:
            broken.setattr("orchestune.store.logs.moved", dies)
            with pytest.raises(StoreUnavailable):
                GarbageCollection(world.core).move_logs()
        credentials = {"attempt": lease["attempt"], "token": lease["token"]}
        worker.call(beats=[credentials | {"logs": [[len(text), more, 0]]}])
        GarbageCollection(world.core).move_logs()
        log_items = read_logs.logs(world.core, experiment, 0, 10)["items"]
        assert "".join(item["text"] for item in log_items) == text + more

    def test_a_server_that_dies_while_it_drops_logs_leaves_none_that_nobody_names(
        self, world: CoreWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        experiment, _ = self._with_moved_logs(world)
        [key] = world.core.files.keys("logs/")
        world.clock.pass_time(3700.0)

        def dies(key: str) -> None:
            raise StoreUnavailable("the server dies")

        with monkeypatch.context() as broken:
            broken.setattr(world.core.files, "delete", dies)
            with pytest.raises(StoreUnavailable):
                Retention(world.core, 3600.0).tick()
        assert world.status(experiment)["files_dropped_at"] is None and world.core.files.size(key) is not None
        Retention(world.core, 3600.0).tick()
        assert world.status(experiment)["files_dropped_at"] is not None and world.core.files.size(key) is None
        assert list(world.core.files.keys("logs/")) == []

    def test_an_experiment_whose_files_cannot_be_dropped_keeps_no_other(
        self, world: CoreWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = [self._with_moved_logs(world)[0] for _ in range(2)]
        keys = sorted(world.core.files.keys("logs/"))
        world.clock.pass_time(3700.0)
        why = "s3://bucket refused DeleteObject: AccessDenied"
        refuse_the_first, refused = refusing_the_first(world.core.files.delete, why)
        expiring = Retention(world.core, 3600.0)
        with monkeypatch.context() as broken:
            broken.setattr(world.core.files, "delete", refuse_the_first)
            with pytest.raises(StoreUnavailable, match="AccessDenied"):
                expiring.tick()
        assert set(keys) - set(world.core.files.keys("logs/")) == set(keys) - refused
        world.clock.pass_time(700.0)
        expiring.tick()
        assert list(world.core.files.keys("logs/")) == []
        assert all(world.status(experiment)["files_dropped_at"] for experiment in old)

    def test_experiments_whose_files_cannot_be_dropped_keep_no_later_ones_however_many_they_are(
        self, world: CoreWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = [self._with_moved_logs(world)[0] for _ in range(5)]
        locked = tuple(map(logs.prefix, old[:2]))
        world.clock.pass_time(3700.0)
        delete, expiring = world.core.files.delete, Retention(world.core, 3600.0)

        def refuse(key: str) -> None:
            if key.startswith(locked):
                raise StoreUnavailable("s3://bucket refused DeleteObject: AccessDenied")
            delete(key)

        monkeypatch.setattr("orchestune.controllers.retention.MAX_EXPERIMENTS_PER_TICK", 2)
        with monkeypatch.context() as broken:
            broken.setattr(world.core.files, "delete", refuse)
            for _ in range(3):
                with suppress(StoreUnavailable):
                    expiring.tick()
        dropped = [world.status(experiment)["files_dropped_at"] is not None for experiment in old]
        assert dropped == [False, False, True, True, True]
        world.clock.pass_time(700.0)
        expiring.tick()
        assert all(world.status(experiment)["files_dropped_at"] for experiment in old)

    def test_files_are_forgotten_a_few_at_a_time_so_that_nobody_waits_for_long(
        self, world: CoreWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        experiment = world.create(budget=5)
        world.run(experiment)
        with world.core.store.transaction() as session:
            session.change(update(folds).values(checkpoint='{"digest": "abc"}'))
        drop, remaining = removal.drop_files, [10]

        def counted(session: Session, experiment: str) -> bool:
            more = drop(session, experiment)
            segments = session.select(select(log_segments.c.seq).where(log_segments.c.experiment == experiment), int)
            checkpoints = session.select(select(folds.c.trial).where(folds.c.checkpoint.is_not(None)), int)
            remaining.append(len(segments) + len(checkpoints))
            return more

        monkeypatch.setattr(removal, "_BATCH_ROWS", 2)
        monkeypatch.setattr(removal, "drop_files", counted)
        change_experiment.drop_files(world.core, experiment)
        assert remaining == [10, 8, 6, 5, 3, 1, 0, 0]
        assert world.status(experiment)["files_dropped_at"]

    def test_nothing_is_dropped_of_an_experiment_that_goes_on_by_then(self, world: CoreWorld) -> None:
        experiment, text = self._with_moved_logs(world)
        change_experiment.change_experiment(world.core, experiment, Changes(budget=2), "ada")
        change_experiment.drop_files(world.core, experiment)
        assert [item["text"] for item in read_logs.logs(world.core, experiment, 0, 10)["items"]] == [text]

    def test_an_experiment_that_goes_on_keeps_its_new_logs_as_long_as_others(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1)
        world.run(experiment)
        expiring = Retention(world.core, 3600.0)
        world.clock.pass_time(3700.0)
        expiring.tick()
        change_experiment.change_experiment(world.core, experiment, Changes(budget=2), "ada")
        world.run(experiment)
        world.clock.pass_time(1800.0)
        expiring.tick()
        assert [item["trial"] for item in read_logs.logs(world.core, experiment, 0, 10)["items"]] == [2]
        world.clock.pass_time(1900.0)
        expiring.tick()
        assert read_logs.logs(world.core, experiment, 0, 10)["items"] == []
