"""Access entries for other users of a cluster."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from orchestune.clusters.aws.creation_steps import Made, Repair, Step, mended
from orchestune.clusters.aws.errors import RequestRejected, code_of
from orchestune.clusters.aws.inputs import ClusterSite
from orchestune.clusters.aws.names import TAG
from orchestune.clusters.aws.requests import control
from orchestune.domain.clusters.cluster import AccessGrant, CompletedStep, Planned, ProvisioningEvent
from orchestune.errors import NotFound

Document = dict[str, Any]
_ADMIN = "admin"


def steps(site: ClusterSite) -> list[Step]:
    """Return one step for each grant in the file."""
    return [_entry(site, grant) for grant in site.spec.access]


def planned(site: ClusterSite) -> list[Planned]:
    """Return the changes that `update` makes: new users, changed roles, revoked access."""
    there = entries(site)
    made = []
    for step, grant in zip(steps(site), site.spec.access, strict=True):
        if step.find({}) is None:
            before = f"{_role(there[grant.who])} → " if grant.who in there else "new: "
            made.append(Planned("access", grant.who, f"{before}{grant.role}"))
        elif mends := step.lacks({}):
            made.append(mended(step, mends))
    return made + [Planned("access", who, "taken away") for who in _gone(site, there)]


def revoke(site: ClusterSite, say: Callable[[ProvisioningEvent], None]) -> None:
    """Revoke access of users that the file no longer names; entries created by others stay."""
    for who in _gone(site, entries(site)):
        what = Planned("access", who)
        _take_away(site, who)
        say(ProvisioningEvent(CompletedStep.REMOVED, what))


def entries(site: ClusterSite) -> dict[str, Document]:
    """Return the access entries that Orchestune created, by principal ARN."""
    asked = {"clusterName": site.names.cluster}
    found: dict[str, Document] = {}
    for who in site.aws.pages("eks", "ListAccessEntries", "accessEntries", asked, about="access"):
        shown = _described(site, str(who))
        if shown is not None and (shown.get("tags") or {}).get(TAG) == site.names.cluster:
            found[str(who)] = shown
    return found


def _gone(site: ClusterSite, there: dict[str, Document]) -> list[str]:
    named = {grant.who: grant.role for grant in site.spec.access}
    return [who for who in there if who not in named]


def _role(shown: Document) -> str:
    groups = shown.get("kubernetesGroups") or []
    return str(groups[0]).rpartition(":")[2] if groups else _ADMIN


def _described(site: ClusterSite, who: str) -> Document | None:
    asked = {"clusterName": site.names.cluster, "principalArn": who}
    found = site.aws.find("eks", "DescribeAccessEntry", asked, about=f"access {who}")
    return found and dict(found["accessEntry"])


def _take_away(site: ClusterSite, who: str) -> None:
    """Delete an entry. Ignores NotFound: the response to an earlier attempt may have been lost."""
    asked = {"clusterName": site.names.cluster, "principalArn": who}
    with suppress(NotFound):
        site.aws.call("eks", "DeleteAccessEntry", asked, about=f"access {who}")


def _entry(site: ClusterSite, grant: AccessGrant) -> Step:
    what = Planned("access", grant.who, grant.role)

    def find(made: Made) -> str | None:
        found = _described(site, grant.who)
        return None if found is None or other(found) else grant.who

    def other(found: Document) -> bool:
        """Return True if Orchestune granted another role, which EKS cannot change in place."""
        return (found.get("tags") or {}).get(TAG) == site.names.cluster and _role(found) != grant.role

    def make(made: Made) -> str:
        found = _described(site, grant.who)
        if found is not None and other(found):
            _take_away(site, grant.who)
        request = control.entry(site.names, grant)
        try:
            site.aws.settled("eks", "CreateAccessEntry", request, about=what.called, unknown=_still_there)
        except RequestRejected as exc:
            if code_of(exc) == "InvalidParameterException":
                exc.hint = (
                    "is there such a user or role? mend `access` in the file, then repeat the command: it goes on"
                )
            raise
        return grant.who

    def lacks(made: Made) -> list[Repair]:
        request = control.administration(site.names, grant)
        asked = {key: request[key] for key in ("clusterName", "principalArn")}
        if grant.role != _ADMIN:
            return []
        has = site.aws.settled("eks", "ListAssociatedAccessPolicies", asked, about=what.called)
        if any(item["policyArn"] == request["policyArn"] for item in has["associatedAccessPolicies"]):
            return []
        return [
            Repair("its rights", lambda: site.aws.settled("eks", "AssociateAccessPolicy", request, about=what.called))
        ]

    return Step(f"access-{grant.who}", what, find, make, lacks=lacks)


def _still_there(code: str, message: str) -> bool:
    """Return True if the replaced entry is not deleted everywhere yet."""
    return code == "ResourceInUseException"
