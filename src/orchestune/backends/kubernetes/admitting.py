"""Whether a node takes a pod, whatever is free there: by its taints and its labels, as the scheduler decides it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestune.backends.kubernetes.capacity import Node, Taint


def admits(node: Node, spec: Mapping[str, Any]) -> bool:
    """By the pod's tolerations and its `nodeSelector`. What of them is no such thing the API server refuses later."""
    tolerations, selector = spec.get("tolerations"), spec.get("nodeSelector")
    listed = [each for each in tolerations if isinstance(each, Mapping)] if isinstance(tolerations, list) else []
    wanted = selector if isinstance(selector, Mapping) else {}
    tolerated = all(any(_tolerates(each, taint) for each in listed) for taint in node.taints)
    return tolerated and all(node.labels.get(key) == value for key, value in wanted.items())


def _tolerates(toleration: Mapping[str, Any], taint: Taint) -> bool:
    key, value, effect = taint
    named, operator = toleration.get("key") or "", toleration.get("operator") or "Equal"
    if toleration.get("effect") not in (None, "", effect) or (named or key) != key:
        return False
    if operator == "Equal":
        return bool(named) and (toleration.get("value") or "") == value
    return True  # it is enough that it exists; newer operators are believed
