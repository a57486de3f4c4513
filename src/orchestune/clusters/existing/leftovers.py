"""Cleanup of cloud resources that workloads created and that would outlive the cluster: load balancers and disks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from orchestune.clusters.existing.client import ContextClient
from orchestune.clusters.existing.objects import about, called

Manifest = dict[str, Any]
_SECONDS = 300.0
_POLL = 1.0
_SCALED = (("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"), ("batch/v1", "CronJob"), ("batch/v1", "Job"))
_SYSTEM = ("kube-system", "kube-public", "kube-node-lease")


def clear(
    api: ContextClient,
    note: Callable[[str], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Delete Services of type LoadBalancer, claims, and the workloads using them, in all namespaces.

    For cluster teardown only. Returns when the controllers have removed the external resources, or after `_SECONDS`
    with a note; the provisioner then removes the rest.
    """
    until = clock() + _SECONDS
    said = ""
    while True:
        left = [*_balancers(api), *_claims(api)]
        if left:
            left += _workloads(api)
        for document in left:
            if not document["metadata"].get("deletionTimestamp"):
                with about(document):
                    api.delete(document)
        disks = [volume for volume in api.items("v1", "PersistentVolume") if _goes(volume)]
        if not left and not disks:
            return
        what = ", ".join(sorted(called(document) for document in [*left, *disks])[:5])
        if clock() > until:
            note(f"the cluster does not remove by itself: {what}")
            return
        if what != said:
            note(f"waiting for the cluster to remove {what}")
            said = what
        sleep(_POLL)


def _goes(volume: Manifest) -> bool:
    """Return True if the CSI driver deletes the disk when the volume is released."""
    spec = volume["spec"]
    return spec.get("persistentVolumeReclaimPolicy") == "Delete" and "csi" in spec


def _balancers(api: ContextClient) -> list[Manifest]:
    return [item for item in api.items("v1", "Service") if item["spec"].get("type") == "LoadBalancer"]


def _claims(api: ContextClient) -> list[Manifest]:
    return list(api.items("v1", "PersistentVolumeClaim"))


def _workloads(api: ContextClient) -> list[Manifest]:
    """Return workloads and bare pods that may use claims; kube-system stays, since cleanup needs its controllers."""
    found = []
    for version, kind in _SCALED:
        found += [item for item in api.items(version, kind) if item["metadata"]["namespace"] not in _SYSTEM]
    pods = [item for item in api.items("v1", "Pod") if item["metadata"]["namespace"] not in _SYSTEM]
    return found + [pod for pod in pods if not pod["metadata"].get("ownerReferences")]
