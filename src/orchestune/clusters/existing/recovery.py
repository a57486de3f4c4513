"""Moves the server away from a lost node, which Kubernetes does not do by itself.

Idea: if a kubelet no longer answers, its pods stay `Terminating` forever, because only it can confirm that their
processes have ended. Until then a ReadWriteOncePod claim belongs to the old pod, and its replacement stays pending.
A user who knows that the machine is off has to say so: by deleting the pod without that confirmation, or with the
taint `node.kubernetes.io/out-of-service`, which also detaches the volumes of everything else on the node at once.

The danger: if the machine still runs and has only lost its network, its server may still write to the volume. Two
servers on one SQLite file corrupt it. So a node that answers is never recovered from, and the user is asked.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from orchestune.clusters.existing.client import ContextClient
from orchestune.clusters.existing.config import DATA, ConnectionSettings
from orchestune.kubeapi.errors import Changed
from orchestune.kubeapi.labels import SERVERS, selector

Manifest = dict[str, Any]
TAINT = "node.kubernetes.io/out-of-service"
_TAINT_ENTRY = {"key": TAINT, "value": "nodeshutdown", "effect": "NoExecute"}


@dataclass(frozen=True)
class LostPod:
    """A pod of the server whose node does not answer."""

    name: str
    uid: str
    node: str
    reason: str
    """what the cluster says about the node"""
    holds: str
    """claim that the pod holds; empty for a server without one"""


def lost_pods(api: ContextClient, connection: ConnectionSettings) -> list[LostPod]:
    """Return the pods of the server on nodes that are not ready or are deleted."""
    pods = api.items("v1", "Pod", connection.namespace, selector(SERVERS))
    lost = []
    for pod in pods:
        node = pod["spec"].get("nodeName")
        if node and (reason := _lost_reason(api.get("v1", "Node", node))):
            holds = "" if connection.stateless else connection.claim or DATA
            lost.append(LostPod(pod["metadata"]["name"], pod["metadata"]["uid"], node, reason, holds))
    return lost


def _lost_reason(node: Manifest | None) -> str:
    """Return why a node does not answer; empty if it does."""
    if node is None:
        return "it was deleted from the cluster"
    for condition in (node.get("status") or {}).get("conditions") or ():
        if condition["type"] == "Ready" and condition["status"] != "True":
            since, message = condition.get("lastTransitionTime", ""), condition.get("message") or condition["status"]
            return f"not ready since {since}: {message}" if since else f"not ready: {message}"
    return ""


def delete_pod(api: ContextClient, connection: ConnectionSettings, pod: LostPod) -> None:
    """Delete the pod without waiting for its node. Idempotent; a pod of the same name that replaced it is kept."""
    place = f"/api/v1/namespaces/{connection.namespace}/pods/{pod.name}"
    with suppress(Changed):
        api.delete_object(place, {"gracePeriodSeconds": 0, "preconditions": {"uid": pod.uid}})


def mark_out_of_service(api: ContextClient, node: str) -> bool:
    """Taint the node, so that its pods are deleted and their volumes detached. Return False if the node is deleted."""
    manifest = api.get("v1", "Node", node)
    if manifest is None:
        return False
    taints = [taint for taint in manifest["spec"].get("taints") or () if taint["key"] != TAINT]
    patch = {
        "metadata": {"resourceVersion": manifest["metadata"]["resourceVersion"]},
        "spec": {"taints": [*taints, _TAINT_ENTRY]},
    }
    api.call("PATCH", f"/api/v1/nodes/{node}", patch, "application/merge-patch+json")
    return True
