"""Slot allocation: fair share by user, then priority; trials with GPUs never wait behind trials without.

Idea: dominant resource fairness. One slot at a time goes to the user whose largest fraction of all cores, memory or
GPUs is smallest; within a user, demands are served by priority, then age. It is a pure function of capacity and
demands, computed again in each tick from zero: what is held now is not kept as such, but equal demands get equal
results, so nothing moves without a cause.

Invariants: no machine is given more than it has; a demand gets at most the slots it asked for; a trial without GPUs
uses machines with GPUs only if it fits nowhere else (`usable`). A single user gets all slots in one step, which keeps
thousands of slots cheap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from orchestune.domain.resources.gpus import GpuSet
from orchestune.domain.resources.resources import Capacity, Machine, Resources, holds, offers


@dataclass(frozen=True)
class Demand:
    """Number of slots that an experiment could use now, and the resources of each. Sorted by priority, then age."""

    experiment: str
    slots: int
    per_trial: Resources
    owner: str = ""
    pool: str | None = None
    avoid: frozenset[str] = frozenset()
    """names of machines that it must not use"""


@dataclass
class FreeMachine:
    """Available resources of one machine."""

    machine: Machine
    cpu: float
    memory: float
    gpus: GpuSet

    @classmethod
    def whole(cls, machine: Machine) -> FreeMachine:
        """Return the resources of an idle machine."""
        return cls(machine, machine.cpu, float(machine.memory), GpuSet(machine.gpus))

    def take(self, each: Resources, slots: int = 1) -> None:
        """Allocate resources to `slots` trials. The available amount may become negative."""
        self.cpu -= (each.cpu or 0) * slots
        self.memory -= (each.memory or 0) * slots
        for _ in range(slots if each.gpu else 0):
            self.gpus.take(each.gpu_request)

    def fit(self, each: Resources, slots: int) -> int:
        """Return how many of `slots` trials fit."""
        if each.cpu:
            slots = int(min(slots, (self.cpu + 1e-9) // each.cpu))  # the quotient may be infinite
        if each.memory:
            slots = int(min(slots, self.memory // each.memory))
        if each.gpu:
            slots = min(slots, self.gpus.fit(each.gpu_request))
        return max(slots, 0)


class AvailableSlots:
    """Available resources of all machines of a backend."""

    def __init__(self, capacity: Capacity) -> None:
        self._capacity = capacity
        self._free = [FreeMachine.whole(machine) for machine in capacity.machines]

    def take(self, each: Resources, slots: int, machine: str = "", among: Iterable[str] | None = None) -> None:
        """Allocate resources to `slots` trials on `machine`, or on any machine of `among` if it is unknown.

        Only a machine that has enough available is used. Trials on a cordoned or excluded machine use nothing of the
        other machines.
        """
        if machine in self._capacity.quarantined | self._capacity.unschedulable:
            return
        named = [free for free in self._free if free.machine.name == machine]
        if named or len(self._free) == 1:
            (named or self._free)[0].take(each, slots)
            return
        usable = self._among(among)
        for _ in range(slots):
            fitting = next((free for free in usable if free.fit(each, 1)), None)
            if fitting is not None:
                fitting.take(each)

    def fit(self, each: Resources, slots: int, machines: Iterable[str] | None = None) -> int:
        """Return how many of `slots` trials fit (on `machines`, if given)."""
        if self._capacity.elastic:
            return slots
        return min(slots, sum(free.fit(each, slots) for free in self._among(machines)))

    def on(self, machines: Iterable[str]) -> list[FreeMachine]:
        """Return what is available on each of these machines."""
        return self._among(machines)

    def _among(self, machines: Iterable[str] | None) -> list[FreeMachine]:
        if machines is None:
            return self._free
        allowed = set(machines)
        return [free for free in self._free if free.machine.name in allowed]


def usable(capacity: Capacity, each: Resources, pool: str | None, avoid: frozenset[str] = frozenset()) -> list[Machine]:
    """Return the machines on which a trial with these resources may run.

    A trial without GPUs does not use machines with GPUs, unless it fits nowhere else or names their pool: it would
    block trials that need the GPUs.
    """
    fitting = [
        machine
        for machine in capacity.machines
        if machine.name not in avoid and offers(machine, pool) and holds(machine, each)
    ]
    if each.gpu or pool is not None:
        return fitting
    return [machine for machine in fitting if not machine.whole.gpu] or fitting


@dataclass
class _Owner:
    """Demands of one user and the share allocated so far."""

    demands: deque[Demand] = field(default_factory=deque)
    share: float = 0.0
    """dominant share: the largest fraction of all cores, memory or GPUs that the user holds (dominant resource
    fairness: Ghodsi et al., NSDI 2011)"""


def allocate(capacity: Capacity, demands: Sequence[Demand]) -> dict[str, int]:
    """Return slots per experiment. The user with the smallest share is served next, first demand first."""
    granted = dict.fromkeys((demand.experiment for demand in demands), 0)
    free = {machine.name: FreeMachine.whole(machine) for machine in capacity.machines}
    machines_by_experiment: dict[str, deque[FreeMachine]] = {}
    owners: dict[str, _Owner] = {}
    for demand in demands:
        if capacity.elastic or not (demand.per_trial.cpu or demand.per_trial.memory or demand.per_trial.gpu):
            granted[demand.experiment] = max(demand.slots, 0)  # it requests nothing, or the capacity is unknown
        elif demand.slots > 0:
            owners.setdefault(demand.owner, _Owner()).demands.append(demand)
            allowed = usable(capacity, demand.per_trial, demand.pool, demand.avoid)
            machines_by_experiment[demand.experiment] = deque(free[machine.name] for machine in allowed)
    total = _total_resources(capacity)
    while owners:
        name = min(owners, key=lambda owner: owners[owner].share)
        owner = owners[name]
        demand = owner.demands[0]
        # a single user gets all slots at once; several users get one slot at a time
        pending_slots = demand.slots - granted[demand.experiment]
        allocated = _allocate_slots(
            machines_by_experiment[demand.experiment],
            demand.per_trial,
            pending_slots if len(owners) == 1 else min(pending_slots, 1),
        )
        granted[demand.experiment] += allocated
        owner.share += allocated * _dominant_share(demand.per_trial, total)
        if allocated == 0 or granted[demand.experiment] >= demand.slots:
            owner.demands.popleft()
            if not owner.demands:
                del owners[name]
    return granted


def _allocate_slots(machines: deque[FreeMachine], each: Resources, slots: int) -> int:
    """Allocate resources to up to `slots` trials and return how many fit.

    Machines without space for one more are removed from `machines`: nothing frees space on them, and thousands of slots
    may be allocated one by one.
    """
    placed = 0
    while machines and placed < slots:
        fitting = machines[0].fit(each, slots - placed)
        machines[0].take(each, fitting)
        placed += fitting
        if placed < slots:
            machines.popleft()
    return placed


def _total_resources(capacity: Capacity) -> Resources:
    return Resources(
        sum(machine.cpu for machine in capacity.machines),
        sum(machine.memory for machine in capacity.machines),
        len(capacity.gpus),
    )


def _dominant_share(each: Resources, total: Resources) -> float:
    return max(
        (each.cpu or 0) / (total.cpu or 1), (each.memory or 0) / (total.memory or 1), each.gpu / (total.gpu or 1)
    )
