"""Steps for the control plane, add-ons and pod identities."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.creation_steps import Made, Repair, Step
from orchestune.clusters.aws.errors import already
from orchestune.clusters.aws.inputs import ClusterSite
from orchestune.clusters.aws.names import TAG
from orchestune.clusters.aws.offerings import addon_version
from orchestune.clusters.aws.requests import control
from orchestune.domain.clusters.cluster import Planned
from orchestune.errors import Conflict, NotFound, OrchestuneError

_CLUSTER_SECONDS = 2400.0
_ADDON_SECONDS = 1200.0
_ADDON_FAILED = "CREATE_FAILED"
_ROLE_WORDS = ("role", "assume", "trust")


def role_unknown(code: str, message: str) -> bool:
    """Return True if EKS does not know a new role yet."""
    said = message.lower()
    wrong = code in ("InvalidParameterException", "InvalidRequestException")
    return wrong and any(word in said for word in _ROLE_WORDS) and "not authorized" not in said


def described(aws: Aws, name: str) -> dict[str, Any] | None:
    """Return the cluster, regardless of who created it; None if absent."""
    found = aws.find("eks", "DescribeCluster", {"name": name}, about=f"cluster {name}")
    return found and dict(found["cluster"])


def ours(found: dict[str, Any]) -> bool:
    """Return True if Orchestune created the cluster."""
    return bool((found.get("tags") or {}).get(TAG) == found["name"])


def cluster(site: ClusterSite) -> Step:
    """Return the step for the control plane."""
    name = site.spec.name
    network = site.spec.network
    of_whom = f" for {', '.join(network.allow)}" if network.allow else ""
    detail = f"EKS, Kubernetes {site.version}, {network.endpoint} endpoint{of_whom}"
    planned = Planned("control plane", name, detail)

    def find(made: Made) -> str | None:
        found = described(site.aws, name)
        if found is None:
            return None
        if not ours(found):
            raise Conflict(f"there is a cluster '{name}' in {site.names.region} already, which is not ours",
                           "choose another cluster_name")  # fmt: skip
        if found["status"] == "DELETING":
            raise Conflict(f"the cluster '{name}' is being removed", "repeat the command when it is gone")
        return name

    def make(made: Made) -> str:
        request = control.cluster(site.spec, site.names, site.version, site.for_control(made))
        site.aws.settled("eks", "CreateCluster", request, about=planned.called, unknown=_not_known_yet)
        return name

    def settle(made: Made, beat: Callable[[], None]) -> None:
        site.aws.wait(lambda: cluster_state(site.aws, name), _CLUSTER_SECONDS, planned.called, beat)

    return Step("cluster", planned, find, make, settle)


def _not_known_yet(code: str, message: str) -> bool:
    missing = code in ("InvalidParameterException", "ResourceNotFoundException") and "subnet" in message.lower()
    return missing or role_unknown(code, message)


def cluster_state(aws: Aws, name: str) -> str | None:
    """Return the state while it is not ACTIVE, else None. Raises OrchestuneError if the creation failed."""
    found = described(aws, name)
    state = str(found["status"]) if found else "not there"
    if state == "FAILED" and found:
        raise OrchestuneError(f"control plane {name}: {issues(found) or 'it failed'}",
                              f"`orchestune cluster destroy -n {name}` removes it")  # fmt: skip
    return None if state == "ACTIVE" else state


def update_state(aws: Aws, asked: dict[str, str], about: str) -> str | None:
    """Return "changing" while an update of a cluster or node group runs, else None. Raises if it failed."""
    found = aws.call("eks", "DescribeUpdate", asked, about=about)["update"]
    if found["status"] in ("Failed", "Cancelled"):
        why = "; ".join(str(item.get("errorMessage", "")) for item in found.get("errors") or ())
        raise OrchestuneError(f"{about}: {why or 'the change failed'}")
    return None if found["status"] == "Successful" else "changing"


def issues(found: dict[str, Any]) -> str:
    """Return the health issues that EKS reports for a cluster, node group or add-on."""
    return "; ".join(str(item.get("message", "")) for item in (found.get("health") or {}).get("issues") or ())


def addons(site: ClusterSite, names: Iterable[str]) -> list[Step]:
    """Return steps for add-ons; all start before the first one is waited for."""
    return [_addon(site, name) for name in names]


def _addon(site: ClusterSite, name: str) -> Step:
    planned = Planned("add-on", name)
    asked = {"clusterName": site.names.cluster, "addonName": name}

    def look() -> dict[str, Any] | None:
        found = site.aws.find("eks", "DescribeAddon", asked, about=planned.called)
        return found and dict(found["addon"])

    def find(made: Made) -> str | None:
        found = look()
        return name if found and found["status"] != "DELETING" else None

    def make(made: Made) -> str:
        version = addon_version(site.aws, name, site.version)
        request = control.addon(site.names, name, version)
        with already("ResourceInUseException"):  # still being deleted; `settle` waits for that
            site.aws.settled("eks", "CreateAddon", request, about=planned.called, unknown=role_unknown)
        return name

    def lacks(made: Made) -> list[Repair]:
        """Delete a failed add-on, which never recovers; `settle` recreates it."""
        found = look()
        if found is None or found["status"] != _ADDON_FAILED:
            return []
        why = f", since it failed: {issues(found)}" if issues(found) else ", since it failed"
        return [Repair(f"made anew{why}", remove)]

    def remove() -> None:
        with suppress(NotFound):
            site.aws.call("eks", "DeleteAddon", asked, about=planned.called)

    def settle(made: Made, beat: Callable[[], None]) -> None:
        def state() -> str | None:
            found = look()
            if found is None:
                make(made)
                return "not there"
            if found["status"] == _ADDON_FAILED:
                why = issues(found) or "it failed"
                raise OrchestuneError(f"{planned.called}: {why}", "mend that; the same command makes it anew")
            now = str(found["status"])
            return None if now == "ACTIVE" else f"{now} ({issues(found)})" if issues(found) else now

        site.aws.wait(state, _ADDON_SECONDS, planned.called, beat)

    return Step(f"addon-{name}", planned, find, make, settle, "add-ons", lacks)


def identities(site: ClusterSite) -> list[Step]:
    """Return steps that bind service accounts to roles."""
    return [_identity(site, *item) for item in control.identities(site.spec)]


def _identity(site: ClusterSite, namespace: str, account: str, role: str) -> Step:
    planned = Planned("pod identity", f"{namespace}/{account}", f"role {site.names.role(role)}")

    def find(made: Made) -> str | None:
        asked = {"clusterName": site.names.cluster, "namespace": namespace, "serviceAccount": account}
        with suppress(NotFound):  # the cluster does not exist yet
            for item in site.aws.pages(
                "eks", "ListPodIdentityAssociations", "associations", asked, about=planned.called
            ):
                return str(item["associationId"])
        return None

    def make(made: Made) -> str:
        request = control.identity(site.names, namespace, account, role)
        answer = site.aws.settled(
            "eks", "CreatePodIdentityAssociation", request, about=planned.called, unknown=role_unknown
        )
        return str(answer["association"]["associationId"])

    return Step(f"identity-{account}", planned, find, make)
