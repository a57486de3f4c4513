"""Objects of a cluster for the command line: apply, get, list, create and delete."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from orchestune.clusters.existing.config import MANAGER
from orchestune.clusters.existing.objects import collection, display_name, path
from orchestune.errors import Conflict, Denied, NotFound, OrchestuneError, Unreachable
from orchestune.kubeapi.client import ApiServer, RequestPolicy
from orchestune.kubeapi.errors import ApiCaller
from orchestune.kubeapi.kubeconfig import load
from orchestune.kubeapi.labels import OWN_LABELS, are_in

Manifest = dict[str, Any]
_POLICY = RequestPolicy(connect_timeout=10.0, read_timeout=30.0, retries=2)
_USER = ApiCaller(
    "this user",
    lambda remedy: Denied(
        "the cluster rejects this user's login: it is invalid or has expired",
        f"{remedy}; then repeat the command",
    ),
    lambda verb, resource: (
        f"an administrator can grant the verb `{verb}` on `{resource}`; docs/how-to/permissions.md lists all"
    ),
    network_hint="check the context, the network and the VPN",
)


class ContextClient(ApiServer):
    """The API server of one context of a kubeconfig, with objects as plain dicts."""

    def __init__(self, kubeconfig: str | None = None, context: str | None = None) -> None:
        """Log in as the kubeconfig says. Raises UsageError if it is unusable, Denied if its login program fails."""
        super().__init__(partial(load, kubeconfig, context), _USER, _POLICY)
        self.open()

    def get(self, version: str, kind: str, name: str, namespace: str | None = None) -> Manifest | None:
        """Return one object; None if absent."""
        try:
            return self.call("GET", f"{collection(version, kind, namespace)}/{name}")
        except NotFound:
            return None

    def items(
        self, version: str, kind: str, namespace: str | None = None, selector: str | None = None
    ) -> Iterator[Manifest]:
        """Yield all objects of a kind, fetched page by page."""
        for page in self.pages(collection(version, kind, namespace), {"labelSelector": selector}):
            for item in page.get("items") or ():
                yield {"apiVersion": version, "kind": kind, **item}

    def apply(self, document: Manifest) -> Manifest:
        """Apply the object server-side under the field manager `MANAGER`, taking over conflicting fields."""
        _check_owner(self, document)
        query = {"fieldManager": MANAGER, "force": "true"}
        return self.call("PATCH", path(document), document, "application/apply-patch+yaml", query=query)

    def create(self, document: Manifest) -> Manifest:
        """Create an object. Raises Conflict if the name exists."""
        place = collection(document["apiVersion"], document["kind"], document["metadata"].get("namespace"))
        return self.call("POST", place, document, query={"fieldManager": MANAGER})

    def delete(self, document: Manifest) -> bool:
        """Delete an object and its dependents (foreground). Return False if it did not exist."""
        return self.delete_object(path(document), {"propagationPolicy": "Foreground"})

    def has_group(self, group: str) -> bool:
        """Return True if the cluster serves an API group, for example that of OpenShift or Kueue."""
        return any(item["name"] == group for item in self.call("GET", "/apis")["groups"])

    def who_am_i(self) -> str:
        """Return the user name that the cluster assigns to this client; empty if unknown."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        try:
            answer = self.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body)
        except OrchestuneError as exc:
            if isinstance(exc, Unreachable):
                raise
            return ""
        return str(answer.get("status", {}).get("userInfo", {}).get("username", ""))


def _check_owner(api: ContextClient, document: Manifest) -> None:
    """Raise Conflict if an object of that name exists without Orchestune's labels. Namespaces are exempt."""
    metadata = document["metadata"]
    existing = api.get(document["apiVersion"], document["kind"], metadata["name"], metadata.get("namespace"))
    if existing is None or document["kind"] == "Namespace":
        return
    if not are_in(OWN_LABELS, existing["metadata"].get("labels")):
        raise Conflict(
            f"the {display_name(document)} exists already and is not ours", "choose another namespace with --namespace"
        )
