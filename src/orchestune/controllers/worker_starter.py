"""Starts workers: first the row, then the backend. An interruption in between is resumed by the next tick."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass

from orchestune.controllers.request_groups import RequestGroup, memory_after
from orchestune.domain.lifecycle.states import Reason, ReasonCode, WorkerState
from orchestune.domain.lifecycle.transitions import Cause
from orchestune.domain.resources.allocation import usable
from orchestune.domain.resources.more_memory import sized
from orchestune.domain.resources.resources import Capacity, Resources
from orchestune.errors import OrchestuneError, TemporaryError
from orchestune.ports.backend import Backend, WorkerOrder
from orchestune.ports.clock import new_id
from orchestune.services.core import Core
from orchestune.services.execution.locked_experiment import locked
from orchestune.services.memory.lru_cache import Recent
from orchestune.services.signatures import worker_token
from orchestune.store import workers
from orchestune.store.experiments import ExperimentRow

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScalingTarget:
    """A request group of an experiment and its cluster, as seen by one tick."""

    backend: Backend
    capacity: Capacity
    row: ExperimentRow
    group: RequestGroup
    excluded: frozenset[str] = frozenset()
    """nodes that its trials cannot use"""

    @property
    def pool(self) -> str | None:
        """The node pool named in the experiment's file."""
        return self.row.specification.placement.pool

    @property
    def request(self) -> Resources:
        """The resources that each trial requests, without what the cluster adds (`RequestGroup.per_trial` has it)."""
        return sized(self.backend.needs(self.row.specification.resources, self.row.launch), self.group.memory)

    @property
    def machines(self) -> tuple[str, ...]:
        """Names of the nodes that can run such trials."""
        return tuple(machine.name for machine in usable(self.capacity, self.group.per_trial, self.pool, self.excluded))


class WorkerStarter:
    """Starts single workers for `WorkerScaling`, which decides how many."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._logged: Recent[None] = Recent(kept=500)
        """start failures already logged: each is logged once, not every second"""

    def start(self, target: ScalingTarget, slots: int, gpus: tuple[str, ...] = ()) -> bool:
        """Start a worker unless the experiment was ended or paused. Returns True if another one may be started."""
        row, group, worker = target.row, target.group, new_id(self._core.clock)
        request = target.request
        allocated = target.backend.total_request(request, row.specification.placement)
        with locked(self._core, row.id) as ledger:
            if not ledger.row.can_start_trials:
                return False
            ledger.row.worker_seq += 1
            values = {
                "id": worker,
                "experiment": row.id,
                "cluster": row.cluster,
                "name": f"w{ledger.row.worker_seq}",
                "state": WorkerState.STARTING,
                "slots": slots,
                "memory": group.memory,
                "memory_next": memory_after(target.capacity, row, request, allocated, target.excluded),
                "gpus": json.dumps(gpus) if gpus else None,
                "created_at": ledger.now,
            }
            workers.add(ledger.session, values)
        return self.start_existing(target, worker, slots, gpus)

    def start_existing(self, target: ScalingTarget, worker: str, slots: int, gpus: tuple[str, ...]) -> bool:
        """Let the backend start a worker whose row exists; idempotent.

        Returns False if it could not: the obstacle (an unreachable or full cluster) concerns further workers, too.
        """
        row = target.row
        order = WorkerOrder(
            worker,
            row.id,
            worker_token(self._core, worker, row.id),
            slots,
            gpus,
            row.launch,
            target.request,
            row.specification.placement,
            row.handle,
            row.owner,
            _avoided(target),
            row.specification.grace,
        )
        try:
            backend_ref = target.backend.start(order)
        except TemporaryError as error:  # the next tick retries, since the row has no backend_ref
            text = str(error)
            self._logged.get(
                worker, text, lambda: log.warning("%s: a worker could not be started: %s", row.handle, text)
            )
            with self._core.store.transaction() as session:
                workers.change(session, worker, reason=text)
            return False
        except OrchestuneError as error:
            self._give_up(row, worker, str(error))
            return False
        with self._core.store.transaction() as session:
            workers.change(session, worker, backend_handle=json.dumps(dict(backend_ref)), reason=None)
        return True

    def _give_up(self, row: ExperimentRow, worker: str, text: str) -> None:
        with locked(self._core, row.id) as ledger:
            row_of_worker = workers.get(ledger.session, worker)
            if row_of_worker and workers.move(ledger.session, worker, Cause.END, ended_at=ledger.now, reason=text):
                ledger.record("worker_ended", {"worker": row_of_worker.name, "reason": text})
            ledger.pause(Reason(ReasonCode.WORKERS_FAIL, f"no worker can be started: {text}"))


def _avoided(target: ScalingTarget) -> frozenset[str]:
    """Return the nodes to avoid: those that accept no trials now, and GPU nodes reserved for other trials."""
    capacity, allowed = target.capacity, set(target.machines)
    reserved = {machine.name for machine in capacity.machines if machine.whole.gpu and machine.name not in allowed}
    return capacity.quarantined | reserved
