"""GPUs of a cluster, its quarantine and its events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestune.domain.resources.gpus import Gpu
from orchestune.domain.resources.resources import Capacity, Machine, Resources
from orchestune.domain.resources.survey import MachineAllocation
from orchestune.services.queries.cluster_gpus import HeldGpu, gpus
from orchestune.services.queries.read_cluster import cluster
from orchestune.store import quarantines
from orchestune.store.quarantines import Quarantine
from tests.contract.world import CoreWorld, FakeBackend

CARDS = (Gpu("0", "NVIDIA A100", 40 * 2**30), Gpu("1"))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[CoreWorld]:
    core_world = CoreWorld(tmp_path, capacity=Capacity((Machine(8, 2**34, CARDS),)))
    yield core_world
    core_world.close()


def test_each_card_says_who_holds_it_with_which_trials(world: CoreWorld) -> None:
    experiment = world.create(budget=3, parallelism=1, resources={"gpu": 1})
    [(_, lease)] = world.lease()
    document = cluster(world.core)
    one, other = sorted(document["gpus"], key=lambda gpu: not gpu["holders"])
    assert one["holders"] is not None
    (holder,) = one["holders"]
    handle = world.status(experiment)["handle"]
    assert (holder["experiment"], holder["trials"], holder["part"]) == (handle, [lease["trial"]], 1.0)
    assert other["holders"] == []
    gpu_models = {gpu["id"]: (gpu["model"], gpu["memory"]) for gpu in document["gpus"]}
    assert gpu_models == {"0": ("NVIDIA A100", 40 * 2**30), "1": (None, None)}


def test_where_the_place_hands_cards_out_who_has_which_is_not_known() -> None:
    backend = FakeBackend()
    backend.assigns_gpus = False
    busy = MachineAllocation("n1", "gpu", Resources(gpu=2, gpu_type="T4"), Resources(gpu=1), Resources())
    free = MachineAllocation("n2", "gpu", Resources(gpu=1), Resources(), Resources())
    dark = MachineAllocation("n3", "gpu", Resources(gpu=1), Resources(), None)
    gpu_rows = gpus(backend, [busy, free, dark], HeldGpu({}, [], {}, {}))
    assert [(gpu["machine"], gpu["id"], gpu["model"], gpu["holders"]) for gpu in gpu_rows] == [
        ("n1", "0", "T4", None), ("n1", "1", "T4", None), ("n2", "0", None, []), ("n3", "0", None, None),
    ]  # fmt: skip


def test_workers_that_come_and_go_and_quarantines_are_events_the_newest_first(world: CoreWorld) -> None:
    experiment = world.create(budget=2, parallelism=1)
    world.run(experiment)
    world.tick(4)
    with world.core.store.transaction() as session:
        quarantines.put(session, "local", Quarantine("n7", "its GPU fell off the bus", session.now + 600))
    document = cluster(world.core)
    kinds = [event["kind"] for event in document["events"]]
    assert kinds[0] == "quarantined" and {"worker_started", "worker_ended"} <= set(kinds)
    times = [str(event["at"]) for event in document["events"]]
    assert times == sorted(times, reverse=True)
    assert [(shut["node"], shut["reason"]) for shut in document["quarantined"]] == [("n7", "its GPU fell off the bus")]
    assert all(world.status(experiment)["handle"] in event["worker"] for event in document["events"][1:])


def test_what_waits_is_counted(world: CoreWorld) -> None:
    world.create(budget=5, parallelism=2)
    world.tick(3)
    (waiting,) = cluster(world.core)["experiments"]
    assert waiting["pending"] >= 1
