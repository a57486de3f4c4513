"""Access entries for other users of a cluster.

A changed role replaces the entry, since an administrator has a policy and other roles have Kubernetes groups: `find`
treats an entry of Orchestune's with another role as absent, and `create` deletes it first. Entries that others created
are never changed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from orchestune.clusters.aws.creation_steps import Repair, ResourceIds, Step, repaired
from orchestune.clusters.aws.errors import RequestRejected, error_code
from orchestune.clusters.aws.inputs import ClusterSite
from orchestune.clusters.aws.names import TAG
from orchestune.clusters.aws.requests import control
from orchestune.domain.clusters.cluster import AccessGrant, CompletedStep, Planned, ProvisioningEvent
from orchestune.errors import NotFound

Document = dict[str, Any]
_ADMIN = "admin"


def steps(site: ClusterSite) -> list[Step]:
    """Return one step for each grant in the file."""
    return [_entry_step(site, grant) for grant in site.spec.access]


def planned(site: ClusterSite) -> list[Planned]:
    """Return the changes that `update` makes: new users, changed roles, revoked access."""
    existing = entries(site)
    changes = []
    for step, grant in zip(steps(site), site.spec.access, strict=True):
        if step.find({}) is None:
            before = f"{_role(existing[grant.who])} → " if grant.who in existing else "new: "
            changes.append(Planned("access", grant.who, f"{before}{grant.role}"))
        elif repairs := step.find_repairs({}):
            changes.append(repaired(step, repairs))
    return changes + [Planned("access", principal, "revoked") for principal in _revoked(site, existing)]


def revoke(site: ClusterSite, say: Callable[[ProvisioningEvent], None]) -> None:
    """Revoke access of users that the file no longer names; entries created by others stay."""
    for principal in _revoked(site, entries(site)):
        _delete_entry(site, principal)
        say(ProvisioningEvent(CompletedStep.REMOVED, Planned("access", principal)))


def entries(site: ClusterSite) -> dict[str, Document]:
    """Return the access entries that Orchestune created, by principal ARN."""
    request = {"clusterName": site.names.cluster}
    own_entries: dict[str, Document] = {}
    for principal in site.aws.pages("eks", "ListAccessEntries", "accessEntries", request, about="access"):
        entry = _describe_entry(site, str(principal))
        if entry is not None and (entry.get("tags") or {}).get(TAG) == site.names.cluster:
            own_entries[str(principal)] = entry
    return own_entries


def _revoked(site: ClusterSite, existing: dict[str, Document]) -> list[str]:
    granted = {grant.who for grant in site.spec.access}
    return [principal for principal in existing if principal not in granted]


def _role(entry: Document) -> str:
    groups = entry.get("kubernetesGroups") or []
    return str(groups[0]).rpartition(":")[2] if groups else _ADMIN


def _describe_entry(site: ClusterSite, principal: str) -> Document | None:
    request = {"clusterName": site.names.cluster, "principalArn": principal}
    response = site.aws.find("eks", "DescribeAccessEntry", request, about=f"access {principal}")
    return response and dict(response["accessEntry"])


def _delete_entry(site: ClusterSite, principal: str) -> None:
    """Delete an entry. Ignores NotFound: the response to an earlier attempt may have been lost."""
    request = {"clusterName": site.names.cluster, "principalArn": principal}
    with suppress(NotFound):
        site.aws.call("eks", "DeleteAccessEntry", request, about=f"access {principal}")


def _entry_step(site: ClusterSite, grant: AccessGrant) -> Step:
    planned = Planned("access", grant.who, grant.role)

    def find(ids: ResourceIds) -> str | None:
        entry = _describe_entry(site, grant.who)
        return None if entry is None or has_other_role(entry) else grant.who

    def has_other_role(entry: Document) -> bool:
        """Return True if Orchestune granted another role, which EKS cannot change in place."""
        return (entry.get("tags") or {}).get(TAG) == site.names.cluster and _role(entry) != grant.role

    def create(ids: ResourceIds) -> str:
        entry = _describe_entry(site, grant.who)
        if entry is not None and has_other_role(entry):
            _delete_entry(site, grant.who)
        request = control.access_entry(site.names, grant)
        try:
            site.aws.call_eventually(
                "eks", "CreateAccessEntry", request, about=planned.title, is_transient=_is_still_deleting
            )
        except RequestRejected as exc:
            if error_code(exc) == "InvalidParameterException":
                exc.hint = "check that the user or role exists, correct `access` in the file, then repeat the command"
            raise
        return grant.who

    def find_repairs(ids: ResourceIds) -> list[Repair]:
        if grant.role != _ADMIN:
            return []
        association = control.admin_policy(site.names, grant)
        request = {key: association[key] for key in ("clusterName", "principalArn")}
        response = site.aws.call_eventually("eks", "ListAssociatedAccessPolicies", request, about=planned.title)
        if any(policy["policyArn"] == association["policyArn"] for policy in response["associatedAccessPolicies"]):
            return []
        associate = partial(site.aws.call_eventually, "eks", "AssociateAccessPolicy", association, about=planned.title)
        return [Repair("administrator policy", associate)]

    return Step(f"access-{grant.who}", planned, find, create, find_repairs=find_repairs)


def _is_still_deleting(code: str, message: str) -> bool:
    """Return True if the replaced entry is not deleted everywhere yet."""
    return code == "ResourceInUseException"
