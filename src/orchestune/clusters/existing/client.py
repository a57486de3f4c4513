"""Blocking Kubernetes API client: apply, get, list, delete. Maps API errors to Orchestune's exceptions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from orchestune.clusters.existing.config import MANAGER
from orchestune.clusters.existing.objects import called, collection, path
from orchestune.errors import Conflict, Denied, NotFound, OrchestuneError, Unreachable
from orchestune.kubeapi.endpoint import cause
from orchestune.kubeapi.kubeconfig import load
from orchestune.kubeapi.labels import OURS, are_in
from orchestune.kubeapi.refusals import Asker, answered, refusal

Manifest = dict[str, Any]
_READ_TIMEOUT = 30.0  # seconds
_PAGE_SIZE = 500  # objects per list request


def _user_errors(remedy: str) -> Asker:
    """Return the `Asker` for a user on the command line; `remedy` is the hint if authentication fails."""
    return Asker(
        "this user",
        lambda: Denied(
            "the cluster rejects this user's login: it is invalid or has expired",
            f"{remedy}; then repeat the command",
        ),
        lambda verb, resource: (
            f"an administrator can grant the verb `{verb}` on `{resource}`; docs/how-to/permissions.md lists all"
        ),
    )


class ContextClient:
    """Client for one context of a kubeconfig. Blocking; every call may be retried.

    Raises Unreachable if the API server does not answer, Denied (naming verb and resource) if it refuses, NotFound,
    Conflict, or UsageError with the API server's message if the request is invalid.
    """

    def __init__(self, kubeconfig: str | None = None, context: str | None = None) -> None:
        import urllib3  # importing takes 0.1 s, which other commands must not pay

        self.kubeconfig, self.context = kubeconfig, context
        self._endpoint = load(kubeconfig, context)
        self.host = self._endpoint.host
        self._connection_errors = (urllib3.exceptions.HTTPError, OSError)
        self._pool = self._endpoint.pool()
        self._timeout = urllib3.Timeout(connect=10.0, read=_READ_TIMEOUT)

    def call(self, method: str, place: str, body: Any = None, kind: str = "application/json", **query: Any) -> Manifest:
        """Send a request and return the JSON document of the response."""
        text = self.text(method, place, body, kind, **query)
        return answered(text, _user_errors(self._endpoint.remedy))

    def text(self, method: str, place: str, body: Any = None, kind: str = "application/json", **query: Any) -> str:
        """Send a request and return the response body as text."""
        headers = {"Accept": "application/json", "Content-Type": kind, **self._endpoint.login()}
        parameters = {key: value for key, value in query.items() if value is not None}
        url = f"{self.host}{place}" + (f"?{urlencode(parameters)}" if parameters else "")
        payload = None if body is None else json.dumps(body).encode()
        try:
            response = self._pool.request(
                method, url, body=payload, headers=headers, timeout=self._timeout, retries=2, redirect=False
            )
        except self._connection_errors as exc:
            raise Unreachable(
                f"the cluster's API server {self.host} cannot be reached: {cause(exc)}",
                "check the context, the network and the VPN",
            ) from exc
        content = response.data.decode("utf-8", "replace")
        if response.status >= 300:
            raise refusal(response.status, content, _user_errors(self._endpoint.remedy))
        return content

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
        after: str | None = None
        while True:
            query: dict[str, Any] = {"labelSelector": selector, "limit": _PAGE_SIZE, "continue": after}
            page = self.call("GET", collection(version, kind, namespace), None, **query)
            for item in page.get("items") or ():
                yield {"apiVersion": version, "kind": kind, **item}
            after = page.get("metadata", {}).get("continue")
            if not after:
                return

    def apply(self, document: Manifest) -> Manifest:
        """Apply the object server-side under the field manager `MANAGER`, taking over conflicting fields."""
        _check_owner(self, document)
        return self.call(
            "PATCH", path(document), document, "application/apply-patch+yaml", fieldManager=MANAGER, force="true"
        )

    def create(self, document: Manifest) -> Manifest:
        """Create an object. Raises Conflict if the name exists."""
        place = collection(document["apiVersion"], document["kind"], document["metadata"].get("namespace"))
        return self.call("POST", place, document, fieldManager=MANAGER)

    def delete(self, document: Manifest) -> bool:
        """Delete an object and its dependents (foreground). Return False if it did not exist."""
        try:
            self.call("DELETE", path(document), {"propagationPolicy": "Foreground"})
        except NotFound:
            return False
        return True

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
    if not are_in(OURS, existing["metadata"].get("labels")):
        raise Conflict(
            f"the {called(document)} exists already and is not ours", "choose another namespace with --namespace"
        )
