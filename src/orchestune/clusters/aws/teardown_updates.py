"""`update`: adds, changes or removes the automatic removal of an idle cluster."""

from __future__ import annotations

from collections.abc import Callable

from orchestune.clusters.aws.errors import already
from orchestune.clusters.aws.inputs import ClusterSite
from orchestune.clusters.aws.inventory import other
from orchestune.clusters.aws.inventory.resources import take_away
from orchestune.clusters.aws.lambda_function import described, ours, tags
from orchestune.clusters.aws.requests import teardown
from orchestune.clusters.aws.requests.roles import POLICY, RETIREMENT, SERVER
from orchestune.clusters.aws.steps import roles
from orchestune.clusters.aws.steps.teardown import of_this_version, said
from orchestune.domain.clusters.cluster import CompletedStep, Planned, ProvisioningEvent


def planned(site: ClusterSite) -> list[Planned]:
    """Return the changes that `update` makes to it."""
    found, wanted = described(site.aws, site.names), site.spec.retirement
    there = found if found is not None and ours(found, site.names) else None
    name = site.names.function
    if wanted is None:
        return [Planned("function", name, "removed: the cluster stays, however idle it is")] if there else []
    now = tags(there) if there else {}
    if any(now.get(key) != value for key, value in teardown.tags(site.names, wanted).items()):
        return [Planned("function", name, said(wanted) if there else f"new: {said(wanted)}")]
    if there is not None and not of_this_version(there):
        return [Planned("function", name, "gets the code of this version")]
    return []


def call_off(site: ClusterSite, say: Callable[[ProvisioningEvent], None]) -> None:
    """Remove the function, its role, and the server's right to invoke it, if the file no longer asks for them."""
    things = [] if site.spec.retirement else other.functions(site.aws, site.names)
    if not things:
        return
    name = site.names.role(SERVER)
    if site.spec.bucket:
        for step in roles.of_parts(site, SERVER):
            for mend in step.lacks({}):  # rewrites its inline policy
                mend.do()
    else:
        request = {"RoleName": name, "PolicyName": POLICY}
        with already("NoSuchEntity"):
            site.aws.call("iam", "DeleteRolePolicy", request, about=f"role {name}")
    for kind, found in (("role", other.role_things(site.aws, site.names, (RETIREMENT,))), ("function", things)):
        for thing in found:
            take_away(thing)
            say(ProvisioningEvent(CompletedStep.REMOVED, Planned(kind, thing.name)))
