"""By which labels our objects are found again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

OURS = {"app.kubernetes.io/part-of": "orchestune", "app.kubernetes.io/managed-by": "orchestune"}
COMPONENT = "app.kubernetes.io/component"
EXPERIMENT = "orchestune.dev/experiment"
HANDLE = "orchestune.dev/handle"
WORKER = "orchestune.dev/worker"
SERVER = "orchestune.dev/server"
"""whose worker it is: servers may share a cluster, and even a namespace"""
OWNER = "orchestune.dev/owner"
"""an annotation: names of people may hold what a label may not"""
WORKERS = ",".join(f"{key}={value}" for key, value in {**OURS, COMPONENT: "worker"}.items())
"""selector of everything that belongs to a worker"""


def is_ours(labels: Mapping[str, str]) -> bool:
    """Whether an object with such labels was made by us."""
    return all(labels.get(key) == value for key, value in OURS.items())


def belongs(labels: Mapping[str, str], url: str) -> bool:
    """Whether it is of the server at `url`; in a namespace of its own what no server is named on is its as well."""
    return is_ours(labels) and labels.get(SERVER) in (None, _mark(url))


def of_worker(experiment: str, handle: str, worker: str, url: str) -> dict[str, str]:
    """The labels of a worker's Job, pod and Secret; `url` is where it finds its server."""
    named = {EXPERIMENT: experiment, HANDLE: handle, WORKER: worker, SERVER: _mark(url)}
    return {**OURS, COMPONENT: "worker", **{key: value for key, value in named.items() if value}}


def _mark(url: str) -> str:
    """A server that is set up anew at its old place goes on with what the one before it has left."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]
