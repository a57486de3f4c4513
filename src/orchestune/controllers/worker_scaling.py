"""Scales workers: as many per experiment as it can use and its cluster can hold.

Idea: a reconciler, not a queue. Each tick compares, for every cluster, the demands of all unfinished experiments with
the workers that exist, and starts, resizes or drains workers. Only the crash backoff is remembered between ticks, so a
server that was killed continues with its first tick.

A tick of one cluster has four steps: plan each experiment (`request_groups`: trials that need more memory get workers
of their own size); hand over idle workers (`warm_pool`); share the slots (`cluster_queues.share_out`, which calls
`domain.resources.allocation`); bring each group to its slots (`_scale`). `worker_starter` starts the missing workers.

Invariants:
- A worker holds the resources of all its slots until it ends, also while it drains: `_available_slots` counts running
  trials of draining and shrunk workers, so nothing is allocated twice.
- The row of a worker is written before the backend starts it. A row without `backend_handle` may belong to a worker
  that was started by a server that died in between, so the start is repeated; backends start a worker at most once
  per id.
- One experiment cannot stop the others: its errors are raised after they have been processed. An unreachable cluster
  or store is not the fault of an experiment and ends the tick of that cluster.
- Leasing is not decided here. A worker asks for leases (`services.execution.worker_call`) under the lock of its
  experiment, and that lock alone keeps `parallelism` and `budget` exact.

Race: a worker may lease a trial between the read of this tick and its drain. The drain only refuses further leases, so
that trial finishes.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

from orchestune.controllers import isolated_jobs
from orchestune.controllers.cluster_queues import admitted, in_queue, share_out, without_queued
from orchestune.controllers.crash_backoff import CrashBackoff
from orchestune.controllers.pending_reason import Holdings, lack_of, pending_reason
from orchestune.controllers.request_groups import RequestGroup, request_groups, unfinished_attempts
from orchestune.controllers.warm_pool import WarmPool
from orchestune.controllers.worker_starter import ScalingTarget, WorkerStarter
from orchestune.domain.lifecycle.states import Desired, Reason, WorkerState
from orchestune.domain.resources.allocation import AvailableSlots, Demand, usable
from orchestune.domain.resources.gpus import GpuSet
from orchestune.domain.resources.resources import Capacity, Resources
from orchestune.errors import TemporaryError
from orchestune.ports.backend import Backend
from orchestune.services import quarantined_nodes
from orchestune.services.core import Core
from orchestune.services.execution.locked_experiment import locked
from orchestune.services.queries import trial_resources
from orchestune.store import experiment_lists, quarantines, workers
from orchestune.store.experiments import ExperimentRow
from orchestune.store.quarantines import QuarantineRow
from orchestune.store.statements.workers import PolledWorker
from orchestune.system.isolation import failure_of

log = logging.getLogger(__name__)

_USABLE = (WorkerState.STARTING, WorkerState.ALIVE)
MAX_SLOTS_PER_CORE = 4
"""slots per core beyond which one worker serves `CORES_SERVED` cores"""
CORES_SERVED = 4
MAX_PENDING_WORKERS = 10
"""maximum pending workers of one experiment if free resources are no bound: its cluster is elastic, its workers wait in
a queue, or its trials request nothing"""
MAX_STARTING_WORKERS = 100
"""maximum pending workers of any other experiment, if each worker is a container or job of its own"""
_REASON_SECONDS = 10.0
"""minimum seconds between two texts that say why a running experiment has too few workers"""
_STARTS_PER_TICK, _STARTS_OF_ONE = 100, 20
"""Starts of such workers in one tick, in all and of one experiment: each is a request to the cluster, and all
experiments wait for the end of the tick. Measured on Kubernetes: 15 ms for each."""


@dataclass(frozen=True)
class _ExperimentPlan:
    """The request of one experiment during one tick."""

    size: Callable[[int], Resources]
    """resources of a trial by its memory (bytes; 0: the request in the file)"""
    excluded: frozenset[str]
    """nodes that its trials cannot use"""
    groups: Sequence[RequestGroup]


@dataclass(frozen=True)
class _Cluster:
    """The resources of one cluster during one tick; `available` and `free_gpus` shrink as they are allocated."""

    backend: Backend
    capacity: Capacity
    excluded: Mapping[str, frozenset[str]]
    """experiment → nodes that its trials cannot use"""
    quarantined: Mapping[str, frozenset[str]]
    """experiment → the subset of these that is quarantined for it"""
    granted: Mapping[str, int]
    """slots granted to each group"""
    holding: Sequence[ExperimentRow]
    """experiments with running trials or granted slots; the reason of a pending experiment names them"""
    holdings: Holdings
    """what each user holds; the reason of an experiment with too few workers names them"""
    available: AvailableSlots
    starts: int
    """maximum of workers that each group may start in this tick"""
    free_gpus: GpuSet
    """free GPUs if the server assigns them; `available` does not count GPUs then"""
    unscheduled: frozenset[str]
    """ephemeral runs on their user's own machine: they start at once beside all others, and reserve nothing but GPUs"""


