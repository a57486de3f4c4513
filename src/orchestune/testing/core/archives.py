"""Experiments that go from one server to another."""

from __future__ import annotations

import io

from orchestune.services import archive_experiment, change_experiment
from orchestune.store import workers
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
