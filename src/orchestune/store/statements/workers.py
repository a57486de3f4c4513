"""Statements about workers: their calls, and what controllers poll."""

from __future__ import annotations

import json

from msgspec import Struct

from orchestune.store.rows import Query


class CallingWorker(Struct, frozen=True, gc=False):
    """The columns of a worker that its calls need."""

    experiment: str
    name: str
    state: str
    node: str
    slots: int
    boot_id: str | None
    last_call: int
    gpus: str | None
    memory: int
    next_experiment: str | None
    sends_files: bool
    protocol: int | None

    @property
    def assigned_gpus(self) -> tuple[str, ...]:
        """Ids of the GPUs that the server assigned to it."""
        return _gpus(self.gpus)


SELECT_WORKER = Query(
    CallingWorker,
    """
SELECT experiment, name, state, node, slots, boot_id, last_call, gpus, memory, next_experiment, sends_files, protocol
FROM workers WHERE id = :id
""",
)
BEAT_WORKER = """
UPDATE workers SET last_call = :last_call, boot_id = :boot_id, seen_at = :now, succeeded = succeeded + :succeeded,
failed = failed + :failed WHERE id = :id
"""


class PolledWorker(Struct, frozen=True, gc=False):
    """The columns that controllers poll, of a worker that has not ended."""

    id: str
    experiment: str
    name: str
    state: str
    reason: str | None
    node: str
    slots: int
    gpus: str | None
    backend_handle: str | None
    boot_id: str | None
    last_call: int
    memory: int
    """bytes per slot, for trials that need more than the specification requests; 0: as requested there"""
    next_experiment: str | None
    """while it drains: the experiment with which it continues afterwards"""
    sends_files: bool
    """True while files of its trials are being uploaded"""
    phase: str | None
    """while it starts: the last phase that the backend reported, None before the first report"""

    @property
    def assigned_gpus(self) -> tuple[str, ...]:
        """Ids of the GPUs that the server assigned to it."""
        return _gpus(self.gpus)


def _gpus(gpus: str | None) -> tuple[str, ...]:
    return tuple(json.loads(gpus)) if gpus else ()


PRESENT_WORKERS = Query(
    PolledWorker,
    """
SELECT id, experiment, name, state, reason, node, slots, gpus, backend_handle, boot_id, last_call, memory,
next_experiment, sends_files, phase FROM workers
WHERE cluster = :cluster AND state IN ('starting', 'alive', 'draining', 'lost') ORDER BY created_at
""",
)
STAFFED = Query(
    str,
    "SELECT DISTINCT experiment FROM workers WHERE state IN ('starting', 'alive', 'draining', 'lost')",
)
PRESENT_SLOTS = Query(
    int,
    """
SELECT COALESCE(SUM(slots), 0) FROM workers WHERE experiment = :experiment
AND state IN ('starting', 'alive', 'draining')
""",
)
