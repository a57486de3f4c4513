"""Places with several machines, whose workers have one slot each, wait, and end for reasons of their own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestune.controllers.worker_scaling import MAX_PENDING_WORKERS, MAX_STARTING_WORKERS
from orchestune.domain.resources.gpus import Gpu
from orchestune.domain.resources.resources import Capacity, Machine
from orchestune.errors import NotFound, UsageError
from orchestune.ports.backend import WorkerLoss
from orchestune.services.commands import change_experiment
from orchestune.services.execution.progress import PREEMPTIONS
from orchestune.services.execution.quarantine import lift
from orchestune.services.queries import read_experiments
from orchestune.services.queries.read_cluster import cluster
from orchestune.store import quarantines, workers
from tests.contract.world import CoreWorld

GIB = 2**30
MACHINES = (
    Machine(4, 8 * GIB, name="cpu1", pool="cpu"),
    Machine(4, 8 * GIB, name="cpu2", pool="cpu"),
    Machine(4, 8 * GIB, (Gpu("0"), Gpu("1")), "gpu1", "gpu"),
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[CoreWorld]:
    core_world = CoreWorld(tmp_path, capacity=Capacity(MACHINES))
    core_world.backend.slots_per_worker = 1
    core_world.backend.assigns_gpus = False
    yield core_world
    core_world.close()


def slots(world: CoreWorld, experiment: str) -> int:
    """Workers that were ordered for it and are neither gone nor being terminated."""
    worker_list = world.status(experiment)["workers"]
    return sum(worker["state"] in ("starting", "busy", "idle") for worker in worker_list)


def test_each_worker_has_one_slot_and_knows_what_it_needs(world: CoreWorld) -> None:
    world.create(budget=20, parallelism=3, resources={"cpu": 2}, placement={"image": "model:1"})
    world.tick(3)
    orders = list(world.backend.orders.values())
    assert [order.slots for order in orders] == [1, 1, 1]
    assert {order.each.cpu for order in orders} == {2}
    assert {order.placement.image for order in orders} == {"model:1"}
    assert {order.owner for order in orders} == {"ada"}
    assert all(order.avoid == {"gpu1"} for order in orders)


def test_machines_that_take_no_such_trial_are_not_counted_for_it(world: CoreWorld) -> None:
    world.backend.closed = {"cpu1", "gpu1"}
    experiment = world.create(budget=20, parallelism=9, resources={"cpu": 1})
    world.tick(3)
    assert slots(world, experiment) == 4
    with pytest.raises(UsageError, match="this can never run: a trial needs 5 cpu, cpu2 has 4"):
        world.create(resources={"cpu": 5})
    world.backend.closed.add("cpu2")
    with pytest.raises(UsageError, match="this can never run: no machine accepts the trial: their taints or labels"):
        world.create(resources={"cpu": 1})
    with pytest.raises(UsageError, match="no machine of the pool cpu accepts the trial"):
        world.create(resources={"cpu": 1}, placement={"pool": "cpu"})
    with pytest.raises(UsageError, match="the pool spot has no machine; pools with machines: cpu, gpu"):
        world.create(resources={"cpu": 1}, placement={"pool": "spot"})


def test_a_worker_of_which_nobody_knows_where_it_is_is_on_a_machine_that_takes_it(world: CoreWorld) -> None:
    world.backend.room, world.backend.closed = Capacity(MACHINES[:2]), {"cpu1"}
    world.create(budget=100, parallelism=4, resources={"cpu": 1})
    assert len(world.lease(4)) == 4
    other = world.create(owner="bob", budget=100, parallelism=4, resources={"cpu": 1})
    world.tick()
    assert slots(world, other) == 0, "the one machine that is open is full until trials end"


def test_a_second_user_gets_half_as_trials_end(world: CoreWorld) -> None:
    first = world.create(budget=100, parallelism=50, resources={"cpu": 1})
    for worker, lease in world.lease(8):
        worker.call(beats=[worker.started(lease)])
    second = world.create(owner="bob", budget=100, parallelism=50, resources={"cpu": 1})
    world.tick(3)
    assert (slots(world, first), slots(world, second)) == (4, 0), "four finish what they run, and then go"
    for worker in list(world.workers.values()):
        worker.call(finished=[worker.finish(lease) for lease in worker.leases.values()])
        if worker.told_to_drain:
            world.backend.gone[worker.id] = ""
    world.tick(3)
    assert (slots(world, first), slots(world, second)) == (4, 4)
    assert world.status(first)["counts"]["completed"] == 8


def test_workers_with_nothing_left_to_do_go_and_those_at_work_stay(world: CoreWorld) -> None:
    world.create(budget=4, parallelism=4, resources={"cpu": 1})
    held = world.lease(4)
    for worker, lease in held:
        worker.call(beats=[worker.started(lease)])
    for worker, lease in held[:2]:
        worker.call(finished=[worker.finish(lease)])
    world.tick(3)
    for worker, _ in held:
        worker.call()
    assert [worker.told_to_drain for worker, _ in held] == [True, True, False, False]


def test_gpu_trials_do_not_wait_for_trials_without(world: CoreWorld) -> None:
    world.create(budget=100, parallelism=50, resources={"cpu": 1})
    world.tick(3)
    gpu = world.create(budget=10, parallelism=4, resources={"cpu": 1, "gpu": 1})
    world.tick(3)
    assert slots(world, gpu) == 2
    assert all(not order.gpus for order in world.backend.orders.values()), "the place hands them out"


def test_what_no_machine_has_is_refused_at_once_with_the_largest_named(world: CoreWorld) -> None:
    with pytest.raises(UsageError, match="a trial needs 3 gpu, the largest machine, gpu1, has 2"):
        world.create(resources={"gpu": 3})
    with pytest.raises(
        UsageError, match="a trial needs 9 cpu, the largest machine of the pool cpu, cpu1, has"
    ) as small:
        world.create(resources={"cpu": 9}, placement={"pool": "cpu"})
    assert small.value.hint == "name another `pool`, or lower `resources`"
    with pytest.raises(UsageError, match="the pool spot has no machine; pools with machines: cpu, gpu"):
        world.create(resources={"cpu": 1}, placement={"pool": "spot"})


def test_what_a_worker_waits_for_is_told(world: CoreWorld) -> None:
    experiment = world.create(budget=5, parallelism=1, resources={"cpu": 1})
    world.tick()
    (worker,) = world.backend.orders
    world.workers.clear()
    world.backend.pending[worker] = "0/3 machines have 1 cpu free; sgd-1a2b holds 3"
    with world.core.store.transaction() as session:
        session.run("UPDATE workers SET state = 'starting', boot_id = NULL WHERE id = :id", {"id": worker})
    world.tick()
    world.clock.pass_time(3600)
    world.tick(2)
    reason = world.status(experiment)["reason"]
    assert reason["code"] == "waiting_for_resources"
    assert reason["message"] == "worker w1 waits: 0/3 machines have 1 cpu free; sgd-1a2b holds 3"
    assert world.status(experiment)["workers"][0]["state"] == "starting", "it may wait as long as it takes"
    del world.backend.pending[worker]
    assert world.run(experiment)["counts"]["completed"] == 5


def lose_first(world: CoreWorld, loss: WorkerLoss, **changes: Any) -> str:
    """An experiment whose first worker is gone while it runs trial 1."""
    experiment = world.create(**{"budget": 2, "parallelism": 1, "resources": {"cpu": 1}} | changes)
    worker, lease = world.lease()[0]
    worker.call(beats=[worker.started(lease)])
    world.backend.gone[worker.id] = "so said the place"
    world.backend.faults[worker.id] = loss
    world.tick()
    return experiment


def test_out_of_memory_is_the_models_failure(world: CoreWorld) -> None:
    experiment = lose_first(world, WorkerLoss.OUT_OF_MEMORY)
    trial = world.trial(experiment, 1)
    assert trial["state"] == "failed"
    assert trial["reason"]["code"] == "out_of_memory"
    assert trial["reason"]["message"] == "worker w1 is gone: so said the place"
    assert world.run(experiment)["counts"] | {"queued": 0} == world.status(experiment)["counts"]
    assert world.status(experiment)["counts"]["completed"] == 1


def test_out_of_memory_is_tried_again_where_the_file_says_so(world: CoreWorld) -> None:
    experiment = lose_first(world, WorkerLoss.OUT_OF_MEMORY, retries=1)
    assert world.trials(experiment)[0]["state"] == "queued"
    assert world.run(experiment)["counts"]["completed"] == 2


OUT_OF_MEMORY: dict[str, Any] = {
    "state": "failed",
    "signal": 9,
    "points": [],
    "reason": {"code": "out_of_memory", "message": "killed"},
}


def more(tries: int, factor: float = 1.5, memory: int = 4 * GIB, **changes: Any) -> dict[str, Any]:
    """An experiment whose trials get more memory once they ran out of it."""
    return {
        "budget": 2, "parallelism": 1, "resources": {"cpu": 1, "memory": memory}, "oom_retries": tries,
        "memory_factor": factor, **changes,
    }  # fmt: skip


def run_out(world: CoreWorld) -> None:
    """The next trial is killed for memory while its worker lives on."""
    worker, lease = world.lease()[0]
    worker.call(finished=[worker.finish(lease, **OUT_OF_MEMORY)])


def leave(world: CoreWorld) -> None:
    """End every worker that was ordered to."""
    world.tick()
    for worker in list(world.workers.values()):
        worker.call()
        if worker.told_to_drain and not worker.leases:
            world.backend.gone[worker.id] = ""
    world.tick()


def test_what_ran_out_of_memory_gets_a_worker_with_more_and_the_budget_stays_exact(world: CoreWorld) -> None:
    experiment = world.create(**more(2, parallelism=2, budget=3))
    run_out(world)
    leave(world)
    status = world.run(experiment)
    assert (status["counts"]["completed"], status["counts"]["failed"]) == (3, 0)
    assert [order.each.memory for order in world.backend.orders.values()][-1] == 6 * GIB
    first, second = world.trial(experiment, 1)["attempts"]
    assert first["reason"] == {"code": "out_of_memory", "message": "killed; retried with 6 GiB"}
    assert (first["state"], first["raised_memory_bytes"]) == ("failed", None)
    assert (second["state"], second["raised_memory_bytes"]) == ("succeeded", 6 * GIB)
    others = [attempt for trial in world.trials(experiment)[1:] for attempt in trial["attempts"]]
    assert {attempt["raised_memory_bytes"] for attempt in others} == {None}


def test_a_trial_gets_more_until_no_machine_has_it_and_then_has_failed(world: CoreWorld) -> None:
    experiment = world.create(**more(5, budget=1))
    for _ in range(3):
        run_out(world)
        leave(world)
    trial = world.trial(experiment, 1)
    assert [attempt["raised_memory_bytes"] for attempt in trial["attempts"]] == [None, 6 * GIB, 8 * GIB]
    assert (trial["state"], trial["reason"]["code"]) == ("failed", "out_of_memory")
    assert trial["reason"]["message"] == "killed; no machine has more memory"
    assert world.status(experiment)["counts"]["failed"] == 1


def test_a_trial_gets_more_as_often_as_the_file_says(world: CoreWorld) -> None:
    experiment = world.create(**more(1, budget=1, memory=GIB, retries=3))
    for _ in range(2):
        run_out(world)
        leave(world)
    trial = world.trial(experiment, 1)
    assert len(trial["attempts"]) == 2, "other retries are for other failures"
    assert trial["reason"]["message"] == "killed; 1 retry with more memory did not help"


def test_where_nobody_knows_how_much_a_trial_may_take_it_has_failed_and_says_what_to_write(world: CoreWorld) -> None:
    experiment = world.create(budget=1, oom_retries=2, resources={"cpu": 1})
    run_out(world)
    trial = world.trial(experiment, 1)
    assert trial["state"] == "failed"
    assert "set resources.memory" in trial["reason"]["message"]


def test_a_worker_that_was_killed_with_its_trial_is_judged_alike(world: CoreWorld) -> None:
    experiment = lose_first(world, WorkerLoss.OUT_OF_MEMORY, **more(1, memory=GIB, budget=2))
    world.tick()
    assert [order.each.memory for order in world.backend.orders.values()] == [GIB, 3 * GIB // 2]
    assert world.run(experiment)["counts"]["completed"] == 2
    first, second = world.trial(experiment, 1)["attempts"]
    assert first["reason"]["message"] == "worker w1 is gone: so said the place; retried with 1.5 GiB"
    assert second["raised_memory_bytes"] == 3 * GIB // 2


def test_the_other_trials_go_on_while_one_waits_for_more_memory(world: CoreWorld) -> None:
    full = world.create(owner="bob", budget=50, parallelism=2, resources={"cpu": 1, "memory": 6 * GIB})
    experiment = world.create(**more(1, factor=4, memory=GIB, budget=6, parallelism=3))
    held = world.lease(5)
    assert slots(world, full) == 2
    (unlucky, lease), *others = [pair for pair in held if world.backend.orders[pair[0].id].experiment == experiment]
    unlucky.call(finished=[unlucky.finish(lease, **OUT_OF_MEMORY)])
    world.tick(2)
    assert world.status(experiment)["reason"]["message"].startswith("waits for 1 cpu, 4 GiB memory")
    for worker, lease in others:
        worker.call(finished=[worker.finish(lease)])
    assert len(world.lease(2)) == 2, "the others go on"
    assert world.status(experiment)["counts"]["completed"] == 2


def test_what_the_place_takes_away_costs_nothing_however_often(world: CoreWorld) -> None:
    experiment = world.create(budget=2, parallelism=1, resources={"cpu": 1})
    for number in range(12):
        if number == PREEMPTIONS:  # a guard asks once whether trials that make no progress shall go on
            change_experiment.resume(world.core, experiment, "ada")
        worker, lease = world.lease()[0]
        worker.call(beats=[worker.started(lease)])
        world.backend.gone[worker.id] = "its machine was drained"
        world.backend.faults[worker.id] = WorkerLoss.PLACE
        world.tick()
    attempts = world.trial(experiment, 1)["attempts"]
    assert {attempt["state"] for attempt in attempts} == {"preempted"}
    assert {attempt["reason"]["code"] for attempt in attempts} == {"preempted"}
    assert world.run(experiment)["counts"]["completed"] == 2


@pytest.mark.parametrize(("fault", "state"), [(WorkerLoss.PLACE, "pending"), (WorkerLoss.UNKNOWN, "paused")])
def test_workers_that_their_place_took_before_they_ran_anything_pause_nothing(
    world: CoreWorld, fault: WorkerLoss, state: str
) -> None:
    world.backend.room = Capacity((Machine(8, 2**34),))
    experiment = world.create(budget=100, parallelism=8, resources={"cpu": 1})
    world.backend.slots_per_worker = 1
    for _ in range(2):
        world.tick(2)
        for worker in world.backend.orders:
            world.backend.gone[worker] = "its machine was drained"
            world.backend.faults[worker] = fault
        world.tick(2)
        world.clock.pass_time(60.0)
    world.tick(2)
    status = world.status(experiment)
    assert status["state"] == state, status["reason"]


def test_workers_that_their_place_takes_again_and_again_come_at_ever_longer_intervals(world: CoreWorld) -> None:
    experiment = world.create(budget=4, parallelism=1, resources={"cpu": 1})
    for _ in range(120):
        for worker in world.backend.orders.keys() - world.backend.gone.keys():
            world.backend.gone[worker] = "its pod was deleted"
            world.backend.faults[worker] = WorkerLoss.PLACE
        world.tick()
        world.clock.pass_time(1.0)
    assert world.status(experiment)["state"] == "pending"
    assert 4 <= len(world.backend.orders) <= 12
    world.clock.pass_time(60.0)
    assert world.run(experiment)["counts"]["completed"] == 4


def test_a_worker_that_can_never_start_pauses_the_experiment(world: CoreWorld) -> None:
    experiment = world.create(budget=2, parallelism=1, resources={"cpu": 1})
    world.tick()
    (worker,) = world.backend.orders
    world.backend.gone[worker] = "the image model:1 cannot be pulled: not found"
    world.backend.faults[worker] = WorkerLoss.REFUSED
    world.tick()
    status = world.status(experiment)
    assert status["state"] == "paused"
    assert status["reason"]["code"] == "workers_fail"
    assert "the image model:1 cannot be pulled: not found" in status["reason"]["message"]


def test_where_machines_may_come_only_so_many_workers_wait_for_them(world: CoreWorld) -> None:
    world.backend.room = Capacity((), elastic=True)
    experiment = world.create(budget=100, parallelism=50, resources={"cpu": 1})
    for _ in range(5):
        world.backend.pending |= dict.fromkeys(world.backend.orders, "no machine yet")
        for controller in world.controllers:
            controller.tick()
    assert len(world.backend.orders) == 10
    world.backend.pending.clear()
    assert world.run(experiment)["counts"]["completed"] == 100


def spread_out(world: CoreWorld, experiment: str, nodes: Mapping[str, str]) -> None:
    """Let workers say on which machine they are."""
    with world.core.store.transaction() as session:
        for worker, node in nodes.items():
            session.run("UPDATE workers SET node = :node WHERE id = :id", {"id": worker, "node": node})


def test_workers_on_a_machine_that_takes_no_more_go_first(world: CoreWorld) -> None:
    world.backend.room = Capacity(MACHINES[:2])
    world.create(budget=40, parallelism=8, resources={"cpu": 1})
    held = [worker.id for worker, _ in world.lease(8)]
    spread_out(world, "", {worker: "cpu1" if number < 4 else "cpu2" for number, worker in enumerate(held)})
    world.backend.room = Capacity(MACHINES[1:2], unschedulable=frozenset({"cpu1"}))
    world.tick()
    with world.core.store.reading() as session:
        draining = {w.id for w in workers.present(session, "local") if w.state == "draining"}
    assert draining == set(held[:4])


def test_a_machine_on_which_trials_fail_that_succeed_elsewhere_is_put_in_quarantine(world: CoreWorld) -> None:
    experiment = world.create(budget=40, parallelism=4, resources={"cpu": 2})
    held = world.lease(4)
    bad = [worker for worker, _ in held[:2]]
    spread_out(world, experiment, {w.id: "cpu1" if w in bad else "cpu2" for w, _ in held})
    for _ in range(60):
        world.tick()
        for worker in list(world.workers.values()):
            broken = {"state": "failed", "exit_code": 1, "reason": {"code": "exit_code", "message": "exit code 1"}}
            changes: dict[str, Any] = broken if worker in bad else {}
            finished = [worker.finish(lease, **changes) for lease in worker.leases.values()]
            worker.call(want=1, finished=finished)
            if worker.told_to_drain and not worker.leases:
                world.backend.gone[worker.id] = ""
        world.clock.pass_time(1)
        if world.status(experiment)["state"] == "completed":
            break
    status = world.status(experiment)
    assert status["state"] == "completed", status["reason"]
    assert status["counts"]["failed"] < 7, "those before the evidence was there"
    assert status["counts"]["completed"] + status["counts"]["failed"] == 40
    machines = {machine["name"]: machine["trouble"] for machine in cluster(world.core, "local")["machines"]}
    trouble = r"in quarantine for the experiments of one user until 20\d\d-\d\d-\d\d \d\d:\d\d UTC: "
    assert re.search(trouble, machines["cpu1"] or "")
    assert machines["cpu2"] is None
    again = [a for t in world.trials(experiment) for a in t["attempts"] if a["state"] == "preempted"]
    assert again
    assert {attempt["reason"]["code"] for attempt in again} == {"node_quarantined"}
    earlier = set(world.backend.orders)
    world.create(budget=4, parallelism=4, resources={"cpu": 2})
    world.tick(2)
    later = [order for worker, order in world.backend.orders.items() if worker not in earlier]
    assert len(later) == 2, "as many as the other machine holds"
    assert all("cpu1" in order.avoid for order in later)


def test_a_quarantine_of_before_the_clock_jumped_back_is_over(world: CoreWorld) -> None:
    world.clock.pass_time(30 * 86_400.0)
    with world.core.store.transaction() as session:
        shut = quarantines.Quarantine("cpu1", "its card is broken", session.now + 3600)
        quarantines.put(session, "local", shut)
        assert [each.node for each in quarantines.present(session, "local")] == ["cpu1"]
    world.clock.wall -= 30 * 86_400.0
    with world.core.store.reading() as session:
        assert quarantines.present(session, "local") == []


def put(world: CoreWorld, node: str, principal: str = "") -> None:
    with world.core.store.transaction() as session:
        until = session.now + 3600
        quarantines.put(session, "local", quarantines.Quarantine(node, "its card is broken", until, principal))


def avoided(world: CoreWorld, owner: str, principal: str | None = None, **changes: Any) -> frozenset[str]:
    """The machines of the CPU pool that a new experiment of that owner's is kept from."""
    earlier = set(world.backend.orders)
    options = {"budget": 1, "parallelism": 1, "resources": {"cpu": 0.5}, **changes}
    experiment = world.create(owner=owner, principal=principal, **options)
    world.tick(2)
    [order] = [order for worker, order in world.backend.orders.items() if worker not in earlier]
    assert order.experiment == experiment
    return order.avoid - {"gpu1"}


