"""`update`: adds, changes or removes the automatic removal of an idle cluster."""

from __future__ import annotations

from collections.abc import Callable

from orchestune.clusters.aws.errors import ignoring
from orchestune.clusters.aws.inputs import ClusterSite
from orchestune.clusters.aws.inventory import other
from orchestune.clusters.aws.inventory.resources import delete
from orchestune.clusters.aws.lambda_function import describe_function, function_tags, is_our_function
from orchestune.clusters.aws.requests import teardown
from orchestune.clusters.aws.requests.roles import POLICY, RETIREMENT, SERVER
from orchestune.clusters.aws.steps import roles
from orchestune.clusters.aws.steps.teardown import describe_teardown, has_current_code
from orchestune.domain.clusters.cluster import CompletedStep, Planned, ProvisioningEvent


def planned(site: ClusterSite) -> list[Planned]:
    """Return the changes that `update` makes to it."""
    function, settings = describe_function(site.aws, site.names), site.spec.retirement
    if function is not None and not is_our_function(function, site.names):
        function = None
    name = site.names.function
    if settings is None:
        return [Planned("function", name, "removed: an idle cluster is kept")] if function else []
    tags, text = function_tags(function) if function else {}, describe_teardown(settings)
    if any(tags.get(key) != value for key, value in teardown.tags(site.names, settings).items()):
        return [Planned("function", name, text if function else f"new: {text}")]
    if function is not None and not has_current_code(function):
        return [Planned("function", name, "updated to the code of this version")]
    return []


def disable(site: ClusterSite, say: Callable[[ProvisioningEvent], None]) -> None:
    """Remove the function, its role, and the server's right to invoke it, if the file no longer asks for them.

    The function is last: as long as it exists, an interrupted removal is noticed and completed.
    """
    functions = [] if site.spec.retirement else other.functions(site.aws, site.names)
    if not functions:
        return
    server_role = site.names.role(SERVER)
    if site.spec.bucket:
        for step in roles.steps_of(site, SERVER):
            for repair in step.find_repairs({}):  # rewrites its inline policy
                repair.do()
    else:
        request = {"RoleName": server_role, "PolicyName": POLICY}
        with ignoring("NoSuchEntity"):
            site.aws.call("iam", "DeleteRolePolicy", request, about=f"role {server_role}")
    teardown_roles = other.roles(site.aws, site.names, (RETIREMENT,))
    for kind, resources in (("role", teardown_roles), ("function", functions)):
        for resource in resources:
            delete(resource)
            say(ProvisioningEvent(CompletedStep.REMOVED, Planned(kind, resource.name)))
