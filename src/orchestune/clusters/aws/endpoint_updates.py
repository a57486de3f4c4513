"""`update`: access to the API server's endpoint (public or private)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestune.clusters.aws.inputs import ClusterSite
from orchestune.clusters.aws.requests import control
from orchestune.clusters.aws.steps.control import cluster_state, described, update_state
from orchestune.domain.clusters.cluster import CompletedStep, Planned, ProvisioningEvent
from orchestune.ports.provisioner import Say

_SECONDS = 1800.0


def planned(site: ClusterSite) -> list[Planned]:
    """Return at most one planned change."""
    shown = (described(site.aws, site.spec.name) or {}).get("resourcesVpcConfig") or {}
    now, wanted = _answers(shown), _answers(control.endpoint(site.spec.network))
    return [Planned("endpoint", site.spec.name, f"{now} → {wanted}")] if now != wanted else []


def change(site: ClusterSite, say: Say, beat: Callable[[], None]) -> None:
    """Update endpoint access to the file's setting, after waiting for an update begun by an earlier run."""
    site.aws.wait(lambda: cluster_state(site.aws, site.spec.name), _SECONDS, f"control plane {site.spec.name}", beat)
    for what in planned(site):
        _change(site, what, say, beat)


def _change(site: ClusterSite, what: Planned, say: Say, beat: Callable[[], None]) -> None:
    aws, began, about = site.aws, site.aws.clock(), what.called
    say(ProvisioningEvent(CompletedStep.WAITING, what))
    request = {"name": site.spec.name, "resourcesVpcConfig": control.endpoint(site.spec.network)}
    answer = aws.call("eks", "UpdateClusterConfig", request, about=about)
    asked = {"name": site.spec.name, "updateId": answer["update"]["id"]}

    def alive() -> None:
        beat()
        say(ProvisioningEvent(CompletedStep.WAITING, what, aws.clock() - began))

    aws.wait(lambda: update_state(aws, asked, about), _SECONDS, about, alive)
    say(ProvisioningEvent(CompletedStep.CHANGED, what, aws.clock() - began))


def _answers(config: dict[str, Any]) -> str:
    """Describe the endpoint access for people."""
    if not config.get("endpointPublicAccess"):
        return "private"
    return f"public, for {', '.join(sorted(config.get('publicAccessCidrs') or [control.EVERYWHERE]))}"