def test_a_quarantine_ends_by_itself_or_by_word(world: CoreWorld) -> None:
    put(world, "cpu1")
    world.create(budget=20, parallelism=4, resources={"cpu": 1}, placement={"pool": "cpu"})
    waiting = world.create(budget=5, parallelism=1, resources={"cpu": 4}, placement={"pool": "cpu"})
    world.tick(2)
    assert world.status(waiting)["reason"]["message"].endswith("; in quarantine: cpu1")
    with pytest.raises(NotFound, match="gpu1 is not in quarantine"):
        lift(world.core, "local", "gpu1")
    lift(world.core, "local", "cpu1")
    world.tick(2)
    assert world.status(waiting)["reason"] is None
    put(world, "cpu1")
    world.clock.pass_time(3601)
    with world.core.store.reading() as session:
        assert quarantines.present(session, "local") == []


def test_what_trials_of_one_principal_show_keeps_a_machine_from_nobody_else(world: CoreWorld) -> None:
    put(world, "cpu1", "token:eve")
    assert avoided(world, "eve", "token:eve") == {"cpu1"}
    assert avoided(world, "ada", "token:ada") == frozenset()
    assert avoided(world, "eve") == frozenset(), "a name that is a claim"
    put(world, "cpu1", "experiment:1")
    put(world, "cpu1", "experiment:2")
    assert avoided(world, "ada", "token:ada") == frozenset(), "names that are claims count as one user"
    put(world, "cpu1", "token:bob")
    assert avoided(world, "ada", "token:ada") == {"cpu1"}


