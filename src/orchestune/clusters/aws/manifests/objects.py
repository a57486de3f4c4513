"""Objects of ours outside the server's namespace."""

from __future__ import annotations

from typing import Any

from orchestune.kubeapi.labels import COMPONENT, OURS

Manifest = dict[str, Any]
SYSTEM = "kube-system"


def made(version: str, kind: str, name: str, component: str, namespace: str = "", **body: Any) -> Manifest:
    """An object with the labels by which it is found again."""
    annotations = body.pop("annotations", None)
    metadata: Manifest = {"name": name, "labels": {**OURS, COMPONENT: component}}
    if namespace:
        metadata["namespace"] = namespace
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **body}
