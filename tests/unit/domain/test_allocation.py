"""Allocation of the slots of a cluster."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestune.domain.resources.allocation import AvailableSlots, Demand, allocate, usable
from orchestune.domain.resources.gpus import Gpu
from orchestune.domain.resources.resources import Capacity, Machine, Resources, fits

GIB = 2**30


def cluster(*machines: Machine, elastic: bool = False) -> Capacity:
    return Capacity(machines, elastic)


CPU = [Machine(4, 8 * GIB, name=f"cpu{index}", pool="cpu") for index in (1, 2)]
GPU = Machine(4, 16 * GIB, tuple(map(Gpu, "0123")), "gpu1", "gpu")


def test_two_users_share_evenly_whoever_came_first() -> None:
    each = Resources(cpu=1)
    demands = [Demand("old", 100, each, "ada"), Demand("older", 100, each, "ada"), Demand("new", 100, each, "bob")]
    assert allocate(cluster(*CPU), demands) == {"old": 4, "older": 0, "new": 4}


def test_what_one_user_does_not_want_the_other_gets() -> None:
    each = Resources(cpu=1)
    assert allocate(cluster(*CPU), [Demand("a", 100, each, "ada"), Demand("b", 1, each, "bob")]) == {"a": 7, "b": 1}


def test_of_one_users_experiments_the_first_goes_first() -> None:
    each = Resources(cpu=1)
    assert allocate(cluster(*CPU), [Demand("a", 6, each, "ada"), Demand("b", 6, each, "ada")]) == {"a": 6, "b": 2}


def test_a_share_is_the_largest_part_of_anything() -> None:
    """Half of the memory counts as half, however few cores go with it."""
    hungry, busy = Resources(cpu=0.5, memory=4 * GIB), Resources(cpu=1, memory=GIB // 4)
    granted = allocate(cluster(*CPU), [Demand("a", 100, hungry, "ada"), Demand("b", 100, busy, "bob")])
    assert granted == {"a": 2, "b": 6}


def test_trials_without_gpus_leave_machines_with_gpus_alone() -> None:
    place = cluster(*CPU, GPU)
    demands = [Demand("cpu", 100, Resources(cpu=1), "ada"), Demand("gpu", 4, Resources(cpu=1, gpu=1), "ada")]
    assert allocate(place, demands) == {"cpu": 8, "gpu": 4}
    assert [machine.name for machine in usable(place, Resources(cpu=1), None)] == ["cpu1", "cpu2"]


def test_trials_that_fit_nowhere_else_may_use_machines_with_gpus() -> None:
    place = cluster(*CPU, GPU)
    assert [machine.name for machine in usable(place, Resources(memory=12 * GIB), None)] == ["gpu1"]
    assert [machine.name for machine in usable(place, Resources(cpu=1), "gpu")] == ["gpu1"]


def test_a_trial_has_to_fit_on_one_machine() -> None:
    place = cluster(*CPU, GPU)
    assert allocate(place, [Demand("a", 9, Resources(cpu=3), "ada")]) == {"a": 2}
    assert fits(place, Resources(cpu=6)) == "a trial needs 6 cpu, the largest machine, cpu1, has 4"
    assert fits(place, Resources(gpu=5)) == "a trial needs 5 gpu, the largest machine, gpu1, has 4"
    assert fits(place, Resources(cpu=6, memory=4 * GIB, gpu=5)) == (
        "a trial needs 6 cpu, the largest machine, cpu1, has 4; it needs 5 gpu, the largest machine, gpu1, has 4"
    )
    assert fits(cluster(*CPU, Machine(16, GIB, name="thin")), Resources(cpu=8, memory=4 * GIB)) == (
        "no single machine has 8 cpu, 4 GiB memory"
    )
    assert fits(place, Resources(cpu=1), "spot") == "the pool spot has no machine; pools with machines: cpu, gpu"


def test_machines_to_be_avoided_are_not_counted() -> None:
    each = Resources(cpu=1)
    assert allocate(cluster(*CPU), [Demand("a", 9, each, "ada", avoid=frozenset({"cpu1"}))]) == {"a": 4}


def test_where_machines_may_come_everything_is_granted() -> None:
    assert allocate(cluster(elastic=True), [Demand("a", 9, Resources(cpu=64), "ada")]) == {"a": 9}
    assert fits(cluster(elastic=True), Resources(cpu=64)) is None


def test_room_on_a_known_machine_is_taken_there() -> None:
    room = AvailableSlots(cluster(*CPU))
    room.take(Resources(cpu=2), 2, "cpu2")
    assert room.fit(Resources(cpu=2), 9) == 2
    assert room.fit(Resources(cpu=2), 9, ["cpu2"]) == 0
    room.take(Resources(cpu=3), 1)
    assert room.fit(Resources(cpu=1), 9) == 1


amounts = st.builds(Resources, cpu=st.sampled_from([0.5, 1, 3]), memory=st.sampled_from([None, GIB, 5 * GIB]),
                    gpu=st.integers(0, 2))  # fmt: skip


@given(st.lists(st.tuples(amounts, st.integers(0, 20), st.sampled_from("abc")), max_size=6))
def test_never_more_than_is_there_and_never_more_than_is_wanted(requests: list[tuple[Resources, int, str]]) -> None:
    place = cluster(*CPU, GPU)
    demands = [Demand(str(index), slots, each, owner) for index, (each, slots, owner) in enumerate(requests)]
    granted = allocate(place, demands)
    for name, of in (("cpu", 12), ("memory", 32 * GIB), ("gpu", 4)):
        assert sum(granted[d.experiment] * (getattr(d.per_trial, name) or 0) for d in demands) <= of
    assert all(0 <= granted[demand.experiment] <= demand.slots for demand in demands)


class Counted(Machine):
    """Counts how often it is checked for what a trial needs."""

    looks = 0

    @property
    def whole(self) -> Resources:
        Counted.looks += 1
        return super().whole


def test_each_machine_is_looked_at_once_for_each_demand_however_many_slots_there_are() -> None:
    machines = [Counted(8, 8 * GIB, name=f"cpu{index}") for index in range(20)]
    demands = [Demand(owner, 100, Resources(cpu=1), owner) for owner in ("ada", "bob")]
    Counted.looks = 0
    assert allocate(cluster(*machines), demands) == {"ada": 80, "bob": 80}
    assert Counted.looks <= 4 * len(machines) * len(demands)


def test_what_runs_on_a_machine_that_takes_no_more_holds_nothing_of_the_others() -> None:
    each, machines_left = Resources(cpu=1), CPU[1:]
    for place in (
        Capacity(tuple(machines_left), unschedulable=frozenset({"cpu1"})),
        cluster(*CPU).without(frozenset({"cpu1"})),
    ):
        room = AvailableSlots(place)
        room.take(each, 4, "cpu1")
        assert room.fit(each, 9) == 4
