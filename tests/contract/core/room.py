"""Placement of trials on machines, and waiting for capacity."""

from __future__ import annotations

from pathlib import Path

from orchestune.domain.resources.gpus import Gpu
from orchestune.domain.resources.resources import Capacity, Machine
from orchestune.store import workers
from tests.contract.world import CoreWorld
from tests.contract.world_contract import WorldContract


class RoomContract(WorldContract):
    """Places, cards and memory."""

    def test_an_experiment_that_waits_says_for_what_and_who_holds_it(self, world: CoreWorld) -> None:
        wide = world.create(name="wide", budget=10, parallelism=2, resources={"cpu": 1})
        world.lease(2)
        narrow = world.create(name="narrow", budget=2, parallelism=1, resources={"cpu": 1})
        world.tick(2)
        reason = world.status(narrow)["reason"]
        assert reason["code"] == "waiting_for_resources"
        assert world.status(wide)["handle"] in reason["message"]

    def test_what_a_draining_worker_still_runs_keeps_its_place(self, world: CoreWorld) -> None:
        old = world.create(name="old", budget=10, parallelism=2, resources={"cpu": 1})
        leases = world.lease(2)
        idle = world.create(name="idle", budget=10, parallelism=2, resources={"cpu": 1})
        urgent = world.create(name="urgent", budget=2, parallelism=2, resources={"cpu": 1}, priority=10)
        world.tick(3)
        assert [len(world.status(experiment)["workers"]) for experiment in (old, idle, urgent)] == [2, 0, 0]
        reason = world.status(urgent)["reason"]
        assert reason["code"] == "waiting_for_resources"
        assert "old" in reason["message"]
        assert "idle" not in reason["message"]
        worker, lease = leases[0]
        worker.call(finished=[worker.finish(lease)])
        world.tick(2)
        assert [len(world.status(experiment)["workers"]) for experiment in (idle, urgent)] == [0, 1]
        assert world.status(urgent)["reason"]["message"].startswith("1 of 2 run: each needs 1 cpu and 0 of 2 are free")

    def test_a_worker_whose_start_was_cut_off_is_started_again_and_is_one(self, world: CoreWorld) -> None:
        world.create(budget=5, parallelism=1)
        world.tick()
        (worker,) = world.backend.orders
        with world.core.store.transaction() as session:
            workers.change(session, worker, backend_handle=None, state="starting")
        world.backend.orders.clear()
        world.tick()
        assert list(world.backend.orders) == [worker]

    def test_gpus_are_given_to_one_worker_at_a_time(self, tmp_path: Path, database_url: str | None) -> None:
        world = CoreWorld(tmp_path, database_url, Capacity((Machine(4, 2**34, tuple(map(Gpu, "012"))),)))
        try:
            for name in ("a", "b"):
                world.create(name=name, budget=5, parallelism=2, resources={"gpu": 1})
            world.tick(3)
            gpus = [gpu for order in world.backend.orders.values() for gpu in order.gpus]
            assert sorted(gpus) == ["0", "1", "2"]
        finally:
            world.close()

    def test_shares_of_a_card_are_given_away_until_it_is_full(self, tmp_path: Path, database_url: str | None) -> None:
        world = CoreWorld(tmp_path, database_url, Capacity((Machine(64, 2**34, tuple(map(Gpu, "01"))),)))
        try:
            shared = world.create(name="shared", budget=9, parallelism=3, resources={"gpu": 0.5})
            world.tick(3)
            whole = world.create(name="whole", budget=9, parallelism=2, resources={"gpu": 1})
            world.tick(3)
            gpus = [order.gpus for order in world.backend.orders.values()]
            assert gpus == [("0",), ("0",), ("1",)]
            assert world.status(whole)["reason"]["code"] == "waiting_for_resources"
            assert world.status(shared)["handle"] in world.status(whole)["reason"]["message"]
        finally:
            world.close()

    def test_trials_that_take_less_than_they_asked_for_run_closer_together_until_one_takes_more(
        self, tmp_path: Path, database_url: str | None
    ) -> None:
        world = CoreWorld(tmp_path, database_url, Capacity((Machine(1, 2**30),)))
        requested = 2**29
        try:
            experiment = world.create(budget=60, parallelism=6, resources={"memory": requested})

            def slots() -> int:
                world.tick(3)
                return sum(worker["slots"] for worker in world.status(experiment)["workers"])

            def finish(count: int, memory: int) -> None:
                for worker, lease in world.lease(count):
                    worker.call(finished=[worker.finish(lease, memory=memory)])

            assert slots() == 2
            for _ in range(3):
                finish(2, 100 * 2**20)
            resources = world.status(experiment)["resources"]
            assert resources["measured"] == {"attempts": 6, "peak_memory_bytes": 100 * 2**20}
            assert (resources["asked"]["memory"], resources["set_aside"]["memory"]) == (requested, 141 * 2**20)
            assert slots() == 6
            finish(1, 200 * 2**20)
            assert world.status(experiment)["resources"]["set_aside"]["memory"] == requested
            assert slots() == 2
        finally:
            world.close()
