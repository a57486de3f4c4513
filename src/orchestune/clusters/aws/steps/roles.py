"""Steps for IAM roles; the control plane's is first, since creating it locks the cluster."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

from orchestune.clusters.aws.claim import Claim, role_tags
from orchestune.clusters.aws.client import named
from orchestune.clusters.aws.creation_steps import Made, Repair, Step
from orchestune.clusters.aws.errors import already, code_of
from orchestune.clusters.aws.inputs import ClusterSite
from orchestune.clusters.aws.names import TAG
from orchestune.clusters.aws.requests import roles
from orchestune.clusters.aws.requests.roles import CONTROL, NODE, Role
from orchestune.domain.clusters.cluster import Planned
from orchestune.errors import Conflict, NotFound, OrchestuneError

_SPOT = "spot.amazonaws.com"
_SPOT_ROLE = "AWSServiceRoleForEC2Spot"


def steps(site: ClusterSite, claim: Claim | None = None) -> list[Step]:
    """Return one step for each role. With a claim, only its holder creates the control plane's role."""
    made = [_role(site, claim, role) for role in roles.roles(site.spec, site.names)]
    return [*made, _spot(site)] if any(pool.spot for pool in site.spec.pools) else made


def of_parts(site: ClusterSite, *parts: str) -> list[Step]:
    """Return the steps of some roles of an existing cluster."""
    return [_role(site, None, role) for role in roles.roles(site.spec, site.names) if role.part in parts]


def _role(site: ClusterSite, claim: Claim | None, role: Role) -> Step:
    name = site.names.role(role.part)
    may = ", ".join(policy.rpartition("/")[2] for policy in role.managed) or "a policy of its own"
    planned = Planned("role", name, f"{role.about}: {may}")
    first = claim if role.part == CONTROL else None

    def find(made: Made) -> str | None:
        if first:
            return name if first.take() else None
        tags = role_tags(site.aws, name)
        if tags is None:
            return None
        if named(tags, TAG) != site.names.cluster:
            raise Conflict(f"there is a {planned.called} already, which is not ours", "choose another name")
        return name

    def make(made: Made) -> str:
        request: dict[str, Any] = roles.create(site.names, role)
        if first:
            request["Tags"] = [*request["Tags"], *first.marks]
        try:
            site.aws.call("iam", "CreateRole", request, about=planned.called)
        except OrchestuneError as exc:
            if code_of(exc) == "EntityAlreadyExists" and find(made) is not None:  # another process was faster
                return name
            raise
        if first:
            first.made()
        return name

    return Step(f"role-{role.part}", planned, find, make, lacks=lambda made: _lacking(site, role, planned))


def superfluous(site: ClusterSite) -> list[str]:
    """Return policies attached to the node role that the file does not name, for example no longer."""
    node = next(role for role in roles.roles(site.spec, site.names) if role.part == NODE)
    request, about = {"RoleName": site.names.role(NODE)}, f"role {site.names.role(NODE)}"
    has = site.aws.find("iam", "ListAttachedRolePolicies", request, about=about) or {}
    policies = [str(item["PolicyArn"]) for item in has.get("AttachedPolicies", ())]
    return [policy for policy in policies if policy not in node.managed]


def take_away(site: ClusterSite, policy: str) -> None:
    """Detach a policy that the file does not name from the node role."""
    request = {"RoleName": site.names.role(NODE), "PolicyArn": policy}
    with suppress(NotFound):
        site.aws.call("iam", "DetachRolePolicy", request, about=f"role {site.names.role(NODE)}")


def _lacking(site: ClusterSite, role: Role, planned: Planned) -> list[Repair]:
    """Return repairs for missing policies."""
    request, about = {"RoleName": site.names.role(role.part)}, planned.called
    has = site.aws.settled("iam", "ListAttachedRolePolicies", request, about=about)["AttachedPolicies"]
    attached = {item["PolicyArn"] for item in has}
    mends = [
        Repair(policy.rpartition("/")[2],
             partial(site.aws.call, "iam", "AttachRolePolicy", roles.attach(site.names, role, policy), about=about))
        for policy in role.managed if policy not in attached
    ]  # fmt: skip
    if role.own and _own(site, request, about) != role.own:
        write = partial(site.aws.call, "iam", "PutRolePolicy", roles.inline(site.names, role), about=about)
        mends.append(Repair("the policy of its own", write))
    return mends


def _own(site: ClusterSite, request: dict[str, str], about: str) -> dict[str, Any]:
    """Return the role's current inline policy; empty if absent."""
    if roles.POLICY not in site.aws.settled("iam", "ListRolePolicies", request, about=about)["PolicyNames"]:
        return {}
    asked = {**request, "PolicyName": roles.POLICY}
    return dict(site.aws.call("iam", "GetRolePolicy", asked, about=about)["PolicyDocument"])


def _spot(site: ClusterSite) -> Step:
    """Return the step for the account's service-linked role for spot instances, which is never removed.

    EC2 creates it when the console is used, but not for node groups.
    """
    planned = Planned("service role", _SPOT, "spare machines, once in each account; it stays there")

    def find(made: Made) -> str | None:
        return None if role_tags(site.aws, _SPOT_ROLE) is None else _SPOT

    def make(made: Made) -> str:
        with already("InvalidInput"):
            site.aws.call("iam", "CreateServiceLinkedRole", {"AWSServiceName": _SPOT}, about=planned.called)
        return _SPOT

    return Step("spot", planned, find, make)
