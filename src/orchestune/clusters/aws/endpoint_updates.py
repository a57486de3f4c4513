"""`update`: access to the API server's endpoint (public or private)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestune.clusters.aws.inputs import ClusterSite
from orchestune.clusters.aws.requests import control
from orchestune.clusters.aws.steps.control import cluster_state, describe_cluster, update_state
from orchestune.domain.clusters.cluster import CompletedStep, Planned, ProvisioningEvent
from orchestune.ports.provisioner import Say

_UPDATE_SECONDS = 1800.0


def planned(site: ClusterSite) -> list[Planned]:
    """Return at most one planned change."""
    config = (describe_cluster(site.aws, site.spec.name) or {}).get("resourcesVpcConfig") or {}
    current, desired = _describe_access(config), _describe_access(control.endpoint(site.spec.network))
    return [Planned("endpoint", site.spec.name, f"{current} → {desired}")] if current != desired else []


def change(site: ClusterSite, say: Say, heartbeat: Callable[[], None]) -> None:
    """Update endpoint access to the file's setting, after waiting for an update begun by an earlier run."""
    find_state = lambda: cluster_state(site.aws, site.spec.name)
    site.aws.wait(find_state, _UPDATE_SECONDS, f"control plane {site.spec.name}", heartbeat)
    for endpoint in planned(site):
        _change(site, endpoint, say, heartbeat)


def _change(site: ClusterSite, endpoint: Planned, say: Say, heartbeat: Callable[[], None]) -> None:
    aws, start, about = site.aws, site.aws.clock(), endpoint.title
    say(ProvisioningEvent(CompletedStep.WAITING, endpoint))
    config = {"name": site.spec.name, "resourcesVpcConfig": control.endpoint(site.spec.network)}
    response = aws.call("eks", "UpdateClusterConfig", config, about=about)
    request = {"name": site.spec.name, "updateId": response["update"]["id"]}

    def report_waiting() -> None:
        heartbeat()
        say(ProvisioningEvent(CompletedStep.WAITING, endpoint, aws.clock() - start))

    aws.wait(lambda: update_state(aws, request, about), _UPDATE_SECONDS, about, report_waiting)
    say(ProvisioningEvent(CompletedStep.CHANGED, endpoint, aws.clock() - start))


def _describe_access(config: dict[str, Any]) -> str:
    """Describe the endpoint access, for plans and events."""
    if not config.get("endpointPublicAccess"):
        return "private"
    return f"public, for {', '.join(sorted(config.get('publicAccessCidrs') or [control.EVERYWHERE]))}"
