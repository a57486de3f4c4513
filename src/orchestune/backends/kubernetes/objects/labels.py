"""Labels of a worker's objects, in addition to those of all Orchestune objects."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from orchestune.kubeapi.labels import OWN_LABELS, WORKERS, are_in

EXPERIMENT = "orchestune.dev/experiment"
HANDLE = "orchestune.dev/handle"
WORKER = "orchestune.dev/worker"
SERVER = "orchestune.dev/server"
"""the server that owns the worker: servers may share a cluster, and even a namespace"""
OWNER = "orchestune.dev/owner"
"""an annotation, as user names may contain characters that a label may not"""


def belongs(labels: Mapping[str, str], url: str) -> bool:
    """Return True if the object is ours and owned by the server at `url`, or names no server."""
    return are_in(OWN_LABELS, labels) and labels.get(SERVER) in (None, _mark(url))


def of_worker(experiment: str, handle: str, worker: str, url: str) -> dict[str, str]:
    """Return the labels of a worker's Job, pod and Secret; `url` is the address of its server."""
    named = {EXPERIMENT: experiment, HANDLE: handle, WORKER: worker, SERVER: _mark(url)}
    return {**WORKERS, **{key: value for key, value in named.items() if value}}


def _mark(url: str) -> str:
    """Return a stable label value: a reinstalled server at the same URL adopts the objects of the old one."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]
