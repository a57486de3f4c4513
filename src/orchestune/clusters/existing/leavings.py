"""What workloads have made outside a cluster, which would outlive it: load balancers and disks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from orchestune.clusters.existing.client import Api
from orchestune.clusters.existing.objects import about, called

Manifest = dict[str, Any]
_SECONDS = 300.0
_POLL = 1.0
_SCALED = (("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"), ("batch/v1", "CronJob"), ("batch/v1", "Job"))
_SYSTEM = ("kube-system", "kube-public", "kube-node-lease")


def clear(
    api: Api,
    note: Callable[[str], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Delete Services with load balancers and claims of disks, with the workloads that use them, in all namespaces.

    For clusters that go as a whole. Returns when the controllers have removed them outside, or after some minutes with
    a note: what is left then is the provisioner's to find.
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
    """Whether the cluster removes the disk behind it by itself."""
    spec = volume["spec"]
    return spec.get("persistentVolumeReclaimPolicy") == "Delete" and "csi" in spec


def _balancers(api: Api) -> list[Manifest]:
    return [item for item in api.items("v1", "Service") if item["spec"].get("type") == "LoadBalancer"]


def _claims(api: Api) -> list[Manifest]:
    return list(api.items("v1", "PersistentVolumeClaim"))


def _workloads(api: Api) -> list[Manifest]:
    """What keeps claims in use; what the cluster itself needs for removing them stays."""
    found = []
    for version, kind in _SCALED:
        found += [item for item in api.items(version, kind) if item["metadata"]["namespace"] not in _SYSTEM]
    pods = [item for item in api.items("v1", "Pod") if item["metadata"]["namespace"] not in _SYSTEM]
    return found + [pod for pod in pods if not pod["metadata"].get("ownerReferences")]
