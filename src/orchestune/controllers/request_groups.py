"""Request groups: trials of one experiment with the same request, the file's or more memory after an OOM kill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from orchestune.domain.lifecycle.states import Desired
from orchestune.domain.resources.more_memory import next_memory
from orchestune.domain.resources.resources import Capacity, Resources
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session
from orchestune.store.statements.trials import WITH_MORE_MEMORY


@dataclass(frozen=True)
class RequestGroup:
    """A group of trials that can share workers."""

    experiment: str
    memory: int
    """bytes per trial; 0: the request in the file"""
    per_trial: Resources
    """resources allocated per trial"""
    slots: int
    """trials that could run now if nothing else of the experiment ran"""

    @property
    def key(self) -> str:
        """An identifier that is unique over all experiments."""
        return f"{self.experiment}+{self.memory}"


def request_groups(
    session: Session, row: ExperimentRow, allocated: Callable[[int], Resources], slots_needed: int
) -> list[RequestGroup]:
    """Return the request groups of an experiment that could use `slots_needed` slots in total.

    Trials with more memory come first, those with the file's request last. A group may count slots that the groups
    before it get. `allocated` maps the bytes of a trial to the resources allocated for it.
    """
    groups: list[RequestGroup] = []
    others = unfinished_attempts(row)
    if row.specification.oom_retries:
        for tasks in session.rows(WITH_MORE_MEMORY, {"experiment": row.id}):
            slots = min(tasks.open if row.desired is Desired.RUNNING else tasks.active, slots_needed)
            groups.append(RequestGroup(row.id, tasks.memory, allocated(tasks.memory), slots))
            others -= tasks.open
    return [
        *groups,
        RequestGroup(row.id, 0, allocated(0), min(slots_needed, max(others, 0)) if groups else slots_needed),
    ]


def unfinished_attempts(row: ExperimentRow) -> int:
    """Return the number of attempts that run or are still to run within the budget."""
    return row.unsuggested * row.specification.folds.count + row.pending_folds + row.live_attempts


def memory_after(
    capacity: Capacity,
    row: ExperimentRow,
    requested: Resources,
    allocated: Resources,
    excluded: frozenset[str] = frozenset(),
) -> int | None:
    """Return the bytes for retrying a trial that ran out of `requested`, as `next_memory`; None also without retries.

    `allocated`: the resources it used on its node; `excluded`: nodes that its trials cannot use.
    """
    specification = row.specification
    if not specification.oom_retries:
        return None
    beside, each = (allocated.memory or 0) - (requested.memory or 0), replace(allocated, memory=requested.memory)
    return next_memory(
        capacity, each, specification.memory_factor, specification.placement.pool, excluded, max(beside, 0)
    )
