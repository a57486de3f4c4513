"""Node admission by taints and labels, as the scheduler decides it, regardless of available resources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from orchestune.backends.kubernetes.observation.capacity import Node, Taint
from orchestune.backends.kubernetes.observation.slim import REQUIRED


def admits(node: Node, spec: Mapping[str, Any]) -> bool:
    """Return True if tolerations and `nodeSelector` match the node."""
    return bool(admitting([node], spec))


def admitting(nodes: Iterable[Node], spec: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the nodes that tolerations and `nodeSelector` match.

    Malformed ones are ignored: the API server rejects them. Each distinct taint is compared once, as `WorkerScaling`
    calls this for every unfinished experiment in every tick.
    """
    tolerations, selector = spec.get("tolerations"), spec.get("nodeSelector")
    mappings = [each for each in tolerations if isinstance(each, Mapping)] if isinstance(tolerations, list) else []
    required_labels = selector if isinstance(selector, Mapping) else {}
    tolerated = cache(lambda taint: any(_tolerates(each, taint) for each in mappings))
    return frozenset(
        node.name
        for node in nodes
        if all(tolerated(taint) for taint in node.taints)
        and all(node.labels.get(key) == value for key, value in required_labels.items())
    )


def newcomers(spec: Mapping[str, Any], pool_label: str, nodes: Iterable[Node]) -> list[str]:
    """Return unlabelled nodes that joined the pod's pool after its creation: its affinity lists such nodes by name.

    Empty if the pod names no pool, or if its affinity is the user's own.
    """
    terms = (spec.get("affinity") or {}).get("nodeAffinity", {}).get(REQUIRED, {}).get("nodeSelectorTerms") or ()
    labels = [each for term in terms for each in term.get("matchExpressions") or ()]
    fields = [each for term in terms for each in term.get("matchFields") or ()]
    pools = {value for each in labels if each["key"] == pool_label for value in each.get("values") or ()}
    listed_names = {value for each in fields for value in each.get("values") or ()}
    others = [node for node in nodes if node.open and not node.labelled and node.name not in listed_names]
    return sorted(node.name for node in others if node.pool in pools)


def _tolerates(toleration: Mapping[str, Any], taint: Taint) -> bool:
    key, value, effect = taint
    named, operator = toleration.get("key") or "", toleration.get("operator") or "Equal"
    if toleration.get("effect") not in (None, "", effect) or (named or key) != key:
        return False
    if operator == "Equal":
        return bool(named) and (toleration.get("value") or "") == value
    return True  # `Exists`; newer operators are assumed to match