class WorkerScaling:
    """Starts, resizes and drains workers. A worker holds the resources of its slots until it ends."""

    def __init__(self, core: Core, warm_pool: WarmPool, backoff: CrashBackoff) -> None:
        self._core, self._warm_pool, self._backoff = core, warm_pool, backoff
        self._starting = WorkerStarter(core)
        self._notified: set[str] = set()
        """experiments whose workers must be notified of a change"""
        self._unplanned: set[str] = set()
        """experiments that could not be planned, which is logged once"""
        self._noted_at: dict[str, float] = {}
        """experiment → `Clock.monotonic()` when its reason was last written while trials ran"""

    def tick(self) -> None:
        """Reconcile the workers of every cluster. A failure for one experiment does not stop the others."""
        with self._core.store.reading() as session:
            rows = experiment_lists.unfinished(session)
            present = {name: list(workers.present(session, name)) for name in self._core.backends}
            quarantine_rows = {
                name: quarantines.present(session, name) for name in self._core.backends if present[name] or rows
            }
        self._backoff.keep({row.id for row in rows})
        self._unplanned &= {row.id for row in rows}
        self._noted_at = {row.id: self._noted_at[row.id] for row in rows if row.id in self._noted_at}
        jobs = []
        for name, backend in self._core.backends.items():
            mine = [row for row in rows if row.cluster == name]
            if mine or present[name]:
                jobs.append(partial(self._cluster, backend, mine, present[name], quarantine_rows[name]))
        try:
            isolated_jobs.each(jobs)
        finally:
            self._core.signals.notify(*(f"work:{experiment}" for experiment in self._notified))
            self._notified.clear()

    def _cluster(
        self,
        backend: Backend,
        rows: Sequence[ExperimentRow],
        present: Sequence[PolledWorker],
        quarantine_rows: Sequence[QuarantineRow],
    ) -> None:
        capacity = backend.capacity()
        ids = {row.id for row in rows}
        plans, failures = self._plans(backend, rows)
        # Workers of an experiment that cannot be planned are left as they are. Their GPUs count as allocated; cores and
        # memory do not, since the requests are unknown.
        rows = [row for row in rows if row.id in plans]
        unplanned = [worker for worker in present if worker.experiment in ids - plans.keys()]
        present = [worker for worker in present if worker.experiment not in ids - plans.keys()]
        sizes = {experiment: plan.size for experiment, plan in plans.items()}
        needs = {experiment: plan.size(0) for experiment, plan in plans.items()}
        excluded = {experiment: plan.excluded for experiment, plan in plans.items()}
        needed_groups = {experiment: plan.groups for experiment, plan in plans.items()}
        quarantined: dict[str, frozenset[str]] = {}
        for row in rows if quarantine_rows else ():
            largest = sizes[row.id](max((group.memory for group in needed_groups[row.id]), default=0))
            machines = _usable_machines(capacity, row, largest, excluded[row.id])
            quarantined[row.id] = quarantined_nodes.excluded(
                quarantine_rows, quarantined_nodes.principal(row), machines
            )
            excluded[row.id] |= quarantined[row.id]
        on_quarantined_nodes = [worker for worker in present if worker.node in quarantined.get(worker.experiment, ())]
        for worker in on_quarantined_nodes:
            self._drain(worker)
        present = [worker for worker in present if worker not in on_quarantined_nodes or worker.state not in _USABLE]
        present, notified = self._warm_pool.hand_over(backend, rows, present)
        self._notified.update(notified)
        by_experiment: dict[str, list[PolledWorker]] = {}
        for worker in present:
            if worker.state != WorkerState.LOST:
                by_experiment.setdefault(worker.experiment, []).append(worker)
        without_queue = without_queued(backend, rows, by_experiment)
        admitted_slots = {
            group.key: admitted(without_queue.get(row.id, ()), group.memory)
            for row in rows if in_queue(backend, row) for group in needed_groups[row.id]
        }  # fmt: skip
        unscheduled = frozenset(
            row.id for row in rows if trial_resources.runs_unscheduled(self._core, backend.name, row.specification)
        )
        demands = [
            _demand(row, group, excluded[row.id])
            for row in rows if row.id not in unscheduled for group in needed_groups[row.id]
        ]  # fmt: skip
        granted = share_out(capacity, demands, admitted_slots)
        granted |= {group.key: group.slots for experiment in unscheduled for group in needed_groups[experiment]}
        holding = [row for row in rows if row.running or any(granted[group.key] for group in needed_groups[row.id])]
        free_gpus = GpuSet(capacity.gpus)
        for worker in [*present, *unplanned]:
            held = needs.get(worker.experiment, Resources()).gpu or 1.0  # finished experiment: the whole GPU
            free_gpus.hold(dict.fromkeys(worker.assigned_gpus, min(held, 1.0)))
        possible_machines = {row.id: _usable_machines(capacity, row, needs[row.id], excluded[row.id]) for row in rows}
        scheduled_sizes = {experiment: size for experiment, size in sizes.items() if experiment not in unscheduled}
        unallocated = self._available_slots(backend, capacity, scheduled_sizes, without_queue, possible_machines)
        starts = _starts(granted, needed_groups, by_experiment)
        cluster = _Cluster(
            backend, capacity, excluded, quarantined, granted, holding,
            Holdings(rows, scheduled_sizes, {row.id: without_queue.get(row.id, ()) for row in rows}),
            unallocated, starts, free_gpus, unscheduled,
        )  # fmt: skip
        jobs = [
            partial(self._experiment, cluster, row, needed_groups[row.id], by_experiment.get(row.id, []))
            for row in rows
        ]
        over = by_experiment.keys() - ids
        isolated_jobs.each(
            [*jobs, *(partial(self._release, backend, by_experiment[experiment], rows) for experiment in over)]
        )
        if failures:
            raise failures[0]

    def _plans(
        self, backend: Backend, rows: Sequence[ExperimentRow]
    ) -> tuple[dict[str, _ExperimentPlan], list[Exception]]:
        """Return the plan of each experiment, and the errors of those that cannot be planned.

        Raises TemporaryError if the cluster or the store is unreachable, which is not the fault of an experiment.
        """
        plans: dict[str, _ExperimentPlan] = {}
        failures: list[Exception] = []
        for row in rows:
            error = failure_of(partial(self._plan, backend, row, plans), passing=TemporaryError)
            if error is not None:
                failures.append(error)
                if row.id not in self._unplanned:
                    log.warning("%s gets no workers: %s: %s", row.handle, type(error).__name__, error)
                self._unplanned.add(row.id)
        return plans, failures

    def _plan(self, backend: Backend, row: ExperimentRow, plans: dict[str, _ExperimentPlan]) -> None:
        """Add the plan of an experiment to `plans`."""
        size = cache(partial(trial_resources.allocated, backend, row))
        excluded = backend.infeasible_nodes(size(0), row.specification.placement)
        with self._core.store.reading() as session:
            plans[row.id] = _ExperimentPlan(size, excluded, request_groups(session, row, size, needed_slots(row)))

    def _release(self, backend: Backend, present: Sequence[PolledWorker], rows: Sequence[ExperimentRow]) -> None:
        """Drain the workers of a finished experiment, except those kept warm for another one."""
        for worker in present:
            if not self._warm_pool.keeps(backend, worker, rows):
                self._drain(worker)

    def _available_slots(
        self,
        backend: Backend,
        capacity: Capacity,
        sizes: Mapping[str, Callable[[int], Resources]],
        by_experiment: Mapping[str, Sequence[PolledWorker]],
        may_be_on: Mapping[str, Sequence[str]],
    ) -> AvailableSlots:
        """Return the unallocated resources. Trials still running on draining or shrunk workers count as allocated."""
        unallocated = AvailableSlots(capacity)
        limited = {experiment: size for experiment, size in sizes.items() if size(0).cpu or size(0).memory}
        if limited:
            with self._core.store.reading() as session:
                busy = workers.live_attempts(session, backend.name)
            for experiment, size in limited.items():
                for worker in by_experiment.get(experiment, ()):
                    slots = worker.slots if worker.state in _USABLE else 0
                    per_trial = size(worker.memory)
                    request = replace(per_trial, gpu=0) if backend.assigns_gpus else per_trial
                    unallocated.take(request, max(slots, busy.get(worker.id, 0)), worker.node, may_be_on[experiment])
        return unallocated

    def _experiment(
        self, cluster: _Cluster, row: ExperimentRow, needed: Sequence[RequestGroup], present: Sequence[PolledWorker]
    ) -> None:
        reason, has_blocked_group, remaining = None, False, needed_slots(row)
        for group in needed:
            capacity = cluster.capacity.without(cluster.quarantined.get(row.id, frozenset()))
            target = ScalingTarget(cluster.backend, capacity, row, group, cluster.excluded[row.id])
            mine = [worker for worker in present if worker.memory == group.memory]
            granted = min(cluster.granted[group.key], remaining)
            slots = self._slots(cluster, target, mine, granted)
            lack = partial(lack_of, available=cluster.available, free_gpus=cluster.free_gpus, holdings=cluster.holdings)
            needed_now = min(group.slots, remaining)
            has_blocked_group = has_blocked_group or (slots == 0 and needed_now > 0)
            reason = reason or pending_reason(target, needed_now, slots, mine, cluster.holding, lack)
            self._scale(cluster, target, [worker for worker in mine if worker.state in _USABLE], min(granted, slots))
            remaining -= granted
        self._note_reason(row, reason, at_once=has_blocked_group)
        for worker in present:
            if worker.memory not in {group.memory for group in needed}:
                self._drain(worker)  # no trial of its memory size is left

    @staticmethod
    def _slots(cluster: _Cluster, target: ScalingTarget, mine: Sequence[PolledWorker], slots: int) -> int:
        """Return how many slots a group has or can get now; allocate the missing ones."""
        if target.row.id in cluster.unscheduled:
            return slots
        have = sum(worker.slots for worker in mine if worker.state in _USABLE)
        per_trial, missing = target.group.per_trial, max(slots - have, 0)
        requests_nothing = not (per_trial.cpu or per_trial.memory or per_trial.gpu)
        if per_trial.gpu and target.backend.assigns_gpus:
            missing = min(missing, cluster.free_gpus.fit(per_trial.gpu_request))
            per_trial = replace(per_trial, gpu=0)
        waits = in_queue(target.backend, target.row)
        if not waits:
            missing = cluster.available.fit(per_trial, missing, target.machines)
        is_unbounded = waits or cluster.capacity.elastic
        if is_unbounded or target.backend.slots_per_worker is not None:
            starting = sum(worker.state == WorkerState.STARTING for worker in mine)
            most = MAX_PENDING_WORKERS if is_unbounded or requests_nothing else MAX_STARTING_WORKERS
            missing = min(missing, max(most - starting, 0))
        if not waits:
            cluster.available.take(per_trial, missing, among=target.machines)
        return have + missing

    def _scale(self, cluster: _Cluster, target: ScalingTarget, present: Sequence[PolledWorker], slots: int) -> None:
        """Scale the workers of a group to `slots`."""
        # Without `backend_handle` it is unknown if the backend has started the worker; starting is idempotent.
        absent = [
            worker for worker in present if worker.state == WorkerState.STARTING and worker.backend_handle is None
        ]
        all_started = all(
            self._starting.start_existing(target, worker.id, worker.slots, worker.assigned_gpus) for worker in absent
        )
        have = sum(worker.slots for worker in present)
        if have > slots:
            self._shrink(target, present, have - slots)
        elif have < slots and all_started and not self._backoff.too_early(target.row):
            self._grow(cluster, target, present, slots - have)

    def _shrink(self, target: ScalingTarget, present: Sequence[PolledWorker], excess: int) -> None:
        """Release `excess` slots: drain the least busy workers first, then those on nodes that accept no new trials.

        Among workers that share GPUs, those with the fewest neighbours come first, since their GPU becomes a whole one
        again. Ties go to the newest worker.
        """
        with self._core.store.reading() as session:
            busy = workers.live_attempts(session, target.backend.name)
        uses = Counter(gpu for worker in present for gpu in worker.assigned_gpus)
        neighbours = {worker.id: max((uses[gpu] for gpu in worker.assigned_gpus), default=0) for worker in present}
        unschedulable, newest_first = target.capacity.unschedulable, present[::-1]
        rank = lambda worker: (busy.get(worker.id, 0), worker.node not in unschedulable, neighbours[worker.id])
        for worker in sorted(newest_first, key=rank):
            if excess <= 0:
                return
            if worker.slots <= excess:
                self._drain(worker)
                excess -= worker.slots
            elif not target.row.specification.resources.gpu:
                self._resize(worker, worker.slots - excess)
                return

    def _grow(self, cluster: _Cluster, target: ScalingTarget, present: Sequence[PolledWorker], missing: int) -> None:
        backend, per_trial = target.backend, target.group.per_trial
        if target.row.id in cluster.unscheduled:
            self._starting.start(target, missing, _gpus_at_once(cluster, target.request))
            return
        if per_trial.gpu and backend.assigns_gpus:
            for _ in range(missing):
                chosen = cluster.free_gpus.take(per_trial.gpu_request)
                if not chosen or not self._starting.start(target, 1, chosen):
                    return
            return
        if backend.slots_per_worker is not None:
            for _ in range(min(-(-missing // backend.slots_per_worker), cluster.starts)):
                if not self._starting.start(target, backend.slots_per_worker):
                    return
            return
        cores = int(sum(machine.cpu for machine in target.capacity.machines))
        have = sum(worker.slots for worker in present)
        new_workers = workers_for(cores, have + missing) - len(present)
        if new_workers <= 0:
            self._resize(present[-1], present[-1].slots + missing)
            return
        for slots in spread(missing, new_workers):
            if not self._starting.start(target, slots):
                return

    def _drain(self, worker: PolledWorker) -> None:
        if worker.state == WorkerState.DRAINING:
            return
        with self._core.store.transaction() as session:
            workers.drain(session, worker.id)
        self._notified.add(worker.experiment)

    def _resize(self, worker: PolledWorker, slots: int) -> None:
        with self._core.store.transaction() as session:
            workers.change(session, worker.id, slots=slots)
        self._notified.add(worker.experiment)

    def _note_reason(self, row: ExperimentRow, reason: Reason | None, *, at_once: bool) -> None:
        if reason == row.waiting:
            return
        if reason is not None and row.live_attempts and not at_once:
            # While trials run, the amounts in the text change with each start and end: each would cost a row.
            now = self._core.clock.monotonic()
            if now < self._noted_at.get(row.id, -math.inf) + _REASON_SECONDS:
                return
            self._noted_at[row.id] = now
        with locked(self._core, row.id) as ledger:
            ledger.row.waiting = reason


def _gpus_at_once(cluster: _Cluster, per_trial: Resources) -> tuple[str, ...]:
    """Return free GPUs for a trial that does not wait, else suitable ones that others use; empty if there are none."""
    if not per_trial.gpu:
        return ()
    return cluster.free_gpus.take(per_trial.gpu_request) or GpuSet(cluster.capacity.gpus).take(per_trial.gpu_request)


def _starts(
    granted: Mapping[str, int],
    needed: Mapping[str, Sequence[RequestGroup]],
    present: Mapping[str, Sequence[PolledWorker]],
) -> int:
    """Return how many workers each group may start in this tick: the same number for all experiments that lack some."""
    lacking = 0
    for experiment, its_groups in needed.items():
        have = sum(worker.slots for worker in present.get(experiment, ()) if worker.state in _USABLE)
        lacking += sum(granted[group.key] for group in its_groups) > have
    return max(min(_STARTS_PER_TICK // max(lacking, 1), _STARTS_OF_ONE), 1)


def _usable_machines(
    capacity: Capacity, row: ExperimentRow, per_trial: Resources, excluded: frozenset[str]
) -> list[str]:
    return [machine.name for machine in usable(capacity, per_trial, row.specification.placement.pool, excluded)]


def _demand(row: ExperimentRow, group: RequestGroup, excluded: frozenset[str]) -> Demand:
    # Without a principal the owner is a name that the client claims: it must not use up that user's share.
    owner = f"{row.principal or 'claimed'} {row.owner}"
    return Demand(group.key, group.slots, group.per_trial, owner, row.specification.placement.pool, excluded)


def needed_slots(row: ExperimentRow) -> int:
    """Return how many attempts of the experiment could run now."""
    if row.can_start_trials:
        return min(row.parallelism, unfinished_attempts(row))
    # A paused experiment keeps the workers of its running trials, one that has ended (`ended_by`: the rule) does not.
    return row.live_attempts if row.desired is Desired.PAUSED and row.ended_by is None else 0


def workers_for(cores: int, slots: int) -> int:
    """Return how many workers share a machine: one per core, so that a crash of one ends few trials.

    Many slots per core are used for trials that are short or mostly wait. Fewer workers serve these: one call that
    finishes and leases many trials costs much less per trial (with 16 slots on two cores, a sixth of the time).
    """
    return max(cores // CORES_SERVED if slots > MAX_SLOTS_PER_CORE * cores else cores, 1)


def spread(slots: int, processes: int) -> list[int]:
    """Return the slots of each process: `slots` spread evenly over at most `processes`."""
    count = max(min(slots, processes), 1)
    return [slots // count + (index < slots % count) for index in range(count)]
