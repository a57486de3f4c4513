"""The labels of a worker's objects beside those of all that is ours."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from orchestune.kubeapi.labels import OURS, WORKERS, are_in

EXPERIMENT = "orchestune.dev/experiment"
HANDLE = "orchestune.dev/handle"
WORKER = "orchestune.dev/worker"
SERVER = "orchestune.dev/server"
"""whose worker it is: servers may share a cluster, and even a namespace"""
OWNER = "orchestune.dev/owner"
"""an annotation: names of people may hold what a label may not"""


def belongs(labels: Mapping[str, str], url: str) -> bool:
    """Whether it is of the server at `url`; in a namespace of its own what no server is named on is its as well."""
    return are_in(OURS, labels) and labels.get(SERVER) in (None, _mark(url))


def of_worker(experiment: str, handle: str, worker: str, url: str) -> dict[str, str]:
    """The labels of a worker's Job, pod and Secret; `url` is where it finds its server."""
    named = {EXPERIMENT: experiment, HANDLE: handle, WORKER: worker, SERVER: _mark(url)}
    return {**WORKERS, **{key: value for key, value in named.items() if value}}


def _mark(url: str) -> str:
    """A server that is set up anew at its old place goes on with what the one before it has left."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]
