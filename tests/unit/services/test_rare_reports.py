"""Late reports, a second registration, none at all, and a report with an impossible log."""

from __future__ import annotations

from orchestune.controllers.lease_expiry import START_SECONDS
from orchestune.services.queries import read_trials
from orchestune.store import workers
from tests.contract.world import CoreWorld, FakeWorker


def stored(world: CoreWorld, worker: str) -> tuple[str, str | None]:
    """The state of a worker, and the process that registered last."""
    with world.core.store.reading() as session:
        row = workers.get(session, worker)
    assert row is not None
    return row.state, row.boot_id


def test_a_lost_attempt_that_was_preempted_says_so_and_its_trial_waits(world: CoreWorld) -> None:
    experiment = world.create(budget=1, parallelism=1)
    [(worker, lease)] = world.lease()
    world.hear_nothing(world.core.lease_seconds + 1)
    (ack,) = worker.call(finished=[worker.finish(lease, state="preempted", points=[])])["acks"]
    assert ack["result"] == "ok"
    assert read_trials.trial(world.core, experiment, 1)["attempts"][0]["state"] == "preempted"
    assert world.trials(experiment)[0]["state"] == "queued"


def test_the_late_result_of_a_fold_prunes_a_trial_that_waits(world: CoreWorld) -> None:
    experiment = world.create(budget=2, parallelism=1, folds={"count": 2, "prune_after": 1})
    for _ in range(2):
        [(worker, lease)] = world.lease()
        worker.call(finished=[worker.finish(lease, 0.1)])
    [(worker, lease)] = world.lease()
    world.hear_nothing(world.core.lease_seconds + 1)
    assert world.trials(experiment)[1]["state"] == "queued"
    worker.call(finished=[worker.finish(lease, 1e6)])
    assert world.trials(experiment)[1]["state"] == "pruned"


def test_a_worker_that_starts_again_while_it_drains_still_drains(world: CoreWorld) -> None:
    world.create(budget=2, parallelism=1)
    [(worker, _)] = world.lease()
    with world.core.store.transaction() as session:
        workers.drain(session, worker.id)
    again = FakeWorker(world.core, worker.id, life=2)
    assert stored(world, worker.id) == ("draining", again.boot)


def test_a_worker_that_never_registers_is_lost(world: CoreWorld) -> None:
    world.create(budget=2, parallelism=1)
    while not world.backend.orders:
        for controller in world.controllers:
            controller.tick()
    (worker,) = world.backend.orders
    assert stored(world, worker) == ("starting", None)
    world.hear_nothing(START_SECONDS + 1)
    assert stored(world, worker) == ("lost", None)


def test_a_log_beyond_64_bits_costs_its_own_attempt_alone(world: CoreWorld) -> None:
    world.create(budget=2, parallelism=1)
    [(worker, lease)] = world.lease()
    stale = {"attempt": "of-another-worker", "token": 1}
    beat = worker.started(lease) | {"logs": [[2**63 - 1, "x", 1]]}
    results = {ack["attempt"]: ack["result"] for ack in worker.call(beats=[beat, stale])["acks"]}
    assert results == {lease["attempt"]: "rejected", "of-another-worker": "unknown"}
