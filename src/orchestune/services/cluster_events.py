"""What happened lately in a cluster: workers that came and went, and machines that were put into quarantine."""

from __future__ import annotations

from typing import Any

from orchestune.ports.clock import rfc3339
from orchestune.store import quarantines, workers
from orchestune.store.session import Session

Document = dict[str, Any]
_MOST = 50


def recent(session: Session, cluster: str) -> list[Document]:
    """The newest first."""
    found = []
    for row in workers.lately(session, cluster, _MOST):
        name = f"{row.experiment_handle or '?'} {row.name}"
        found.append(_event(row.created_at, "worker_started", row.node, name, ""))
        if row.ended_at is not None:
            found.append(_event(row.ended_at, f"worker_{row.state}", row.node, name, row.reason or ""))
    for row in quarantines.lately(session, cluster, _MOST):
        found.append(_event(row.at, "quarantined", row.node, "", row.reason))
    found.sort(key=lambda event: str(event["at"]), reverse=True)
    return found[:_MOST]


def _event(at: float, kind: str, node: str, worker: str, message: str) -> Document:
    return {"at": rfc3339(at), "kind": kind, "node": node, "worker": worker, "message": message}
