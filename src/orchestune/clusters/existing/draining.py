"""Draining of node pools before removal: cordon the nodes, then evict their pods."""

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
_POLL = 1.0
_SECONDS = 900.0


def drain(
    api: ContextClient,
    label: str,
    pool: str,
    beat: Callable[[], None] = lambda: None,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Cordon a pool's nodes, evict their pods, and return once only DaemonSet and static pods are left.

    Evictions respect disruption budgets. Workers are evicted first: while the server still runs, their trials publish
    checkpoints and are requeued. Idempotent. Raises TemporaryError naming the remaining pods after `_SECONDS`. Calls
    `beat` on each poll.
    """
    until = clock() + _SECONDS
    while True:
        nodes = list(api.items("v1", "Node", None, f"{label}={pool}"))
        for node in nodes:
            if not node["spec"].get("unschedulable"):
                _close(api, node, closed=True)
        names = {node["metadata"]["name"] for node in nodes}
        left = [pod for pod in _pods(api) if pod["spec"].get("nodeName") in names and _moves(pod)]
        if not left:
            return
        workers = [pod for pod in left if _is_worker(pod)]
        why = [text for pod in workers or left if (text := _evict(api, pod))]
        if clock() > until:
            shown = ", ".join(sorted(f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in left)[:5])
            raise TemporaryError(
                f"the pool '{pool}' does not get empty: {shown}{': ' + why[0] if why else ''}",
                "end these pods, or their disruption budget, and repeat the command",
            )
        beat()
        sleep(_POLL)


def reopen(api: ContextClient, label: str, pools: Container[str]) -> list[str]:
    """Uncordon nodes of remaining `pools` that an interrupted drain has cordoned; return their names."""
    found = []
    for node in api.items("v1", "Node"):
        metadata = node["metadata"]
        ours = (metadata.get("annotations") or {}).get(_DRAINING)
        if ours and (metadata.get("labels") or {}).get(label) in pools:
            _close(api, node, closed=False)
            found.append(str(metadata["name"]))
    return found


def _close(api: ContextClient, node: Manifest, *, closed: bool) -> None:
    """Cordon or uncordon a node; the annotation marks nodes cordoned here, not by an administrator."""
    value = {"metadata": {"annotations": {_DRAINING: "yes" if closed else None}}}
    with suppress(NotFound):
        place = f"/api/v1/nodes/{node['metadata']['name']}"
        api.call("PATCH", place, {**value, "spec": {"unschedulable": closed or None}}, _MERGE)


def _pods(api: ContextClient) -> Iterable[Manifest]:
    return api.items("v1", "Pod")


def _moves(pod: Manifest) -> bool:
    """Return True if the pod must be evicted before its node can go."""
    owners = pod["metadata"].get("ownerReferences") or ()
    over = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return not over and not any(owner.get("kind") in ("DaemonSet", "Node") for owner in owners)


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
