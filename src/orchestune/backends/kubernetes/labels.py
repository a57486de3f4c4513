"""By which labels our objects are found again."""

from __future__ import annotations

from collections.abc import Mapping

OURS = {"app.kubernetes.io/part-of": "orchestune", "app.kubernetes.io/managed-by": "orchestune"}
COMPONENT = "app.kubernetes.io/component"
EXPERIMENT = "orchestune.dev/experiment"
HANDLE = "orchestune.dev/handle"
WORKER = "orchestune.dev/worker"
OWNER = "orchestune.dev/owner"
"""an annotation: names of people may hold what a label may not"""
WORKERS = ",".join(f"{key}={value}" for key, value in {**OURS, COMPONENT: "worker"}.items())
"""selector of everything that belongs to a worker"""


def is_ours(labels: Mapping[str, str]) -> bool:
    """Whether an object with such labels was made by us."""
    return all(labels.get(key) == value for key, value in OURS.items())


def of_worker(experiment: str, handle: str, worker: str) -> dict[str, str]:
    """The labels of a worker's Job, pod and Secret."""
    named = {EXPERIMENT: experiment, HANDLE: handle, WORKER: worker}
    return {**OURS, COMPONENT: "worker", **{key: value for key, value in named.items() if value}}
