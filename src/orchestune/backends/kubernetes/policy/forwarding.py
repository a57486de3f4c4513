"""Keeps the server's pod names in the users' Roles; see `orchestune.kubeapi.forwarding`."""

from __future__ import annotations

import logging

from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.errors import NotFound, TemporaryError
from orchestune.kubeapi.client import ApiServer, Document
from orchestune.kubeapi.forwarding import ACCESS_ROLES, limit_forwarding, server_pods
from orchestune.kubeapi.labels import SERVERS, selector

log = logging.getLogger(__name__)

_TRIES = 3  # replicas that start together write the same Roles


class Forwarding:
    """A controller that runs on every replica, leading or not, and makes its own pod reachable.

    The server holds each right of these Roles itself, as Kubernetes requires of an account that writes a Role.
    """

    def __init__(self, api: ApiServer, config: KubernetesConfig) -> None:
        self._api = api
        self._namespace = config.namespace

    def tick(self) -> None:
        """Update the existing Roles. Blocking, idempotent; raises like `ApiServer.call`."""
        for _ in range(_TRIES - 1):
            try:
                return self._correct()
            except TemporaryError:  # most likely a conflict with another replica
                continue
        return self._correct()

    def _correct(self) -> None:
        # The Roles are read before the pods: if another replica adds a newer pod between this list and the update
        # below, the version of the Role has changed, and the update is refused instead of dropping that pod.
        roles = [role for name in ACCESS_ROLES if (role := self._role(name)) is not None]
        pods = f"/api/v1/namespaces/{self._namespace}/pods"
        names = server_pods(self._api.list_objects(pods, {"labelSelector": selector(SERVERS)})[0])
        for role in roles:
            rules = limit_forwarding(role.get("rules") or (), names)
            if rules != role.get("rules"):
                name, version = role["metadata"]["name"], role["metadata"]["resourceVersion"]
                update = {"metadata": {"resourceVersion": version}, "rules": rules}
                self._api.call("PATCH", self._path(name), update, content_type="application/merge-patch+json")
                log.info("the Role %s forwards ports to %s", name, ", ".join(names) or "no pod")

    def _role(self, name: str) -> Document | None:
        try:
            return self._api.call("GET", self._path(name))
        except NotFound:
            return None

    def _path(self, name: str) -> str:
        return f"/apis/rbac.authorization.k8s.io/v1/namespaces/{self._namespace}/roles/{name}"
