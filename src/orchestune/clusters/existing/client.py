"""The API of a cluster over plain requests: apply, get, list, delete. Its errors become ours here."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from orchestune.clusters.existing.config import MANAGER, SELECTOR
from orchestune.clusters.existing.failures import refusal
from orchestune.clusters.existing.objects import called, collection, path
from orchestune.errors import Conflict, NotFound, OrchestuneError, Unreachable, UsageError

Manifest = dict[str, Any]
_SECONDS = 30.0
_PAGE = 500


class Api:
    """One context of a kubeconfig. Blocking; every call may be repeated.

    Unreachable where the API server does not answer, Denied (verb and resource named) where it refuses, NotFound,
    Conflict, UsageError with the API server's words where what was sent is wrong.
    """

    def __init__(self, kubeconfig: str | None = None, context: str | None = None) -> None:
        import kubernetes  # takes half a second, which no other command shall pay
        import urllib3
        from kubernetes.config.config_exception import ConfigException

        self.kubeconfig, self.context = kubeconfig, context
        configuration = kubernetes.client.Configuration()
        try:
            kubernetes.config.load_kube_config(  # type: ignore[no-untyped-call]
                _file(kubeconfig), context, configuration, persist_config=False
            )
        except (ConfigException, OSError, ValueError, KeyError, TypeError) as exc:
            raise _unusable(kubeconfig, context, exc) from exc
        self.configuration = configuration
        self._broken = (urllib3.exceptions.HTTPError, OSError)
        self._pool = kubernetes.client.ApiClient(configuration).rest_client.pool_manager
        self._timeout = urllib3.Timeout(connect=10.0, read=_SECONDS)

    def call(self, method: str, place: str, body: Any = None, kind: str = "application/json", **query: Any) -> Manifest:
        """The document that the API server answers."""
        text = self.text(method, place, body, kind, **query)
        document: Manifest = json.loads(text) if text else {}
        return document

    def text(self, method: str, place: str, body: Any = None, kind: str = "application/json", **query: Any) -> str:
        """What the API server answers, as it stands."""
        headers = {"Accept": "application/json", "Content-Type": kind}
        settings: Mapping[str, Any] = self.configuration.auth_settings()
        for auth in settings.values():
            if auth.get("in") == "header" and auth.get("value"):
                headers[auth["key"]] = auth["value"]
        given = {key: value for key, value in query.items() if value is not None}
        url = f"{self.configuration.host.rstrip('/')}{place}" + (f"?{urlencode(given)}" if given else "")
        data = None if body is None else json.dumps(body).encode()
        try:
            response = self._pool.request(
                method, url, body=data, headers=headers, timeout=self._timeout, retries=2, redirect=False
            )
        except self._broken as exc:
            where = self.configuration.host
            raise Unreachable(
                f"the cluster's API server {where} cannot be reached: {_cause(exc)}",
                "is the context the right one, and the network or VPN up?",
            ) from exc
        content = response.data.decode("utf-8", "replace")
        if response.status >= 400:
            raise refusal(response.status, content, method, place)
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


def contexts(kubeconfig: str, context: str | None) -> tuple[str, str]:
    """The context that is meant (None: the current one) and its namespace. UsageError where there is none."""
    from kubernetes import config
    from kubernetes.config.config_exception import ConfigException

    try:
        found, current = config.list_kube_config_contexts(kubeconfig)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError, ValueError, KeyError, TypeError) as exc:
        raise _unusable(kubeconfig, context, exc) from exc
    by_name = {item["name"]: item for item in found}
    chosen = by_name.get(context) if context else current
    if chosen is None:
        raise UsageError(
            f"the kubeconfig {kubeconfig} has no context {context}", f"it has {', '.join(sorted(by_name)) or 'none'}"
        )
    return str(chosen["name"]), str(chosen.get("context", {}).get("namespace") or "default")


def _check_owner(api: Api, document: Manifest) -> None:
    """Conflict where an object of that name is somebody else's: we do not take over what is not ours."""
    metadata = document["metadata"]
    found = api.get(document["apiVersion"], document["kind"], metadata["name"], metadata.get("namespace"))
    if found is None or document["kind"] == "Namespace":
        return
    labels: Mapping[str, str] = found["metadata"].get("labels") or {}
    if not all(labels.get(key) == value for key, value in (pair.split("=") for pair in SELECTOR.split(","))):
        raise Conflict(
            f"there is a {called(document)} already, which is not ours", "choose another namespace with --namespace"
        )


def _file(kubeconfig: str | None) -> str | None:
    return str(Path(kubeconfig).expanduser()) if kubeconfig else os.environ.get("KUBECONFIG")


def _unusable(kubeconfig: str | None, context: str | None, exc: Exception) -> UsageError:
    which = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    wanted = f" with the context {context}" if context else ""
    return UsageError(
        f"the kubeconfig {which}{wanted} cannot be used: {exc}", "name others with --kubeconfig and --context"
    )


def _cause(exc: BaseException) -> str:
    inner = getattr(exc, "reason", None) or exc
    text = str(inner) or type(inner).__name__
    return text.rpartition(">: ")[2] or text
