"""Memory request of the next attempt after a trial was OOM killed."""

from __future__ import annotations

import math
from dataclasses import replace

from orchestune.domain.resources.allocation import usable
from orchestune.domain.resources.resources import Capacity, Resources

_GRANULARITY_BYTES = 2**20


def next_memory(
    capacity: Capacity,
    each: Resources,
    factor: float,
    pool: str | None = None,
    avoid: frozenset[str] = frozenset(),
    beside: int = 0,
) -> int | None:
    """Return the bytes, in whole MiB, that the next attempt of an OOM killed trial requests.

    The upper bound is the largest usable machine less `beside`, the bytes that something else takes with each trial
    (such as sidecars). Returns 0 if no machine has more than `each.memory`, and None if the trial requested no memory,
    so that there is nothing to raise.
    """
    if each.memory is None:
        return None
    request = math.ceil(each.memory * factor / _GRANULARITY_BYTES) * _GRANULARITY_BYTES
    if not capacity.elastic:
        machines = usable(capacity, replace(each, memory=0), pool, avoid)
        request = min(request, max((machine.whole.memory or 0 for machine in machines), default=0) - beside)
    return request if request > each.memory else 0


def sized(each: Resources, memory: int) -> Resources:
    """Return `each` with so many bytes of memory; 0 keeps the request of the experiment file."""
    return replace(each, memory=memory) if memory else each


def size(amount: int) -> str:
    """Format bytes, as `96 MiB` or `1.5 GiB`."""
    return f"{amount / 2**30:.3g} GiB" if amount >= 2**30 else f"{amount / 2**20:.4g} MiB"
