"""Removal of a cluster, kind by kind, and the check that nothing is left."""

from __future__ import annotations

from collections.abc import Callable

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.errors import IN_USE, CredentialsExpired, code_of
from orchestune.clusters.aws.inventory import clusters, kubernetes, network, other
from orchestune.clusters.aws.inventory.resources import Resource, ResourceKind, take_away
from orchestune.clusters.aws.names import Names
from orchestune.domain.clusters.cluster import (
    CompletedStep,
    Planned,
    ProvisioningEvent,
    RemainingResource,
    RemovalCheck,
)
from orchestune.errors import Conflict, Denied, OrchestuneError, TemporaryError, Unreachable

Say = Callable[[ProvisioningEvent], None]
_FIRST, _LONGEST = 0.5, 15.0


def shelves(aws: Aws, names: Names, *, keep_registry: bool = False, within: bool = False) -> list[ResourceKind]:
    """Return all kinds of resources in removal order; `within`: without those that the removal itself uses."""
    return [
        *clusters.shelves(aws, names),
        *kubernetes.shelves(aws, names),
        *network.shelves(aws, names),
        *other.shelves(aws, names, keep_registry=keep_registry, within=within),
    ]


def remove(
    aws: Aws,
    names: Names,
    say: Say,
    beat: Callable[[], None],
    *,
    keep_registry: bool = False,
    within: bool = False,
) -> list[RemainingResource]:
    """Remove all resources. Return those that are left, with reasons; the role that proves ownership then stays.

    `within`: runs in the cluster's own Lambda function, which leaves itself and its role.
    """
    stuck: list[RemainingResource] = []
    found = shelves(aws, names, keep_registry=keep_registry, within=within)
    for number, shelf in enumerate(found):
        if stuck and number == len(found) - 1:
            break
        stuck += _emptied(aws, shelf, say, beat)
    return stuck


def _emptied(aws: Aws, shelf: ResourceKind, say: Say, beat: Callable[[], None]) -> list[RemainingResource]:
    began, pause = aws.clock(), _FIRST
    seen: dict[str, Planned] = {}
    why: dict[str, str] = {}
    while True:
        things = list(shelf.find())
        there = {thing.id for thing in things}
        for identity in [known for known in seen if known not in there]:
            say(ProvisioningEvent(CompletedStep.REMOVED, seen.pop(identity), aws.clock() - began))
        if not things:
            return []
        given_up: dict[str, str] = {}
        for thing in things:
            if thing.id not in seen:
                seen[thing.id] = shelf.planned(thing)
            say(ProvisioningEvent(CompletedStep.WAITING, seen[thing.id], aws.clock() - began))
            why[thing.id] = _try(thing)
            if why[thing.id] and (blocked := thing.blocked()):
                given_up[thing.id] = blocked
        if len(given_up) == len(things) or aws.clock() - began > shelf.seconds:
            return [_left(shelf, thing, given_up.get(thing.id) or why[thing.id]) for thing in things]
        beat()
        aws.sleep(pause)
        pause = min(pause * 1.5, _LONGEST)


def _left(shelf: ResourceKind, thing: Resource, why: str) -> RemainingResource:
    waited = f"still there after {shelf.seconds / 60:.0f} minutes"
    return RemainingResource(shelf.service, shelf.kind, thing.where, why or waited)


def _try(thing: Resource) -> str:
    """Remove a resource, or return why that is not possible yet."""
    try:
        take_away(thing)
    except Denied:
        raise
    except OrchestuneError as exc:
        if isinstance(exc, Conflict | TemporaryError) or IN_USE.search(code_of(exc)):
            return exc.message
        raise
    return ""


def prove(aws: Aws, names: Names, *, keep_registry: bool = False) -> RemovalCheck:
    """Check every service for leftover resources."""
    looked: dict[str, bool] = {}
    left: list[RemainingResource] = []
    for shelf in shelves(aws, names, keep_registry=keep_registry):
        try:
            found = list(shelf.find())
        except OrchestuneError as exc:
            looked[shelf.service] = False
            if isinstance(exc, CredentialsExpired | Unreachable):  # all other lookups would fail too
                left.append(RemainingResource("AWS", "the rest", "could not be looked for", exc.message))
                break
            left.append(RemainingResource(shelf.service, shelf.kind, "could not be looked for", exc.message))
            continue
        looked.setdefault(shelf.service, True)
        left += [RemainingResource(shelf.service, shelf.kind, thing.where, thing.blocked()) for thing in found]
    return RemovalCheck(tuple(service for service, complete in looked.items() if complete), tuple(left))
