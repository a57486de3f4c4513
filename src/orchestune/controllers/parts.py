"""The parts of an experiment whose trials take the same: what its file says, or more memory after that ran out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from orchestune.domain.more_memory import next_memory
from orchestune.domain.resources import Capacity, Resources
from orchestune.domain.states import Desired
from orchestune.store import hot
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session


@dataclass(frozen=True)
class Part:
    """Trials that can share workers."""

    experiment: str
    memory: int
    """bytes that each gets; 0: what the file says"""
    each: Resources
    """what is set aside for each"""
    slots: int
    """how many of them could run now, where nothing else of the experiment does"""

    @property
    def key(self) -> str:
        """Tells it from every other part of every experiment."""
        return f"{self.experiment}+{self.memory}"


def parts(session: Session, row: ExperimentRow, room: Callable[[int], Resources], wanted: int) -> list[Part]:
    """The parts of an experiment that could use so many slots in all: trials that wait for more memory first, those of
    the file's size last. A part may count slots that the parts before it get. `room` tells what is set aside for a
    trial that gets so many bytes.
    """
    found: list[Part] = []
    others = unfinished(row)
    if row.specification.oom_retries:
        for tasks in session.rows(hot.WITH_MORE_MEMORY, {"experiment": row.id}):
            slots = min(tasks.open if row.desired is Desired.RUNNING else tasks.active, wanted)
            found.append(Part(row.id, tasks.memory, room(tasks.memory), slots))
            others -= tasks.open
    return [*found, Part(row.id, 0, room(0), min(wanted, max(others, 0)) if found else wanted)]


def unfinished(row: ExperimentRow) -> int:
    """Attempts that are to come or run, as far as its budget goes."""
    return row.unsuggested * row.specification.folds.count + row.pending_folds + row.live_attempts


def memory_after(
    capacity: Capacity, row: ExperimentRow, asked: Resources, taken: Resources, closed: frozenset[str] = frozenset()
) -> int | None:
    """What a trial gets to which so much was not enough; see `next_memory`. `taken`: what it took of its machine;
    `closed`: machines that do not take it.
    """
    wanted = row.specification
    if not wanted.oom_retries:
        return None
    beside, each = (taken.memory or 0) - (asked.memory or 0), replace(taken, memory=asked.memory)
    return next_memory(capacity, each, wanted.memory_factor, wanted.placement.pool, closed, max(beside, 0))