def test_a_quarantine_never_closes_the_last_machine_that_has_what_a_trial_needs(world: CoreWorld) -> None:
    put(world, "cpu1")
    world.clock.pass_time(1)
    put(world, "cpu2")
    assert avoided(world, "ada", placement={"pool": "cpu"}) == {"cpu1"}, "the last one to get there stays open"
    put(world, "gpu1")
    world.create(budget=1, parallelism=1, resources={"gpu": 1})
    world.tick(2)
    assert world.backend.orders.popitem()[1].avoid == {"cpu1", "cpu2"}


def test_failures_on_the_last_machine_that_is_open_are_the_models(world: CoreWorld) -> None:
    """Otherwise such trials would be requeued again and again."""
    put(world, "cpu2", "token:ada")
    experiment = world.create(budget=40, parallelism=4, resources={"cpu": 1}, placement={"pool": "cpu"})
    held = world.lease(4)
    spread_out(world, experiment, {worker.id: f"cpu{1 + index % 2}" for index, (worker, _) in enumerate(held)})
    with world.core.store.transaction() as session:
        for index, (worker, _) in enumerate(held):  # all that succeeded did so on the machine that is closed by now
            workers.change(session, worker.id, succeeded=index % 2 * 10, failed=0 if index % 2 else 9)
    bad, lease = held[0]
    reason = {"code": "exit_code", "message": "exit code 1"}
    bad.call(finished=[bad.finish(lease, state="failed", exit_code=1, reason=reason)])
    assert [shut.node for shut in present(world)] == ["cpu2"]
    assert world.status(experiment)["counts"]["failed"] == 1


