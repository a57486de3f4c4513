"""Signals wake only the loops that have something to do."""

from __future__ import annotations

import asyncio

import pytest

from orchestune.controllers.worker_scaling import WorkerScaling
from orchestune.controllers.worker_wakeups import WorkerWakeups
from orchestune.services.commands import change_experiment
from orchestune.services.commands.change_experiment import Changes
from orchestune.services.memory import signals as signals_module
from orchestune.services.memory.signals import ACTING, SUGGESTING, Signals
from tests.contract.world import CoreWorld

LONG = 60.0


class Watch:
    """Which topics were bumped since it was made."""

    def __init__(self, signals: Signals, *topics: str) -> None:
        self._signals = signals
        self._before = {topic: signals.version(topic) for topic in topics}

    def bumped(self) -> set[str]:
        return {topic for topic, version in self._before.items() if self._signals.version(topic) != version}


def watch(world: CoreWorld, experiment: str) -> Watch:
    topics = (f"work:{experiment}", f"events:{experiment}", f"logs:{experiment}", ACTING, SUGGESTING)
    return Watch(world.core.signals, *topics)


def test_a_server_that_had_very_many_experiments_remembers_the_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals_module, "_MAX_SIGNALS", 100)
    signals = Signals()
    signals.notify("events:old", "events:quiet")
    before = {name: signals.version(f"events:{name}") for name in ("old", "quiet", "none")}
    for number in range(1000):
        signals.notify(f"events:{number}")
        if number == 500:
            signals.notify("events:old")
    assert len(signals._versions) == 100
    assert signals.version("events:old") != before["old"], "those that wait for it are notified"
    quiet = signals.version("events:quiet")
    assert signals.version("events:quiet") == signals.version("events:none") == quiet
    signals.notify("events:quiet")
    assert signals.version("events:quiet") != quiet


def test_nothing_is_kept_in_memory_of_experiments_that_are_over(world: CoreWorld) -> None:
    for _ in range(3):
        world.run(world.create(budget=2, early_stopping={"type": "asha"}))
    world.tick(2)
    launching = next(controller for controller in world.controllers if isinstance(controller, WorkerScaling))
    assert world.core.pruners._pruners == {} and launching._backoff._failures == {}


def test_an_offer_wakes_as_many_as_it_is_for_and_those_first_who_waited_longest() -> None:
    async def scenario() -> None:
        signals, woken = Signals(), list[int]()

        async def wait(number: int) -> None:
            await signals.wait("work:e", 0, LONG)
            woken.append(number)

        waiting = []
        for number in range(10):
            waiting.append(asyncio.create_task(wait(number)))
            await asyncio.sleep(0)
        signals.offer("work:e", 3)
        await asyncio.wait(waiting[:3])
        assert woken == [0, 1, 2]
        signals.notify("work:e")
        await asyncio.wait(waiting)
        assert sorted(woken) == list(range(10))
        assert signals._waiting == {}

    asyncio.run(scenario())


def test_an_offer_between_look_and_wait_is_not_lost() -> None:
    async def scenario() -> int:
        signals = Signals()
        version = signals.version("work:e")
        signals.offer("work:e", 1)
        return await signals.wait("work:e", version, LONG)

    assert asyncio.run(scenario()) == 1


@pytest.mark.parametrize(("engine", "who"), [("tpe", {SUGGESTING}), ("random", set())])
def test_a_result_concerns_an_engine_that_learns_but_neither_workers_without_a_chance_nor_other_controllers(
    world: CoreWorld, engine: str, who: set[str]
) -> None:
    experiment = world.create(budget=50, parallelism=2, engine=engine)
    world.lease(2)
    topics = watch(world, experiment)
    worker = next(worker for worker in world.workers.values() if worker.leases)
    [*leases] = worker.leases.values()
    worker.call(beats=[worker.started(lease) for lease in leases])
    assert topics.bumped() == {f"events:{experiment}"}
    worker.call(want=len(leases), finished=[worker.finish(lease) for lease in leases])
    assert len(worker.leases) == (0 if who else len(leases)), "its place is taken again at once, or once there is one"
    assert topics.bumped() == {f"events:{experiment}", f"logs:{experiment}"} | who


