"""Conversion between Kubernetes quantities and numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from orchestune.domain.resources.resources import Resources
from orchestune.kubeapi.quantities import parse_quantity

_MAX_AMOUNT = 2.0**63  # the API server reduces larger quantities to this; integers above 2**1024 have no float


def amount(quantity: object) -> float:
    """Parse a quantity: `500m` → 0.5, `2Gi` → 2147483648. Empty, invalid or infinite ones count as 0."""
    try:
        number = float(parse_quantity(str(quantity)))
    except (ValueError, ArithmeticError):
        return 0.0
    return min(number, _MAX_AMOUNT) if math.isfinite(number) else 0.0


def cores(number: float) -> str:
    """Format a number of cores: 0.5 → `500m`, 2 → `2`."""
    return str(int(number)) if number == int(number) else f"{math.ceil(number * 1000 - 1e-9)}m"


def resources(quantities: Mapping[str, object] | None, gpu_resource: str) -> Resources:
    """Parse resources such as `{"cpu": "1", "memory": "2Gi", …}`."""
    by_name = quantities or {}
    cpu, memory, gpus = (amount(by_name.get(name)) for name in ("cpu", "memory", gpu_resource))
    return Resources(cpu, int(memory), int(gpus))


def requests(spec: Mapping[str, Any], gpu_resource: str) -> Resources:
    """Return what the scheduler reserves for a pod.

    It is the sum of its containers, or the largest init container plus the sidecars started before it if that is more;
    pod-level requests replace it. Malformed parts are skipped: the API server rejects them.
    """
    total = plus(_of(container, gpu_resource) for container in _mappings(spec.get("containers")))
    largest, sidecars = _NOTHING, _NOTHING
    for container in _mappings(spec.get("initContainers")):
        during_it = plus([sidecars, _of(container, gpu_resource)])
        largest = _maximum(largest, during_it)
        if container.get("restartPolicy") == "Always":
            total, sidecars = plus([total, _of(container, gpu_resource)]), during_it
    total = _maximum(total, largest)
    pod_level = _requests(spec)
    if "cpu" in pod_level:
        total = replace(total, cpu=amount(pod_level["cpu"]))
    if "memory" in pod_level:
        total = replace(total, memory=int(amount(pod_level["memory"])))
    return plus([total, resources(_mapping(spec.get("overhead")), gpu_resource)])


def plus(items: Iterable[Resources]) -> Resources:
    """Return the sum."""
    summands = list(items)
    return Resources(
        sum(each.cpu or 0.0 for each in summands),
        sum(each.memory or 0 for each in summands),
        sum(each.gpu for each in summands),
    )


def _maximum(one: Resources, other: Resources) -> Resources:
    """Return the maximum of each resource."""
    return Resources(
        max(one.cpu or 0.0, other.cpu or 0.0), max(one.memory or 0, other.memory or 0), max(one.gpu, other.gpu)
    )


def _of(container: Mapping[str, Any], gpu_resource: str) -> Resources:
    return resources(_requests(container), gpu_resource)


def _requests(holder: Mapping[str, Any]) -> Mapping[str, object]:
    """Return the requests of a container or of a pod as a whole, defaulting to its limits."""
    declared = _mapping(holder.get("resources"))
    return {**_mapping(declared.get("limits")), **_mapping(declared.get("requests"))}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


_NOTHING = Resources(0.0, 0)
