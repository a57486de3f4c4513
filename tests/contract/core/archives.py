"""Experiments that go from one server to another."""

from __future__ import annotations

import hashlib
import io
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec import structs
from sqlalchemy import func, select

from orchestune.archives import format, record
from orchestune.errors import Conflict, NotFound, StoreUnavailable
from orchestune.services.commands import change_experiment, import_record, rerun_trial
from orchestune.services.commands.change_experiment import Changes
from orchestune.services.commands.rerun_trial import Rerun
from orchestune.services.execution import uploads
from orchestune.services.queries import export_record, read_columns, read_experiments, read_logs
from orchestune.store import archive, experiments, imports, workers
from orchestune.store.session import Session
from orchestune.store.tables import metadata
from tests.contract.world import CoreWorld
from tests.contract.world_contract import WorldContract


class Killed(BaseException):
    """Raised where a server is killed in the middle of an import."""


class ArchivesContract(WorldContract):
    """Imports of a record into a server that has it, or that has forgotten it as if it were another one."""

    def _exported(self, world: CoreWorld, experiment: str) -> io.BytesIO:
        record = io.BytesIO()
        export_record.write(world.core, experiment, record)
        return record

    def _read(self, world: CoreWorld, record: io.BytesIO) -> bool:
        record.seek(0)
        return bool(import_record.read(world.core, record)["imported"])

    def _forget(self, world: CoreWorld, experiment: str) -> None:
        change_experiment.delete(world.core, experiment, True, "ada")
        world.tick(4)

    def test_one_that_had_workers_still_when_it_left_goes_on_elsewhere(self, world: CoreWorld) -> None:
        experiment = world.create(budget=3)
        world.run(experiment)
        record = self._exported(world, experiment)
        self._forget(world, experiment)
        assert self._read(world, record)
        with world.core.store.reading() as session:
            ended_workers = workers.of_experiment(session, experiment)
        assert len(ended_workers) == 2
        assert all(worker.state == "ended" and worker.ended_at == worker.seen_at for worker in ended_workers)
        change_experiment.change_experiment(world.core, experiment, Changes(budget=6), "bob")
        assert world.run(experiment)["counts"]["completed"] == 6

    def test_the_place_of_files_is_asked_for_several_at_once(
        self, world: CoreWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A bucket answers after a while, and trials may have kept thousands."""
        experiment = world.create(budget=1, parallelism=1)
        [(worker, lease)] = world.lease()
        files = []
        for content in (b"a", b"b", b"c", b"d"):
            digest = hashlib.sha256(content).hexdigest()
            uploads.append(world.core, worker.id, digest, 0, content)
            files.append({"path": content.decode(), "digest": digest, "size": 1})
        artifacts = {"attempt": lease["attempt"], "token": lease["token"], "files": files}
        worker.keep_artifacts(artifacts)
        worker.call(finished=[worker.finish(lease)])
        world.run(experiment)
        size, together = world.core.files.size, threading.Barrier(4)

        def answer(key: str) -> int | None:
            together.wait(30)
            return size(key)

        with monkeypatch.context() as patch:
            patch.setattr(world.core.files, "size", answer)
            incoming = self._exported(world, experiment)
            assert not self._read(world, incoming)
        incoming.seek(0)
        assert {*record.verify(incoming).head.files} == {item["digest"] for item in files}

    def test_one_of_a_cluster_that_is_not_here_stays_over_and_says_why(self, world: CoreWorld) -> None:
        experiment = world.create(budget=3)
        world.run(experiment)
        change_experiment.stop(world.core, experiment, "ada")
        before = world.status(experiment)
        world.core.backends.pop("local")  # type: ignore[attr-defined]
        with pytest.raises(Conflict, match="ran in the cluster 'local', which this server does not have") as caught:
            change_experiment.change_experiment(world.core, experiment, Changes(budget=6), "bob")
        assert "--warm-start" in caught.value.hint
        assert world.status(experiment) == {**before, "resources": world.status(experiment)["resources"]}

    def test_one_that_was_deleted_is_in_lists_again_where_it_comes_in(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1)
        world.run(experiment)
        change_experiment.delete(world.core, experiment, False, "ada")
        record = self._exported(world, experiment)
        self._forget(world, experiment)
        assert self._read(world, record)
        assert [item["id"] for item in read_experiments.statuses(world.core)["items"]] == [experiment]

    def test_what_is_being_removed_for_good_is_neither_sent_nor_there(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1)
        world.run(experiment)
        record = self._exported(world, experiment)
        change_experiment.delete(world.core, experiment, True, "ada")
        with pytest.raises(Conflict, match=r"test-\w{4} is being purged"):
            self._exported(world, experiment)
        with pytest.raises(Conflict, match=r"test-\w{4} is being purged on this server"):
            self._read(world, record)
        assert read_experiments.statuses(world.core, hidden=True)["items"] == []
        world.tick(4)
        assert self._read(world, record)

    def test_logs_that_were_dropped_elsewhere_stay_here(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1)
        world.run(experiment)
        whole = self._exported(world, experiment)
        change_experiment.drop_files(world.core, experiment)
        without = self._exported(world, experiment)
        self._forget(world, experiment)
        assert [self._read(world, record) for record in (whole, without)] == [True, False]
        assert len(read_logs.logs(world.core, experiment, 0, 10)["items"]) == 1

    def test_one_whose_logs_were_dropped_here_has_not_gone_on_by_that(
        self, world: CoreWorld, two_states: tuple[str, io.BytesIO, io.BytesIO]
    ) -> None:
        experiment, earlier, later = two_states
        self._read(world, earlier)
        change_experiment.drop_files(world.core, experiment)
        assert self._read(world, later)
        assert world.status(experiment)["counts"]["completed"] == 6

    def test_a_trial_of_a_cluster_that_is_not_here_is_repeated_where_it_can_be(self, world: CoreWorld) -> None:
        experiment = world.create(budget=1)
        world.run(experiment)
        with world.core.store.transaction() as session:
            experiments.change(session, experiment, cluster="prod")
        repeated = [
            rerun_trial.rerun_trial(world.core, experiment, 1, again, "bob")["cluster"]
            for again in (Rerun(), Rerun(cluster="empty"))
        ]
        assert repeated == ["local", "empty"]
        with pytest.raises(NotFound, match="there is no cluster 'moon'"):
            rerun_trial.rerun_trial(world.core, experiment, 1, Rerun(cluster="moon"), "bob")

    def _extended(self, world: CoreWorld, experiment: str, budget: int) -> io.BytesIO:
        change_experiment.change_experiment(world.core, experiment, Changes(budget=budget), "ada")
        assert world.run(experiment)["counts"]["completed"] == budget
        return self._exported(world, experiment)

    @pytest.fixture
    def two_states(self, world: CoreWorld) -> tuple[str, io.BytesIO, io.BytesIO]:
        """An experiment that is not here, its record with three trials, and the one after it went on to six."""
        experiment = world.create(budget=3)
        world.run(experiment)
        earlier = self._exported(world, experiment)
        later = self._extended(world, experiment, 6)
        self._forget(world, experiment)
        return experiment, earlier, later

    def test_one_that_went_on_elsewhere_takes_the_place_of_what_it_was(
        self, world: CoreWorld, two_states: tuple[str, io.BytesIO, io.BytesIO]
    ) -> None:
        experiment, earlier, later = two_states
        read = [self._read(world, record) for record in (earlier, earlier, later, later, earlier)]
        assert read == [True, False, True, False, False]
        assert world.status(experiment)["counts"]["completed"] == 6

    @pytest.mark.parametrize("dropped", [False, True], ids=["as it was", "its logs were dropped here"])
    def test_of_one_that_went_on_elsewhere_no_more_is_written_than_is_new_and_it_is_whole(
        self,
        world: CoreWorld,
        monkeypatch: pytest.MonkeyPatch,
        dropped: bool,
    ) -> None:
        experiment = world.create(budget=3)
        earlier = self._with_curves(world, experiment)
        change_experiment.change_experiment(world.core, experiment, Changes(budget=6), "ada")
        later = self._with_curves(world, experiment)
        self._forget(world, experiment)
        self._read(world, earlier)
        for _ in range(2 * dropped):
            change_experiment.drop_files(world.core, experiment)
        put, written = archive.put, Counter[str]()

        def counted(session: Session, table: str, rows: list[archive.Row]) -> None:
            written[table] += len(rows)
            put(session, table, rows)

        with monkeypatch.context() as patch:
            patch.setattr(archive, "put", counted)
            assert self._read(world, later)
        new = {name: written[name] for name in ("trials", "attempts", "points", "log_segments")}
        assert new == {"trials": 3, "attempts": 3, "points": 9, "log_segments": 6 if dropped else 3}
        as_sent, as_here = self._content(later), self._content(self._exported(world, experiment))
        assert [line for line in as_here if line not in as_sent and b'"type":"worker"' not in line] == []
        assert len(as_here) == len(as_sent)
        change_experiment.change_experiment(world.core, experiment, Changes(budget=9), "bob")
        assert world.run(experiment)["counts"]["completed"] == 9

    def test_pages_show_nothing_of_what_was_removed_to_make_room_for_another_one(
        self, world: CoreWorld, two_states: tuple[str, io.BytesIO, io.BytesIO]
    ) -> None:
        experiment, earlier, later = two_states
        self._read(world, earlier)
        self._extended(world, experiment, 5)
        read_columns.columns(world.core, experiment, 100, None)
        self._forget(world, experiment)
        assert self._read(world, later)
        columns = read_columns.columns(world.core, experiment, 100, None)
        trials = sorted(world.trials(experiment), key=lambda trial: str(trial["finished_at"]))
        assert columns["finished_at"] == [trial["finished_at"] for trial in trials]

    def test_a_record_that_comes_several_times_at_once_is_taken_in_once(
        self, world: CoreWorld, two_states: tuple[str, io.BytesIO, io.BytesIO]
    ) -> None:
        experiment, *records = two_states
        together = threading.Barrier(3)

        def read(record: io.BytesIO) -> bool:
            together.wait(60)
            return self._read(world, record)

        with ThreadPoolExecutor(3) as pool:
            for record in records:
                copies = [io.BytesIO(record.getvalue()) for _ in range(3)]
                assert sorted(pool.map(read, copies)) == [False, False, True]
        assert world.status(experiment)["counts"]["completed"] == 6

    def test_one_that_goes_on_here_is_not_replaced_by_what_became_of_it_elsewhere(
        self, world: CoreWorld, two_states: tuple[str, io.BytesIO, io.BytesIO]
    ) -> None:
        experiment, earlier, later = two_states
        self._read(world, earlier)
        change_experiment.change_experiment(world.core, experiment, Changes(budget=9), "bob")
        world.lease()
        before = world.trials(experiment)
        with pytest.raises(Conflict, match="running on this server") as caught:
            self._read(world, later)
        assert f"orchestune delete {world.status(experiment)['handle']} --purge" in caught.value.hint
        assert world.trials(experiment) == before
        assert not self._read(world, earlier)

    @pytest.mark.parametrize("budget", [4, 6, 20])
    def test_neither_of_two_that_went_on_from_the_same_state_passes_for_the_other(
        self, world: CoreWorld, two_states: tuple[str, io.BytesIO, io.BytesIO], budget: int
    ) -> None:
        experiment, earlier, later = two_states
        self._read(world, earlier)
        self._extended(world, experiment, budget)
        with pytest.raises(Conflict, match="have diverged"):
            self._read(world, later)
        assert world.status(experiment)["counts"]["completed"] == budget

    def _with_curves(self, world: CoreWorld, experiment: str) -> io.BytesIO:
        """Run it to its end, with trials that report several values; its record."""
        curve = [[place, "loss", 0.5, float(place), None] for place in range(3)]
        while world.status(experiment)["state"] != "completed":
            world.clock.pass_time(1.0)
            world.tick()
            for worker in list(world.workers.values()):
                worker.call(want=1, finished=[worker.finish(lease, points=curve) for lease in worker.leases.values()])
        return self._exported(world, experiment)

    @pytest.fixture
    def arriving(self, world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> tuple[str, io.BytesIO]:
        """An experiment that is not here, and its record, which comes in many parts."""
        experiment = world.create(budget=3)
        whole = self._with_curves(world, experiment)
        self._forget(world, experiment)
        monkeypatch.setattr(record, "_BATCH_ITEMS", 2)
        return experiment, whole

    def _rows_of_any(self, world: CoreWorld) -> int:
        """Of experiments, of any."""
        with world.core.store.reading() as session:
            tables = [table for table in metadata.sorted_tables if "experiment" in table.c or table.name == "points"]
            return sum(sum(session.select(select(func.count()).select_from(table), int)) for table in tables)

    def _content(self, incoming: io.BytesIO) -> list[bytes]:
        """Return the lines of a record without the time of an import."""
        incoming.seek(0)
        items = list(record.items(incoming))
        return [
            format.encode(structs.replace(item, imported_at=None) if isinstance(item, format.ExperimentItem) else item)
            for item in items
        ]

    def _dying(self, parts: int) -> Callable[[Session, str, list[archive.Row]], None]:
        """Adds so many parts of a record, and no more."""
        add, remaining_parts = archive.add, iter(range(parts))

        def added(session: Session, table: str, rows: list[archive.Row]) -> None:
            add(session, table, rows)
            if next(remaining_parts, None) is None:
                raise Killed

        return added

    def test_an_import_that_is_cut_off_anywhere_leaves_nothing_to_see_and_may_be_repeated(
        self, world: CoreWorld, monkeypatch: pytest.MonkeyPatch, arriving: tuple[str, io.BytesIO]
    ) -> None:
        experiment, whole = arriving
        assert self._read(world, whole)
        content = self._content(self._exported(world, experiment))
        self._forget(world, experiment)
        for parts in itertools.count():
            with monkeypatch.context() as patch:
                patch.setattr(archive, "add", self._dying(parts))
                try:
                    assert self._read(world, whole)
                    break
                except Killed:
                    assert self._rows_of_any(world) > 0
            with pytest.raises(NotFound):
                world.status(experiment)
            assert read_experiments.statuses(world.core, hidden=True)["items"] == []
            if parts % 2:
                world.tick()
                assert self._rows_of_any(world) == 0
        assert parts > 20
        assert self._content(self._exported(world, experiment)) == content
        world.tick()
        assert world.status(experiment)["counts"]["completed"] == 3

    def test_an_import_that_goes_on_is_not_swept_up_and_one_whose_server_died_is(
        self, world: CoreWorld, monkeypatch: pytest.MonkeyPatch, arriving: tuple[str, io.BytesIO]
    ) -> None:
        _, whole = arriving
        with monkeypatch.context() as patch:
            patch.setattr(archive, "add", self._dying(5))
            patch.setattr(world.core.store, "release_lock", lambda name: None)
            with pytest.raises(Killed):
                self._read(world, whole)
        world.tick()
        assert self._rows_of_any(world) > 5
        world.close()
        world.open()
        world.tick()
        assert self._rows_of_any(world) == 0
        assert self._read(world, whole)

    def _meanwhile(self, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
        """Do something between two parts of a record that comes in, again and again."""
        batches = record.batches

        def parts(source: io.BytesIO) -> Iterator[list[format.Item]]:
            for part in batches(source):
                yield part
                act()

        monkeypatch.setattr(record, "batches", parts)

    def test_others_write_while_a_record_comes_in(
        self, world: CoreWorld, monkeypatch: pytest.MonkeyPatch, arriving: tuple[str, io.BytesIO]
    ) -> None:
        experiment, whole = arriving
        experiment_ids: list[str] = []

        def create() -> str:
            with world.core.store.impatient(0.1):
                return world.create(budget=1)

        with ThreadPoolExecutor(1) as others:
            self._meanwhile(monkeypatch, lambda: experiment_ids.append(others.submit(create).result(60)))
            assert self._read(world, whole)
        assert len(experiment_ids) > 20
        assert {item["id"] for item in read_experiments.statuses(world.core)["items"]} == {experiment, *experiment_ids}

    def test_of_two_servers_that_both_take_a_record_in_the_one_that_began_later_goes_on(
        self, world: CoreWorld, monkeypatch: pytest.MonkeyPatch, arriving: tuple[str, io.BytesIO]
    ) -> None:
        """As where the connection broke that showed that the first one was at it."""
        experiment, whole = arriving
        begun = iter(range(9))

        def begin() -> None:
            if next(begun, None) == 5:
                with world.core.store.transaction() as session:
                    assert imports.take_over(session, experiment, "another")

        with monkeypatch.context() as patch:
            self._meanwhile(patch, begin)
            with pytest.raises(StoreUnavailable, match="another import of this experiment has started"):
                self._read(world, whole)
        with pytest.raises(NotFound):
            world.status(experiment)
        assert self._read(world, whole)