def present(world: CoreWorld) -> list[quarantines.QuarantineRow]:
    with world.core.store.reading() as session:
        return quarantines.present(session, "local")


def test_an_experiment_whose_trials_request_nothing_keeps_few_workers_pending(world: CoreWorld) -> None:
    """1,000 Jobs of an editor were created in one tick: meanwhile no other experiment got a worker."""
    experiment = world.create(budget=5000, parallelism=1000, resources={"cpu": 0})
    for _ in range(5):
        world.backend.pending |= dict.fromkeys(world.backend.orders, "unschedulable")
        for controller in world.controllers:
            controller.tick()
    assert len(world.backend.orders) == MAX_PENDING_WORKERS
    world.backend.pending.clear()
    world.tick(3)
    assert len(world.status(experiment)["workers"]) > MAX_PENDING_WORKERS


def test_a_tick_starts_few_workers_of_each_experiment(world: CoreWorld) -> None:
    world.backend.room = Capacity((Machine(500, 2**44),))
    first = world.create(budget=5000, parallelism=400, resources={"cpu": 1}, priority=5)
    for _ in range(2):
        other = world.create(budget=50, parallelism=5, resources={"cpu": 1})
        before = Counter(order.experiment for order in world.backend.orders.values())
        for controller in world.controllers:
            controller.tick()
        orders = Counter(order.experiment for order in world.backend.orders.values())
        assert 0 < orders[first] - before[first] <= 20 and orders[other] == 5
    for _ in range(10):
        world.backend.pending |= dict.fromkeys(world.backend.orders, "unschedulable")
        for controller in world.controllers:
            controller.tick()
    assert Counter(order.experiment for order in world.backend.orders.values())[first] == MAX_STARTING_WORKERS


