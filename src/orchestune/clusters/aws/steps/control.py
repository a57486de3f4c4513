"""Steps for the control plane, add-ons and pod identities.

The control plane needs its role and subnets, and everything else here needs the control plane. IAM and EC2 are
eventually consistent: EKS rejects a role or subnet that was created seconds ago, with the codes and messages that
`is_role_unknown` and `_is_dependency_unknown` recognize, so creates are retried on them. "Not authorized" is excluded:
it means that this user lacks a permission.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.creation_steps import Repair, ResourceIds, Step
from orchestune.clusters.aws.errors import ignoring
from orchestune.clusters.aws.inputs import ClusterSite
from orchestune.clusters.aws.names import TAG
from orchestune.clusters.aws.offerings import addon_version
from orchestune.clusters.aws.requests import control
from orchestune.domain.clusters.cluster import Planned
from orchestune.errors import Conflict, NotFound, OrchestuneError

_CLUSTER_SECONDS = 2400.0
"""timeout for a control plane to become active"""
_ADDON_SECONDS = 1200.0
_ADDON_FAILED = "CREATE_FAILED"
"""state of an add-on that never recovers: it is recreated"""
_ROLE_WORDS = ("role", "assume", "trust")


def is_role_unknown(code: str, message: str) -> bool:
    """Return True if EKS does not know a new role yet."""
    text = message.lower()
    is_rejected = code in ("InvalidParameterException", "InvalidRequestException")
    return is_rejected and any(word in text for word in _ROLE_WORDS) and "not authorized" not in text


def describe_cluster(aws: Aws, name: str) -> dict[str, Any] | None:
    """Return the cluster, regardless of who created it; None if absent."""
    response = aws.find("eks", "DescribeCluster", {"name": name}, about=f"cluster {name}")
    return response and dict(response["cluster"])


def is_ours(cluster: dict[str, Any]) -> bool:
    """Return True if Orchestune created the cluster."""
    return bool((cluster.get("tags") or {}).get(TAG) == cluster["name"])


def cluster(site: ClusterSite) -> Step:
    """Return the step for the control plane."""
    name = site.spec.name
    network = site.spec.network
    allowed = f" for {', '.join(network.allow)}" if network.allow else ""
    detail = f"EKS, Kubernetes {site.version}, {network.endpoint} endpoint{allowed}"
    planned = Planned("control plane", name, detail)

    def find(ids: ResourceIds) -> str | None:
        existing = describe_cluster(site.aws, name)
        if existing is None:
            return None
        if not is_ours(existing):
            raise Conflict(f"the cluster '{name}' exists already in {site.names.region} and is not ours",
                           "choose another cluster_name")  # fmt: skip
        if existing["status"] == "DELETING":
            raise Conflict(f"the cluster '{name}' is being deleted", "repeat the command when it is deleted")
        return name

    def create(ids: ResourceIds) -> str:
        request = control.cluster(site.spec, site.names, site.version, site.control_plane_subnets(ids))
        site.aws.call_eventually(
            "eks", "CreateCluster", request, about=planned.title, is_transient=_is_dependency_unknown
        )
        return name

    def wait(ids: ResourceIds, heartbeat: Callable[[], None]) -> None:
        site.aws.wait(lambda: cluster_state(site.aws, name), _CLUSTER_SECONDS, planned.title, heartbeat)

    return Step("cluster", planned, find, create, wait)


def _is_dependency_unknown(code: str, message: str) -> bool:
    is_rejected = code in ("InvalidParameterException", "ResourceNotFoundException")
    return (is_rejected and "subnet" in message.lower()) or is_role_unknown(code, message)


def cluster_state(aws: Aws, name: str) -> str | None:
    """Return the state while it is not ACTIVE, else None. Raises OrchestuneError if the creation failed."""
    cluster = describe_cluster(aws, name)
    state = str(cluster["status"]) if cluster else "missing"
    if state == "FAILED" and cluster:
        raise OrchestuneError(f"control plane {name}: {issues(cluster) or 'creation failed'}",
                              f"remove it with `orchestune cluster destroy -n {name}`")  # fmt: skip
    return None if state == "ACTIVE" else state


def update_state(aws: Aws, request: dict[str, str], about: str) -> str | None:
    """Return "changing" while an update of a cluster or node group runs, else None. Raises if it failed."""
    update = aws.call("eks", "DescribeUpdate", request, about=about)["update"]
    if update["status"] in ("Failed", "Cancelled"):
        reason = "; ".join(str(error.get("errorMessage", "")) for error in update.get("errors") or ())
        raise OrchestuneError(f"{about}: {reason or 'the update failed'}")
    return None if update["status"] == "Successful" else "changing"


def issues(description: dict[str, Any]) -> str:
    """Return the health issues that EKS reports for a cluster, node group or add-on."""
    return "; ".join(str(issue.get("message", "")) for issue in (description.get("health") or {}).get("issues") or ())


def addons(site: ClusterSite, names: Iterable[str]) -> list[Step]:
    """Return steps for add-ons; all start before the first one is waited for."""
    return [_addon(site, name) for name in names]


def _addon(site: ClusterSite, name: str) -> Step:
    planned = Planned("add-on", name)
    target = {"clusterName": site.names.cluster, "addonName": name}

    def describe() -> dict[str, Any] | None:
        response = site.aws.find("eks", "DescribeAddon", target, about=planned.title)
        return response and dict(response["addon"])

    def find(ids: ResourceIds) -> str | None:
        addon = describe()
        return name if addon and addon["status"] != "DELETING" else None

    def create(ids: ResourceIds) -> str:
        version = addon_version(site.aws, name, site.version)
        request = control.addon(site.names, name, version)
        with ignoring("ResourceInUseException"):  # still being deleted; `wait` retries then
            site.aws.call_eventually("eks", "CreateAddon", request, about=planned.title, is_transient=is_role_unknown)
        return name

    def find_repairs(ids: ResourceIds) -> list[Repair]:
        """Delete a failed add-on, which never recovers; `wait` recreates it."""
        addon = describe()
        if addon is None or addon["status"] != _ADDON_FAILED:
            return []
        reason = f": {issues(addon)}" if issues(addon) else ""
        return [Repair(f"recreated, since it failed{reason}", delete_failed)]

    def delete_failed() -> None:
        with suppress(NotFound):
            site.aws.call("eks", "DeleteAddon", target, about=planned.title)

    def wait(ids: ResourceIds, heartbeat: Callable[[], None]) -> None:
        def state() -> str | None:
            addon = describe()
            if addon is None:
                create(ids)
                return "missing"
            if addon["status"] == _ADDON_FAILED:
                reason = issues(addon) or "creation failed"
                raise OrchestuneError(f"{planned.title}: {reason}", "resolve that; the same command then recreates it")
            status = str(addon["status"])
            return None if status == "ACTIVE" else f"{status} ({issues(addon)})" if issues(addon) else status

        site.aws.wait(state, _ADDON_SECONDS, planned.title, heartbeat)

    return Step(f"addon-{name}", planned, find, create, wait, "add-ons", find_repairs)


def identities(site: ClusterSite) -> list[Step]:
    """Return steps that bind service accounts to roles."""
    return [_identity(site, *binding) for binding in control.identities(site.spec)]


def _identity(site: ClusterSite, namespace: str, account: str, role: str) -> Step:
    planned = Planned("pod identity", f"{namespace}/{account}", f"role {site.names.role(role)}")

    def find(ids: ResourceIds) -> str | None:
        request = {"clusterName": site.names.cluster, "namespace": namespace, "serviceAccount": account}
        with suppress(NotFound):  # the cluster does not exist yet
            for association in site.aws.pages(
                "eks", "ListPodIdentityAssociations", "associations", request, about=planned.title
            ):
                return str(association["associationId"])
        return None

    def create(ids: ResourceIds) -> str:
        request = control.identity(site.names, namespace, account, role)
        response = site.aws.call_eventually(
            "eks", "CreatePodIdentityAssociation", request, about=planned.title, is_transient=is_role_unknown
        )
        return str(response["association"]["associationId"])

    return Step(f"identity-{account}", planned, find, create)
