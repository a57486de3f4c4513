"""Kubernetes' amounts as numbers, and numbers as such amounts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from orchestune.domain.resources import Resources


def amount(text: object) -> float:
    """`500m` → 0.5, `2Gi` → 2147483648; nothing → 0. What cannot be read counts as 0."""
    try:
        return float(parse_quantity(text)) if text not in (None, "") else 0.0  # type: ignore[no-untyped-call]
    except ValueError:
        return 0.0


def cores(number: float) -> str:
    """0.5 → `500m`, 2 → `2`."""
    return str(int(number)) if number == int(number) else f"{math.ceil(number * 1000 - 1e-9)}m"


def resources(listed: Mapping[str, object] | None, gpu_resource: str) -> Resources:
    """`{"cpu": "1", "memory": "2Gi", …}` as numbers."""
    found = listed or {}
    return Resources(amount(found.get("cpu")), int(amount(found.get("memory"))), int(amount(found.get(gpu_resource))))


def requests(spec: Mapping[str, Any], gpu_resource: str) -> Resources:
    """What the scheduler sets aside for a pod: its containers together, or its largest init container."""
    own = [_of(container, gpu_resource) for container in spec.get("containers") or ()]
    first = spec.get("initContainers") or ()
    own += [_of(container, gpu_resource) for container in first if container.get("restartPolicy") == "Always"]
    own.append(resources(spec.get("overhead"), gpu_resource))
    total = plus(own)
    largest = [_of(container, gpu_resource) for container in first]
    return Resources(
        max(total.cpu or 0, *(each.cpu or 0 for each in largest), 0.0),
        max(total.memory or 0, *(each.memory or 0 for each in largest), 0),
        max(total.gpu, *(each.gpu for each in largest), 0),
    )


def plus(items: Iterable[Resources]) -> Resources:
    """All of it together."""
    listed = list(items)
    return Resources(
        sum(each.cpu or 0.0 for each in listed),
        sum(each.memory or 0 for each in listed),
        sum(each.gpu for each in listed),
    )


def _of(container: Mapping[str, Any], gpu_resource: str) -> Resources:
    needed = container.get("resources") or {}
    return resources({**(needed.get("limits") or {}), **(needed.get("requests") or {})}, gpu_resource)
