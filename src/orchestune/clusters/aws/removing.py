"""Removal of a cluster, kind by kind, and the check that nothing is left.

No list of created resources is stored: each kind is looked up by tag or name, so a removal can be interrupted anywhere
and repeated, by another process or from another machine too. Kinds are removed one after the other, dependents first,
since AWS refuses to delete a resource that another one uses. A kind is done when a lookup no longer finds any resource
of it, not when its delete requests have been accepted.

The control plane's role is the last kind: it carries the lock (`cluster_lock`), and its tag proves that load balancers
and interfaces with the cluster's name were Orchestune's. It stays while anything else is left.
"""

from __future__ import annotations

from collections.abc import Callable

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.errors import IN_USE, CredentialsExpired, error_code
from orchestune.clusters.aws.inventory import clusters, kubernetes, network, other
from orchestune.clusters.aws.inventory.resources import Resource, ResourceKind, delete
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
_FIRST_DELAY, _MAX_DELAY = 0.5, 15.0
"""initial and maximum delay in seconds between lookups of one kind"""


def resource_kinds(
    aws: Aws, names: Names, *, keep_registry: bool = False, inside_lambda: bool = False
) -> list[ResourceKind]:
    """Return all kinds of resources in removal order.

    `inside_lambda`: without the Lambda function and its role, which the running removal itself uses.
    """
    return [
        *clusters.resource_kinds(aws, names),
        *kubernetes.resource_kinds(aws, names),
        *network.resource_kinds(aws, names),
        *other.resource_kinds(aws, names, keep_registry=keep_registry, inside_lambda=inside_lambda),
    ]


def remove(
    aws: Aws,
    names: Names,
    say: Say,
    heartbeat: Callable[[], None],
    *,
    keep_registry: bool = False,
    inside_lambda: bool = False,
) -> list[RemainingResource]:
    """Remove all resources. Return those that are left, with reasons; the role that proves ownership then stays.

    `inside_lambda`: runs in the cluster's own Lambda function, which leaves itself and its role.
    """
    remaining: list[RemainingResource] = []
    kinds = resource_kinds(aws, names, keep_registry=keep_registry, inside_lambda=inside_lambda)
    for number, kind in enumerate(kinds):
        if remaining and number == len(kinds) - 1:
            break
        remaining += _remove_all(aws, kind, say, heartbeat)
    return remaining


def _remove_all(aws: Aws, kind: ResourceKind, say: Say, heartbeat: Callable[[], None]) -> list[RemainingResource]:
    """Delete all resources of one kind, and return once none is found.

    Returns the remaining ones with reasons after the kind's timeout, or as soon as foreign resources block all of them.
    """
    start, delay = aws.clock(), _FIRST_DELAY
    reported: dict[str, Planned] = {}
    reasons: dict[str, str] = {}
    while True:
        resources = list(kind.find())
        current_ids = {resource.id for resource in resources}
        for deleted_id in [reported_id for reported_id in reported if reported_id not in current_ids]:
            say(ProvisioningEvent(CompletedStep.REMOVED, reported.pop(deleted_id), aws.clock() - start))
        if not resources:
            return []
        blocked: dict[str, str] = {}
        for resource in resources:
            if resource.id not in reported:
                reported[resource.id] = kind.planned(resource)
            say(ProvisioningEvent(CompletedStep.WAITING, reported[resource.id], aws.clock() - start))
            reasons[resource.id] = _try_delete(resource)
            if reasons[resource.id] and (blocker := resource.blocker()):
                blocked[resource.id] = blocker
        if len(blocked) == len(resources) or aws.clock() - start > kind.timeout:
            return [_remaining(kind, each, blocked.get(each.id) or reasons[each.id]) for each in resources]
        heartbeat()
        aws.sleep(delay)
        delay = min(delay * 1.5, _MAX_DELAY)


def _remaining(kind: ResourceKind, resource: Resource, reason: str) -> RemainingResource:
    timed_out = f"still there after {kind.timeout / 60:.0f} minutes"
    return RemainingResource(kind.service, kind.kind, resource.display_name, reason or timed_out)


def _try_delete(resource: Resource) -> str:
    """Request the deletion of a resource; return why that is not possible yet, or an empty string."""
    try:
        delete(resource)
    except Denied:
        raise
    except OrchestuneError as exc:
        if isinstance(exc, Conflict | TemporaryError) or IN_USE.search(error_code(exc)):
            return exc.message
        raise
    return ""


def prove(aws: Aws, names: Names, *, keep_registry: bool = False) -> RemovalCheck:
    """Look up every kind once more, and return the leftovers and the services that were checked completely."""
    is_complete: dict[str, bool] = {}
    remaining: list[RemainingResource] = []
    for kind in resource_kinds(aws, names, keep_registry=keep_registry):
        try:
            resources = list(kind.find())
        except OrchestuneError as exc:
            is_complete[kind.service] = False
            if isinstance(exc, CredentialsExpired | Unreachable):  # all other lookups would fail too
                remaining.append(RemainingResource("AWS", "all other kinds", "could not be checked", exc.message))
                break
            remaining.append(RemainingResource(kind.service, kind.kind, "could not be checked", exc.message))
            continue
        is_complete.setdefault(kind.service, True)
        remaining += [
            RemainingResource(kind.service, kind.kind, resource.display_name, resource.blocker())
            for resource in resources
        ]
    checked = tuple(service for service, complete in is_complete.items() if complete)
    return RemovalCheck(checked, tuple(remaining))
