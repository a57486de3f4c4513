"""By which labels what is ours in a cluster is found again, and those that keep others out of our pods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OURS = {"app.kubernetes.io/part-of": "orchestune", "app.kubernetes.io/managed-by": "orchestune"}
"""of everything that we put into a cluster"""
COMPONENT = "app.kubernetes.io/component"
WORKERS = {**OURS, COMPONENT: "worker"}
"""of everything that belongs to a worker"""
SERVERS = {**OURS, COMPONENT: "server"}
"""of the server's pods, among others"""
POOL = "orchestune.dev/pool"
"""of a node: the name of its pool, unless a cluster has another label for that"""
_POD_SECURITY = "pod-security.kubernetes.io/enforce"
"""of a namespace"""

NO_MESH_LABELS = {"kuma.io/sidecar-injection": "disabled", "sidecar.istio.io/inject": "false"}
"""a sidecar would keep the pod of a Job from ending, and answer before the server does"""
NO_MESH_ANNOTATIONS = {
    "consul.hashicorp.com/connect-inject": "false",
    "kuma.io/sidecar-injection": "disabled",
    "linkerd.io/inject": "disabled",
    "sidecar.istio.io/inject": "false",
}


def is_restricted(namespace: Mapping[str, Any] | None) -> bool:
    """Whether a namespace, as the API shows it, lets no pod run as root."""
    metadata = (namespace or {}).get("metadata") or {}
    return are_in({_POD_SECURITY: "restricted"}, metadata.get("labels"))


def selector(labels: Mapping[str, str]) -> str:
    """What the API is asked for, to have the objects with these labels."""
    return ",".join(f"{key}={value}" for key, value in labels.items())


def are_in(wanted: Mapping[str, str], labels: Mapping[str, str] | None) -> bool:
    """Whether an object with `labels` has all that are wanted."""
    return all((labels or {}).get(key) == value for key, value in wanted.items())
