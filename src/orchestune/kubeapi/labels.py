"""Labels that identify our objects in a cluster, and those that keep service meshes out of our pods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OWN_LABELS = {"app.kubernetes.io/part-of": "orchestune", "app.kubernetes.io/managed-by": "orchestune"}
"""labels of all our objects in a cluster"""
COMPONENT = "app.kubernetes.io/component"
WORKERS = {**OWN_LABELS, COMPONENT: "worker"}
"""labels of all objects of a worker"""
SERVERS = {**OWN_LABELS, COMPONENT: "server"}
"""labels of the server's pods and other objects"""
POOL = "orchestune.dev/pool"
"""node label with the name of its pool, unless a cluster has another label for that"""
_POD_SECURITY = "pod-security.kubernetes.io/enforce"
"""label of a namespace"""

NO_MESH_LABELS = {"kuma.io/sidecar-injection": "disabled", "sidecar.istio.io/inject": "false"}
"""a sidecar would prevent a Job's pod from completing, and respond before the server does"""
NO_MESH_ANNOTATIONS = {
    "consul.hashicorp.com/connect-inject": "false",
    "kuma.io/sidecar-injection": "disabled",
    "linkerd.io/inject": "disabled",
    "sidecar.istio.io/inject": "false",
}


def is_restricted(namespace: Mapping[str, Any] | None) -> bool:
    """Return True if the namespace, as returned by the API, forbids pods that run as root."""
    metadata = (namespace or {}).get("metadata") or {}
    return are_in({_POD_SECURITY: "restricted"}, metadata.get("labels"))


def selector(labels: Mapping[str, str]) -> str:
    """Return the label selector for objects with these labels."""
    return ",".join(f"{key}={value}" for key, value in labels.items())


def are_in(required: Mapping[str, str], labels: Mapping[str, str] | None) -> bool:
    """Return True if `labels` contain all required labels."""
    return all((labels or {}).get(key) == value for key, value in required.items())