def test_fewer_places_than_parallelism_are_explained_while_trials_run(world: CoreWorld) -> None:
    """The text follows the amounts, at most once in ten seconds: trials that start and end cost no rows."""
    world.backend.room = Capacity(MACHINES[:2])
    bobs = world.create(owner="bob", budget=100, parallelism=2, resources={"cpu": 1})
    held = world.lease(2)
    experiment = world.create(budget=100, parallelism=20, resources={"cpu": 1.5})
    world.lease(3)
    world.tick()
    status = world.status(experiment)
    assert (status["state"], status["reason"]) == (
        "running",
        {
            "code": "waiting_for_resources",
            "message": "3 of 20 run: each needs 1.5 cpu and 1.5 of 8 are free, at most 1 on one node (cpu2);"
            " ada holds 4.5, bob 2",
        },
    )
    entry = next(each for each in cluster(world.core)["experiments"] if each["id"] == experiment)
    assert entry["waiting"] == status["reason"]["message"]
    change_experiment.stop(world.core, bobs, "bob")
    for worker, lease in held:
        worker.call(finished=[worker.finish(lease)])
    leave(world)
    assert world.status(experiment)["reason"] == status["reason"], "amounts that move write no row at once"
    world.clock.pass_time(11)
    world.tick()
    reason = world.status(experiment)["reason"]["message"]
    assert reason.startswith("4 of 20 run: each needs 1.5 cpu and 2 of 8 are free"), reason
    assert "bob" not in reason
    states = read_experiments.events(world.core, experiment, 0, 1000, ["experiment_state"])["items"]
    assert [event["data"]["state"] for event in states] == ["running"], "and no event"


def test_workers_that_wait_beside_running_ones_are_explained_with_the_words_of_their_cluster(world: CoreWorld) -> None:
    world.backend.room, world.backend.queues = Capacity(elastic=True), True
    experiment = world.create(budget=100, parallelism=4, resources={"cpu": 1})
    ((running, _),) = world.lease(1)
    for worker in world.backend.orders.keys() - {running.id}:
        del world.workers[worker]
        world.backend.pending[worker] = "in Slurm's queue: Priority"
        world.backend.queued.add(worker)
        with world.core.store.transaction() as session:
            session.run("UPDATE workers SET state = 'starting', boot_id = NULL WHERE id = :id", {"id": worker})
    for _ in range(5):
        world.clock.pass_time(3)
        running.call()
        world.tick()
    reason = world.status(experiment)["reason"]["message"]
    assert re.fullmatch(r"1 of 4 run: worker w\d waits: in Slurm's queue: Priority", reason), reason
