"""The type of a step that creates one resource of a cluster.

AWS keeps the only state: nothing is stored between commands. A step therefore finds its resource by tag or name first
and creates it only if that fails, so that a command can be interrupted anywhere and repeated. `applying` runs the steps
and collects the IDs of their resources by step key, which later steps read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from orchestune.domain.clusters.cluster import Planned

ResourceIds = dict[str, str]
"""step key → ID of its resource"""
Find = Callable[[ResourceIds], str | None]
Create = Callable[[ResourceIds], str]
Wait = Callable[[ResourceIds, Callable[[], None]], None]


@dataclass(frozen=True)
class Repair:
    """A repair of a missing or wrong part of an existing resource, such as a permission or a route."""

    description: str
    do: Callable[[], object]


FindRepairs = Callable[[ResourceIds], Sequence[Repair]]


def _no_wait(ids: ResourceIds, heartbeat: Callable[[], None]) -> None:
    return


def _no_repairs(ids: ResourceIds) -> Sequence[Repair]:
    return ()


@dataclass(frozen=True)
class Step:
    """One resource: how to find it, create it, and wait until it is usable."""

    key: str
    planned: Planned
    find: Find
    """returns the ID, or None if absent. Raises Conflict if the name is taken by a foreign resource"""
    create: Create
    """creates the resource and returns its ID. Called if `find` returned None"""
    wait: Wait = field(default=_no_wait)
    """waits until the resource is usable, calling its second argument as heartbeat. Always called; idempotent"""
    batch: str = ""
    """consecutive steps of one batch all start before the first one is waited for"""
    find_repairs: FindRepairs = field(default=_no_repairs)
    """returns the repairs to do before `wait`, in order. Read-only; the IDs of missing resources are absent. Called for
    new resources too, since an interrupted `create` leaves a resource without its parts"""


def repaired(step: Step, repairs: Iterable[Repair]) -> Planned:
    """Return the description of an existing resource with its repairs."""
    return replace(step.planned, detail=f"repaired: {', '.join(repair.description for repair in repairs)}")