@pytest.mark.parametrize("folds", [1, 3])
def test_results_concern_an_engine_without_memory_once_half_of_what_it_made_ahead_is_used_up(
    world: CoreWorld, folds: int
) -> None:
    experiment = world.create(budget=500, parallelism=8, folds={"count": folds})
    worker, lease = world.lease()[0]
    queued, rounds = [world.status(experiment)["counts"]["queued"]], 0
    for _ in range(80 * folds):
        topics = watch(world, experiment)
        worker.call(want=1, finished=[worker.finish(lease)])
        [lease] = worker.leases.values()
        if SUGGESTING in topics.bumped():
            rounds += 1
            world.suggesting.tick()
        queued.append(world.status(experiment)["counts"]["queued"])
    assert min(queued) >= 8, "there is always one for each place"
    assert 2 <= rounds <= 10


def test_a_server_that_begins_anew_hears_of_results_until_it_knows_the_engine(world: CoreWorld) -> None:
    experiment = world.create(budget=30, parallelism=2)
    worker, lease = world.lease()[0]
    world.suggesting.close()
    topics = watch(world, experiment)
    worker.call(want=1, finished=[worker.finish(lease)])
    assert SUGGESTING in topics.bumped()
    world.tick()
    assert world.core.signals.without_memory == {experiment}
    world.run(experiment)
    world.tick()
    assert world.core.signals.without_memory == set()


def test_a_place_that_gets_free_is_offered(world: CoreWorld) -> None:
    experiment = world.create(budget=50, parallelism=2)
    world.lease(2)
    topics = watch(world, experiment)
    worker = next(worker for worker in world.workers.values() if worker.leases)
    worker.call(finished=[worker.finish(lease) for lease in worker.leases.values()])
    assert f"work:{experiment}" in topics.bumped()


@pytest.mark.parametrize("change", ["pause", "stop", "extend"])
def test_a_change_of_intent_concerns_everybody(world: CoreWorld, change: str) -> None:
    experiment = world.create(budget=50, parallelism=2)
    world.lease(2)
    topics = watch(world, experiment)
    if change == "pause":
        change_experiment.pause(world.core, experiment, False, "ada")
    elif change == "stop":
        change_experiment.stop(world.core, experiment, "ada")
    else:
        change_experiment.change_experiment(world.core, experiment, Changes(budget=60), "ada")
    assert {f"work:{experiment}", ACTING, SUGGESTING} <= topics.bumped()


def test_the_last_result_wakes_who_ends_workers(world: CoreWorld) -> None:
    experiment = world.create(budget=1, parallelism=1)
    worker, lease = world.lease()[0]
    topics = watch(world, experiment)
    worker.call(finished=[worker.finish(lease)])
    assert ACTING in topics.bumped()


def test_while_it_comes_to_rest_each_result_wakes_who_gives_places_to_others(world: CoreWorld) -> None:
    experiment = world.create(budget=50, parallelism=2)
    leases = world.lease(2)
    change_experiment.pause(world.core, experiment, False, "ada")
    for worker, lease in leases:
        topics = watch(world, experiment)
        worker.call(finished=[worker.finish(lease)])
        assert ACTING in topics.bumped()


def test_what_is_due_without_an_event_is_offered(world: CoreWorld) -> None:
    experiment = world.create(budget=50, parallelism=2)
    world.tick(3)
    topics = watch(world, experiment)
    WorkerWakeups(world.core).tick()
    assert topics.bumped() == {f"work:{experiment}"}
    world.lease(2)
    topics = watch(world, experiment)
    WorkerWakeups(world.core).tick()
    assert topics.bumped() == set()


def test_a_stream_of_logs_hears_of_the_end_of_the_experiment_also_without_output(world: CoreWorld) -> None:
    experiment = world.create(budget=1, parallelism=1)
    worker, lease = world.lease()[0]
    topics = watch(world, experiment)
    worker.call(finished=[worker.finish(lease, logs=[], log_bytes=0)])
    assert f"logs:{experiment}" in topics.bumped()


def test_a_topic_is_awaited_while_a_coroutine_waits_and_for_a_while_after() -> None:
    signals = Signals()

    async def follow() -> list[bool]:
        waiting = asyncio.create_task(signals.wait("logs:a", signals.version("logs:a"), 60))
        await asyncio.sleep(0)
        during = signals.is_awaited("logs:a", 0)
        signals.notify("logs:a")
        await waiting
        return [during, signals.is_awaited("logs:a", 60), signals.is_awaited("logs:a", -1)]

    assert not signals.is_awaited("logs:a", 60)
    assert asyncio.run(follow()) == [True, True, False]
