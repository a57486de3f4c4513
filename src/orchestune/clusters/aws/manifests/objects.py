"""Kubernetes objects outside the server's namespace."""

from __future__ import annotations

from typing import Any

from orchestune.kubeapi.labels import COMPONENT, OWN_LABELS

Manifest = dict[str, Any]
SYSTEM = "kube-system"


def labeled(version: str, kind: str, name: str, component: str, namespace: str = "", **body: Any) -> Manifest:
    """Build an object with Orchestune's labels, by which it is found later."""
    annotations = body.pop("annotations", None)
    metadata: Manifest = {"name": name, "labels": {**OWN_LABELS, COMPONENT: component}}
    if namespace:
        metadata["namespace"] = namespace
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **body}
