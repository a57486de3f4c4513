"""More memory for a trial that was killed for want of it."""

from __future__ import annotations

import math
from dataclasses import replace

from orchestune.domain.allocation import usable
from orchestune.domain.resources import Capacity, Resources

_STEP = 2**20


def next_memory(
    capacity: Capacity,
    each: Resources,
    factor: float,
    pool: str | None = None,
    avoid: frozenset[str] = frozenset(),
    beside: int = 0,
) -> int | None:
    """Bytes for the next attempt of a trial to which `each.memory` was not enough, in whole MiB.

    No more than the largest machine for such trials has, `beside` of which something else takes with each of them; 0:
    no machine has more than `each`. None: nobody knows what the trial may take, so there is nothing to raise.
    """
    if each.memory is None:
        return None
    wanted = math.ceil(each.memory * factor / _STEP) * _STEP
    if not capacity.elastic:
        machines = usable(capacity, replace(each, memory=0), pool, avoid)
        wanted = min(wanted, max((machine.whole.memory or 0 for machine in machines), default=0) - beside)
    return wanted if wanted > each.memory else 0


def sized(each: Resources, memory: int) -> Resources:
    """What a trial takes that gets so many bytes; 0: what the file says."""
    return replace(each, memory=memory) if memory else each


def size(amount: int) -> str:
    """`96 MiB`, `1.5 GiB`."""
    return f"{amount / 2**30:.3g} GiB" if amount >= 2**30 else f"{amount / 2**20:.4g} MiB"
