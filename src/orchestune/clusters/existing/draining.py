"""Draining of node pools before removal: cordon the nodes, then evict their pods.

Cordoned nodes carry an annotation, so that `reopen` can undo an interrupted drain without touching nodes that an
administrator has cordoned. The autoscaler may add nodes during a drain, so every poll lists the nodes again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable
from contextlib import suppress
from typing import Any

from orchestune.clusters.existing.client import ContextClient
from orchestune.errors import NotFound, OrchestuneError, TemporaryError
from orchestune.kubeapi.labels import WORKERS, are_in

Manifest = dict[str, Any]
_MERGE = "application/merge-patch+json"
_DRAINING = "orchestune.dev/draining"
"""annotation of nodes that this module cordoned"""
_POLL_SECONDS = 1.0
_DRAIN_TIMEOUT = 900.0


def drain(
    api: ContextClient,
    label: str,
    pool: str,
    heartbeat: Callable[[], None] = lambda: None,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Cordon a pool's nodes, evict their pods, and return once only DaemonSet and static pods are left.

    Evictions respect disruption budgets. Workers are evicted first: while the server still runs, their trials publish
    checkpoints and are requeued. Idempotent. Raises TemporaryError naming the remaining pods after `_DRAIN_TIMEOUT`.
    Calls `heartbeat` on each poll: the caller holds a lock meanwhile.
    """
    deadline = clock() + _DRAIN_TIMEOUT
    while True:
        nodes = list(api.items("v1", "Node", None, f"{label}={pool}"))
        for node in nodes:
            if not node["spec"].get("unschedulable"):
                _set_cordoned(api, node, cordoned=True)
        node_names = {node["metadata"]["name"] for node in nodes}
        remaining = [pod for pod in _pods(api) if pod["spec"].get("nodeName") in node_names and _must_be_evicted(pod)]
        if not remaining:
            return
        workers = [pod for pod in remaining if _is_worker(pod)]
        reasons = [text for pod in workers or remaining if (text := _evict(api, pod))]
        if clock() > deadline:
            names = sorted(f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in remaining)[:5]
            raise TemporaryError(
                f"cannot drain the pool '{pool}': {', '.join(names)}{': ' + reasons[0] if reasons else ''}",
                "delete these pods, or relax their disruption budget, then repeat the command",
            )
        heartbeat()
        sleep(_POLL_SECONDS)


def reopen(api: ContextClient, label: str, pools: Container[str]) -> list[str]:
    """Uncordon nodes of remaining `pools` that an interrupted drain has cordoned; return their names."""
    names = []
    for node in api.items("v1", "Node"):
        metadata = node["metadata"]
        is_drained = (metadata.get("annotations") or {}).get(_DRAINING)
        if is_drained and (metadata.get("labels") or {}).get(label) in pools:
            _set_cordoned(api, node, cordoned=False)
            names.append(str(metadata["name"]))
    return names


def _set_cordoned(api: ContextClient, node: Manifest, *, cordoned: bool) -> None:
    """Cordon or uncordon a node; the annotation marks nodes cordoned here, not by an administrator."""
    patch = {"metadata": {"annotations": {_DRAINING: "yes" if cordoned else None}}}
    with suppress(NotFound):
        place = f"/api/v1/nodes/{node['metadata']['name']}"
        api.call("PATCH", place, {**patch, "spec": {"unschedulable": cordoned or None}}, _MERGE)


def _pods(api: ContextClient) -> Iterable[Manifest]:
    return api.items("v1", "Pod")


def _must_be_evicted(pod: Manifest) -> bool:
    """Return True if the pod must be evicted before its node is deleted."""
    owners = pod["metadata"].get("ownerReferences") or ()
    has_finished = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return not has_finished and not any(owner.get("kind") in ("DaemonSet", "Node") for owner in owners)


def _is_worker(pod: Manifest) -> bool:
    return are_in(WORKERS, pod["metadata"].get("labels"))


def _evict(api: ContextClient, pod: Manifest) -> str:
    """Request eviction; return why it is refused for now, or an empty string."""
    metadata = pod["metadata"]
    if metadata.get("deletionTimestamp"):
        return ""
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
    }
    place = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/eviction"
    try:
        api.call("POST", place, body)
    except NotFound:
        return ""
    except OrchestuneError as exc:  # 429: blocked by a disruption budget
        if isinstance(exc, TemporaryError):
            return exc.message
        raise
    return ""
