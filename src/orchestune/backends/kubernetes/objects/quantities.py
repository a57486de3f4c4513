"""Conversion between Kubernetes quantities and numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from orchestune.domain.resources.resources import Resources


def amount(text: object) -> float:
    """Parse a quantity: `500m` → 0.5, `2Gi` → 2147483648. Empty or invalid text counts as 0."""
    try:
        found = float(parse_quantity(text)) if text not in (None, "") else 0.0  # type: ignore[no-untyped-call]
    except (ValueError, ArithmeticError):
        return 0.0
    return found if math.isfinite(found) else 0.0


def cores(number: float) -> str:
    """Format a number of cores: 0.5 → `500m`, 2 → `2`."""
    return str(int(number)) if number == int(number) else f"{math.ceil(number * 1000 - 1e-9)}m"


def resources(listed: Mapping[str, object] | None, gpu_resource: str) -> Resources:
    """Parse resources such as `{"cpu": "1", "memory": "2Gi", …}`."""
    found = listed or {}
    return Resources(amount(found.get("cpu")), int(amount(found.get("memory"))), int(amount(found.get(gpu_resource))))


def requests(spec: Mapping[str, Any], gpu_resource: str) -> Resources:
    """Return what the scheduler reserves for a pod: the sum of its containers, or the largest init container plus the
    sidecars started before it if that is more; pod-level requests replace it. Malformed parts are skipped: the API
    server rejects them.
    """
    total = plus(_of(container, gpu_resource) for container in _mappings(spec.get("containers")))
    largest, beside = _NOTHING, _NOTHING
    for container in _mappings(spec.get("initContainers")):
        own = plus([beside, _of(container, gpu_resource)])
        largest = _most(largest, own)
        if container.get("restartPolicy") == "Always":
            total, beside = plus([total, _of(container, gpu_resource)]), own
    total = _most(total, largest)
    whole = _said(spec)
    if "cpu" in whole:
        total = replace(total, cpu=amount(whole["cpu"]))
    if "memory" in whole:
        total = replace(total, memory=int(amount(whole["memory"])))
    return plus([total, resources(_mapping(spec.get("overhead")), gpu_resource)])


def plus(items: Iterable[Resources]) -> Resources:
    """Return the sum."""
    listed = list(items)
    return Resources(
        sum(each.cpu or 0.0 for each in listed),
        sum(each.memory or 0 for each in listed),
        sum(each.gpu for each in listed),
    )


def _most(one: Resources, other: Resources) -> Resources:
    """Return the maximum of each resource."""
    return Resources(
        max(one.cpu or 0.0, other.cpu or 0.0), max(one.memory or 0, other.memory or 0), max(one.gpu, other.gpu)
    )


def _of(container: Mapping[str, Any], gpu_resource: str) -> Resources:
    return resources(_said(container), gpu_resource)


def _said(holder: Mapping[str, Any]) -> Mapping[str, object]:
    """Return the requests of a container or of a pod as a whole, defaulting to its limits."""
    needed = _mapping(holder.get("resources"))
    return {**_mapping(needed.get("limits")), **_mapping(needed.get("requests"))}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


_NOTHING = Resources(0.0, 0)
