"""Cleanup of cloud resources that workloads created and that would outlive the cluster: load balancers and disks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from orchestune.clusters.existing.client import ContextClient
from orchestune.clusters.existing.objects import display_name, errors_name

Manifest = dict[str, Any]
_CLEANUP_TIMEOUT = 300.0
_POLL_SECONDS = 1.0
_WORKLOAD_KINDS = (("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"), ("batch/v1", "CronJob"), ("batch/v1", "Job"))
_SYSTEM_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease")


def clear(
    api: ContextClient,
    note: Callable[[str], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Delete Services of type LoadBalancer, claims, and the workloads using them, in all namespaces.

    For cluster teardown only, while the controllers that own these resources still run: they delete a cloud resource
    with its object. Workloads are deleted too, as a claim stays while a pod uses it. Returns when the controllers are
    done, or after `_CLEANUP_TIMEOUT` with a note; the provisioner then removes the rest.
    """
    deadline = clock() + _CLEANUP_TIMEOUT
    last_note = ""
    while True:
        remaining = [*_balancers(api), *_claims(api)]
        if remaining:
            remaining += _workloads(api)
        for document in remaining:
            if not document["metadata"].get("deletionTimestamp"):
                with errors_name(document):
                    api.delete(document)
        disks = [volume for volume in api.items("v1", "PersistentVolume") if _disk_is_deleted(volume)]
        if not remaining and not disks:
            return
        description = ", ".join(sorted(display_name(document) for document in [*remaining, *disks])[:5])
        if clock() > deadline:
            note(f"the cluster has not deleted: {description}")
            return
        if description != last_note:
            note(f"waiting for the cluster to delete {description}")
            last_note = description
        sleep(_POLL_SECONDS)


def _disk_is_deleted(volume: Manifest) -> bool:
    """Return True if the CSI driver deletes the disk when the volume is released."""
    spec = volume["spec"]
    return spec.get("persistentVolumeReclaimPolicy") == "Delete" and "csi" in spec


def _balancers(api: ContextClient) -> list[Manifest]:
    return [document for document in api.items("v1", "Service") if document["spec"].get("type") == "LoadBalancer"]


def _claims(api: ContextClient) -> list[Manifest]:
    return list(api.items("v1", "PersistentVolumeClaim"))


def _workloads(api: ContextClient) -> list[Manifest]:
    """Return workloads and bare pods that may use claims; kube-system stays, since cleanup needs its controllers."""
    workloads = []
    for version, kind in _WORKLOAD_KINDS:
        workloads += [document for document in api.items(version, kind) if not _is_system(document)]
    pods = [pod for pod in api.items("v1", "Pod") if not _is_system(pod)]
    return workloads + [pod for pod in pods if not pod["metadata"].get("ownerReferences")]


def _is_system(document: Manifest) -> bool:
    return document["metadata"]["namespace"] in _SYSTEM_NAMESPACES
