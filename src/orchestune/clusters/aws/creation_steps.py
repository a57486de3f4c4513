"""Steps that create a cluster, and the IDs of the resources so far, by step key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from orchestune.domain.clusters.cluster import Planned

Made = dict[str, str]
Find = Callable[[Made], str | None]
Make = Callable[[Made], str]
Settle = Callable[[Made, Callable[[], None]], None]


@dataclass(frozen=True)
class Repair:
    """A repair of a missing or wrong part of a resource, such as a permission or a route."""

    said: str
    do: Callable[[], object]


Lacks = Callable[[Made], Sequence[Repair]]


def _nothing(made: Made, beat: Callable[[], None]) -> None:
    return


def _whole(made: Made) -> Sequence[Repair]:
    return ()


@dataclass(frozen=True)
class Step:
    """One resource: how to find it, create it, and wait until it is usable."""

    key: str
    planned: Planned
    find: Find
    """returns the ID, or None if absent. Raises Conflict if the name is taken by a foreign resource"""
    make: Make
    """creates the resource and returns its ID. Called if `find` returned None"""
    settle: Settle = field(default=_nothing)
    """waits until the resource is usable, calling its second argument as heartbeat. Always called; idempotent"""
    batch: str = ""
    """consecutive steps of one batch all start before the first one is waited for"""
    lacks: Lacks = field(default=_whole)
    """returns the repairs to do before `settle`, in order. Read-only; IDs of other steps are absent if their resources
    are"""


def mended(step: Step, mends: Iterable[Repair]) -> Planned:
    """Return the description of an existing resource with its repairs."""
    return replace(step.planned, detail=f"mended: {', '.join(mend.said for mend in mends)}")
