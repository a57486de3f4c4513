"""Recent events of a cluster: workers started and ended, nodes quarantined."""

from __future__ import annotations

from orchestune import documents
from orchestune.ports.clock import rfc3339
from orchestune.store import quarantines, workers
from orchestune.store.session import Session

_MAX_EVENTS = 50


def recent(session: Session, cluster: str) -> list[documents.ClusterEvent]:
    """Return the most recent events, newest first."""
    events = []
    for worker in workers.recent(session, cluster, _MAX_EVENTS):
        name = f"{worker.experiment_handle or '?'} {worker.name}"
        events.append(_event(worker.created_at, "worker_started", worker.node, name, ""))
        if worker.ended_at is not None:
            events.append(_event(worker.ended_at, f"worker_{worker.state}", worker.node, name, worker.reason or ""))
    for row in quarantines.recent(session, cluster, _MAX_EVENTS):
        events.append(_event(row.at, "quarantined", row.node, "", row.reason))
    events.sort(key=lambda event: str(event["at"]), reverse=True)
    return events[:_MAX_EVENTS]


def _event(at: float, kind: str, node: str, worker: str, message: str) -> documents.ClusterEvent:
    return {"at": rfc3339(at), "kind": kind, "node": node, "worker": worker, "message": message}
