"""Steps for IAM roles; the control plane's is first, since creating it locks the cluster.

That role's `find` takes the lock of an existing cluster, and its `create` sends the lock's tags in the creating request
(see `cluster_lock`). Policies are repairs: an interrupted run may have created a role without them.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

from orchestune.clusters.aws.client import tag_value
from orchestune.clusters.aws.cluster_lock import ClusterLock, role_tags
from orchestune.clusters.aws.creation_steps import Repair, ResourceIds, Step
from orchestune.clusters.aws.errors import error_code, ignoring
from orchestune.clusters.aws.inputs import ClusterSite
from orchestune.clusters.aws.names import TAG
from orchestune.clusters.aws.requests import roles
from orchestune.clusters.aws.requests.roles import CONTROL, NODE, Role
from orchestune.domain.clusters.cluster import Planned
from orchestune.errors import Conflict, NotFound, OrchestuneError

_SPOT_SERVICE = "spot.amazonaws.com"
_SPOT_ROLE = "AWSServiceRoleForEC2Spot"


def steps(site: ClusterSite, lock: ClusterLock | None = None) -> list[Step]:
    """Return one step for each role. With `lock`, the first step acquires it; without it, steps only inspect."""
    role_steps = [_role(site, lock, role) for role in roles.roles(site.spec, site.names)]
    return [*role_steps, _spot(site)] if any(pool.spot for pool in site.spec.pools) else role_steps


def steps_of(site: ClusterSite, *parts: str) -> list[Step]:
    """Return the steps of some roles of an existing cluster."""
    return [_role(site, None, role) for role in roles.roles(site.spec, site.names) if role.part in parts]


def _role(site: ClusterSite, lock: ClusterLock | None, role: Role) -> Step:
    name = site.names.role(role.part)
    policy_names = ", ".join(policy.rpartition("/")[2] for policy in role.managed) or "an inline policy"
    planned = Planned("role", name, f"{role.about}: {policy_names}")
    role_lock = lock if role.part == CONTROL else None

    def find(ids: ResourceIds) -> str | None:
        if role_lock:
            return name if role_lock.acquire() else None
        tags = role_tags(site.aws, name)
        if tags is None:
            return None
        if tag_value(tags, TAG) != site.names.cluster:
            raise Conflict(f"the {planned.title} exists already and is not ours", "choose another cluster_name")
        return name

    def create(ids: ResourceIds) -> str:
        request: dict[str, Any] = roles.create(site.names, role)
        if role_lock:
            request["Tags"] = [*request["Tags"], *role_lock.tags]
        try:
            site.aws.call("iam", "CreateRole", request, about=planned.title)
        except OrchestuneError as exc:
            if error_code(exc) == "EntityAlreadyExists" and find(ids) is not None:  # another process was faster
                return name
            raise
        if role_lock:
            role_lock.record_creation()
        return name

    return Step(f"role-{role.part}", planned, find, create, find_repairs=lambda ids: _find_repairs(site, role, planned))


def extra_policies(site: ClusterSite) -> list[str]:
    """Return the policies attached to the node role that the file does not name (any more)."""
    node = next(role for role in roles.roles(site.spec, site.names) if role.part == NODE)
    request, about = {"RoleName": site.names.role(NODE)}, f"role {site.names.role(NODE)}"
    response = site.aws.find("iam", "ListAttachedRolePolicies", request, about=about) or {}
    policies = [str(policy["PolicyArn"]) for policy in response.get("AttachedPolicies", ())]
    return [policy for policy in policies if policy not in node.managed]


def detach_policy(site: ClusterSite, policy: str) -> None:
    """Detach a policy that the file does not name from the node role."""
    request = {"RoleName": site.names.role(NODE), "PolicyArn": policy}
    with suppress(NotFound):
        site.aws.call("iam", "DetachRolePolicy", request, about=f"role {site.names.role(NODE)}")


def _find_repairs(site: ClusterSite, role: Role, planned: Planned) -> list[Repair]:
    """Return repairs for missing policies, and for an inline policy that differs."""
    request, about = {"RoleName": site.names.role(role.part)}, planned.title
    response = site.aws.call_eventually("iam", "ListAttachedRolePolicies", request, about=about)
    attached = {policy["PolicyArn"] for policy in response["AttachedPolicies"]}
    repairs = [
        Repair(policy.rpartition("/")[2],
               partial(site.aws.call, "iam", "AttachRolePolicy", roles.attach(site.names, role, policy), about=about))
        for policy in role.managed if policy not in attached
    ]  # fmt: skip
    if role.own and _read_inline_policy(site, request, about) != role.own:
        write = partial(site.aws.call, "iam", "PutRolePolicy", roles.inline(site.names, role), about=about)
        repairs.append(Repair("inline policy", write))
    return repairs


def _read_inline_policy(site: ClusterSite, request: dict[str, str], about: str) -> dict[str, Any]:
    """Return the role's current inline policy; empty if absent."""
    if roles.POLICY not in site.aws.call_eventually("iam", "ListRolePolicies", request, about=about)["PolicyNames"]:
        return {}
    response = site.aws.call("iam", "GetRolePolicy", {**request, "PolicyName": roles.POLICY}, about=about)
    return dict(response["PolicyDocument"])


def _spot(site: ClusterSite) -> Step:
    """Return the step for the account's service-linked role for spot instances, which is never removed.

    EC2 creates it when the console is used, but not for node groups.
    """
    planned = Planned("service role", _SPOT_SERVICE, "spot instances, once per account; never removed")

    def find(ids: ResourceIds) -> str | None:
        return None if role_tags(site.aws, _SPOT_ROLE) is None else _SPOT_SERVICE

    def create(ids: ResourceIds) -> str:
        with ignoring("InvalidInput"):
            site.aws.call("iam", "CreateServiceLinkedRole", {"AWSServiceName": _SPOT_SERVICE}, about=planned.title)
        return _SPOT_SERVICE

    return Step("spot", planned, find, create)
