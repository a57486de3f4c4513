"""Kubernetes objects as plain dicts, and their API paths."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from orchestune.clusters.existing.config import ConnectionSettings
from orchestune.errors import OrchestuneError
from orchestune.kubeapi.labels import COMPONENT, OWN_LABELS

Manifest = dict[str, Any]

PLURALS = {
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "ConfigMap": "configmaps",
    "CronJob": "cronjobs",
    "DaemonSet": "daemonsets",
    "Event": "events",
    "Deployment": "deployments",
    "Job": "jobs",
    "Namespace": "namespaces",
    "Node": "nodes",
    "NetworkPolicy": "networkpolicies",
    "PersistentVolume": "persistentvolumes",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "Pod": "pods",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "Secret": "secrets",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
    "StatefulSet": "statefulsets",
    "StorageClass": "storageclasses",
}
"""kind → plural resource name in API paths"""


def manifest(
    version: str,
    kind: str,
    name: str,
    connection: ConnectionSettings,
    component: str,
    *,
    namespaced: bool = True,
    **body: Any,
) -> Manifest:
    """Build an object with Orchestune's labels, by which it is found for removal."""
    metadata: Manifest = {"name": name, "labels": {**OWN_LABELS, COMPONENT: component}}
    if namespaced:
        metadata["namespace"] = connection.namespace
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **body}


def collection(version: str, kind: str, namespace: str | None) -> str:
    """Return the API path of a collection."""
    root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
    inside = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}{inside}/{PLURALS[kind]}"


def path(document: Manifest) -> str:
    """Return the API path of one object."""
    metadata = document["metadata"]
    place = collection(document["apiVersion"], document["kind"], metadata.get("namespace"))
    return f"{place}/{metadata['name']}"


def display_name(document: Manifest) -> str:
    """Return the display name for messages: `Deployment orchestune-server`."""
    return f"{document['kind']} {document['metadata']['name']}"


@contextmanager
def errors_name(document: Manifest) -> Iterator[None]:
    """Name the object in the messages of errors raised in the block: `Deployment orchestune-server: …`."""
    try:
        yield
    except OrchestuneError as exc:
        exc.message = f"{display_name(document)}: {exc.message}"
        raise
