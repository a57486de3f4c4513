"""The API of a cluster over plain requests: apply, get, list, delete. Its errors become ours here."""

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
_SECONDS = 30.0
_PAGE = 500


def _user(remedy: str) -> Asker:
    """Whoever runs a command; `remedy` is what helps where the cluster does not know him."""
    return Asker(
        "this user",
        lambda: Denied(
            "the cluster does not know this user: the login is somebody else's, or has expired",
            f"{remedy}; then repeat the command",
        ),
        lambda verb, resource: (
            f"an administrator can grant the verb `{verb}` on `{resource}`; docs/how-to/permissions.md lists all"
        ),
    )


class Api:
    """One context of a kubeconfig. Blocking; every call may be repeated.

    Unreachable where the API server does not answer, Denied (verb and resource named) where it refuses, NotFound,
    Conflict, UsageError with the API server's words where what was sent is wrong.
    """

    def __init__(self, kubeconfig: str | None = None, context: str | None = None) -> None:
        import urllib3  # costs a tenth of a second, which no other command shall pay

        self.kubeconfig, self.context = kubeconfig, context
        self._endpoint = load(kubeconfig, context)
        self.host = self._endpoint.host
        self._broken = (urllib3.exceptions.HTTPError, OSError)
        self._pool = self._endpoint.pool()
        self._timeout = urllib3.Timeout(connect=10.0, read=_SECONDS)

    def call(self, method: str, place: str, body: Any = None, kind: str = "application/json", **query: Any) -> Manifest:
        """The document that the API server answers."""
        text = self.text(method, place, body, kind, **query)
        return answered(text, _user(self._endpoint.remedy))

    def text(self, method: str, place: str, body: Any = None, kind: str = "application/json", **query: Any) -> str:
        """What the API server answers, as it stands."""
        headers = {"Accept": "application/json", "Content-Type": kind, **self._endpoint.login()}
        given = {key: value for key, value in query.items() if value is not None}
        url = f"{self.host}{place}" + (f"?{urlencode(given)}" if given else "")
        data = None if body is None else json.dumps(body).encode()
        try:
            response = self._pool.request(
                method, url, body=data, headers=headers, timeout=self._timeout, retries=2, redirect=False
            )
        except self._broken as exc:
            raise Unreachable(
                f"the cluster's API server {self.host} cannot be reached: {cause(exc)}",
                "is the context the right one, and the network or VPN up?",
            ) from exc
        content = response.data.decode("utf-8", "replace")
        if response.status >= 300:
            raise refusal(response.status, content, _user(self._endpoint.remedy))
        return content

    def get(self, version: str, kind: str, name: str, namespace: str | None = None) -> Manifest | None:
        """One object; None where there is none."""
        try:
            return self.call("GET", f"{collection(version, kind, namespace)}/{name}")
        except NotFound:
            return None

    def items(
        self, version: str, kind: str, namespace: str | None = None, selector: str | None = None
    ) -> Iterator[Manifest]:
        """All objects of a kind, page by page."""
        after: str | None = None
        while True:
            query: dict[str, Any] = {"labelSelector": selector, "limit": _PAGE, "continue": after}
            page = self.call("GET", collection(version, kind, namespace), None, **query)
            for item in page.get("items") or ():
                yield {"apiVersion": version, "kind": kind, **item}
            after = page.get("metadata", {}).get("continue")
            if not after:
                return

    def apply(self, document: Manifest) -> Manifest:
        """Bring the object to what the document says, on the server's side, under our own field manager."""
        _check_owner(self, document)
        return self.call(
            "PATCH", path(document), document, "application/apply-patch+yaml", fieldManager=MANAGER, force="true"
        )

    def create(self, document: Manifest) -> Manifest:
        """Make a new object; Conflict where there is one of that name."""
        place = collection(document["apiVersion"], document["kind"], document["metadata"].get("namespace"))
        return self.call("POST", place, document, fieldManager=MANAGER)

    def delete(self, document: Manifest) -> bool:
        """Remove an object and what it owns; whether there was one."""
        try:
            self.call("DELETE", path(document), {"propagationPolicy": "Foreground"})
        except NotFound:
            return False
        return True

    def has_group(self, group: str) -> bool:
        """Whether the cluster has an API group, that of OpenShift or of Kueue for instance."""
        return any(item["name"] == group for item in self.call("GET", "/apis")["groups"])

    def who_am_i(self) -> str:
        """The name under which the cluster knows this user; empty where it does not say."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        try:
            answer = self.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body)
        except OrchestuneError as exc:
            if isinstance(exc, Unreachable):
                raise
            return ""
        return str(answer.get("status", {}).get("userInfo", {}).get("username", ""))


def _check_owner(api: Api, document: Manifest) -> None:
    """Conflict where an object of that name is somebody else's: we do not take over what is not ours."""
    metadata = document["metadata"]
    found = api.get(document["apiVersion"], document["kind"], metadata["name"], metadata.get("namespace"))
    if found is None or document["kind"] == "Namespace":
        return
    if not are_in(OURS, found["metadata"].get("labels")):
        raise Conflict(
            f"there is a {called(document)} already, which is not ours", "choose another namespace with --namespace"
        )
