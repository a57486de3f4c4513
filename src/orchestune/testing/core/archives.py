"""Experiments that go from one server to another."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestune.errors import Conflict, NotFound
from orchestune.services import (
    archive_experiment,
    change_experiment,
    read_columns,
    read_experiments,
    read_logs,
    rerun_trial,
)
from orchestune.store import experiments, workers
from orchestune.testing.world import World
from orchestune.testing.world_contract import WorldContract


class ArchivesContract(WorldContract):
    """What comes in, and what becomes of what is there. Where another server is needed, the same one has forgotten."""

    def _exported(self, world: World, experiment: str) -> io.BytesIO:
        record = io.BytesIO()
        archive_experiment.write(world.core, experiment, record)
        return record

    def _read(self, world: World, record: io.BytesIO) -> bool:
        record.seek(0)
        return bool(archive_experiment.read(world.core, record)["imported"])

    def _forget(self, world: World, experiment: str) -> None:
        change_experiment.delete(world.core, experiment, True, "ada")
        world.tick(4)

    def test_one_that_had_workers_still_when_it_left_goes_on_elsewhere(self, world: World) -> None:
        experiment = world.create(budget=3)
        world.run(experiment)
        record = self._exported(world, experiment)
        self._forget(world, experiment)
        assert self._read(world, record)
        with world.core.store.reading() as session:
            found = workers.of_experiment(session, experiment)
        assert len(found) == 2
        assert all(worker.state == "ended" and worker.ended_at == worker.seen_at for worker in found)
        change_experiment.change_experiment(world.core, experiment, {"budget": 6}, "bob")
        assert world.run(experiment)["counts"]["completed"] == 6

    def test_one_of_a_cluster_that_is_not_here_stays_over_and_says_why(self, world: World) -> None:
        experiment = world.create(budget=3)
        world.run(experiment)
        change_experiment.stop(world.core, experiment, "ada")
        before = world.status(experiment)
        world.core.backends.pop("local")  # type: ignore[attr-defined]
        with pytest.raises(Conflict, match="ran in the cluster 'local', which this server does not have") as caught:
            change_experiment.change_experiment(world.core, experiment, {"budget": 6}, "bob")
        assert "--warm-start" in caught.value.hint
        assert world.status(experiment) == {**before, "resources": world.status(experiment)["resources"]}

    def test_one_that_was_deleted_is_in_lists_again_where_it_comes_in(self, world: World) -> None:
        experiment = world.create(budget=1)
        world.run(experiment)
        change_experiment.delete(world.core, experiment, False, "ada")
        record = self._exported(world, experiment)
        self._forget(world, experiment)
        assert self._read(world, record)
        assert [item["id"] for item in read_experiments.statuses(world.core)["items"]] == [experiment]

    def test_what_is_being_removed_for_good_is_neither_sent_nor_there(self, world: World) -> None:
        experiment = world.create(budget=1)
        world.run(experiment)
        record = self._exported(world, experiment)
        change_experiment.delete(world.core, experiment, True, "ada")
        with pytest.raises(Conflict, match=r"test-\w{4} is being removed for good"):
            self._exported(world, experiment)
        with pytest.raises(Conflict, match=r"test-\w{4} is being removed for good here"):
            self._read(world, record)
        assert read_experiments.statuses(world.core, hidden=True)["items"] == []
        world.tick(4)
        assert self._read(world, record)

    def test_logs_that_were_dropped_elsewhere_stay_here(self, world: World) -> None:
        experiment = world.create(budget=1)
        world.run(experiment)
        whole = self._exported(world, experiment)
        change_experiment.drop_files(world.core, experiment)
        without = self._exported(world, experiment)
        self._forget(world, experiment)
        assert [self._read(world, record) for record in (whole, without)] == [True, False]
        assert len(read_logs.logs(world.core, experiment, 0, 10)["items"]) == 1

    def test_one_whose_logs_were_dropped_here_has_not_gone_on_by_that(
        self, world: World, two_states: tuple[str, io.BytesIO, io.BytesIO]
    ) -> None:
        experiment, earlier, later = two_states
        self._read(world, earlier)
        change_experiment.drop_files(world.core, experiment)
        assert self._read(world, later)
        assert world.status(experiment)["counts"]["completed"] == 6

    def test_a_trial_of_a_cluster_that_is_not_here_is_repeated_where_it_can_be(self, world: World) -> None:
        experiment = world.create(budget=1)
        world.run(experiment)
        with world.core.store.transaction() as session:
            experiments.change(session, experiment, cluster="prod")
        repeated = [
            rerun_trial.rerun_trial(world.core, experiment, 1, body, "bob")["cluster"]
            for body in ({}, {"cluster": "empty"})
        ]
        assert repeated == ["local", "empty"]
        with pytest.raises(NotFound, match="there is no cluster 'moon'"):
            rerun_trial.rerun_trial(world.core, experiment, 1, {"cluster": "moon"}, "bob")

    def _extended(self, world: World, experiment: str, budget: int) -> io.BytesIO:
        change_experiment.change_experiment(world.core, experiment, {"budget": budget}, "ada")
        assert world.run(experiment)["counts"]["completed"] == budget
        return self._exported(world, experiment)

    @pytest.fixture
    def two_states(self, world: World) -> tuple[str, io.BytesIO, io.BytesIO]:
        """An experiment that is not here, its record with three trials, and the one after it went on to six."""
        experiment = world.create(budget=3)
        world.run(experiment)
        earlier = self._exported(world, experiment)
        later = self._extended(world, experiment, 6)
        self._forget(world, experiment)
        return experiment, earlier, later

    def test_one_that_went_on_elsewhere_takes_the_place_of_what_it_was(
        self, world: World, two_states: tuple[str, io.BytesIO, io.BytesIO]
    ) -> None:
        experiment, earlier, later = two_states
        read = [self._read(world, record) for record in (earlier, earlier, later, later, earlier)]
        assert read == [True, False, True, False, False]
        assert world.status(experiment)["counts"]["completed"] == 6

    def test_pages_show_nothing_of_what_was_removed_to_make_room_for_another_one(
        self, world: World, two_states: tuple[str, io.BytesIO, io.BytesIO]
    ) -> None:
        experiment, earlier, later = two_states
        self._read(world, earlier)
        self._extended(world, experiment, 5)
        read_columns.columns(world.core, experiment, 100, None)
        self._forget(world, experiment)
        assert self._read(world, later)
        shown = read_columns.columns(world.core, experiment, 100, None)
        trials = sorted(world.trials(experiment), key=lambda trial: str(trial["finished_at"]))
        assert shown["finished_at"] == [trial["finished_at"] for trial in trials]

    def test_a_record_that_comes_several_times_at_once_is_taken_in_once(
        self, world: World, two_states: tuple[str, io.BytesIO, io.BytesIO]
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
        self, world: World, two_states: tuple[str, io.BytesIO, io.BytesIO]
    ) -> None:
        experiment, earlier, later = two_states
        self._read(world, earlier)
        change_experiment.change_experiment(world.core, experiment, {"budget": 9}, "bob")
        world.lease()
        before = world.trials(experiment)
        with pytest.raises(Conflict, match="is running here") as caught:
            self._read(world, later)
        assert f"orchestune delete {world.status(experiment)['handle']} --purge" in caught.value.hint
        assert world.trials(experiment) == before
        assert not self._read(world, earlier)

    @pytest.mark.parametrize("budget", [4, 6, 20])
    def test_neither_of_two_that_went_on_from_the_same_state_passes_for_the_other(
        self, world: World, two_states: tuple[str, io.BytesIO, io.BytesIO], budget: int
    ) -> None:
        experiment, earlier, later = two_states
        self._read(world, earlier)
        self._extended(world, experiment, budget)
        with pytest.raises(Conflict, match="went on here by itself"):
            self._read(world, later)
        assert world.status(experiment)["counts"]["completed"] == budget
