"""Storage of experiments' secrets as Secrets of the cluster; no value is written to the server's disk."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Mapping

from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.backends.kubernetes.objects.labels import EXPERIMENT
from orchestune.errors import BadInput, Conflict, NotFound
from orchestune.kubeapi.client import ApiServer, Document
from orchestune.kubeapi.labels import COMPONENT, OWN_LABELS, are_in

_KEY = "values.json"
"""one key for all values: not every variable name is a valid key of a Secret"""
_MAX_CACHED_EXPERIMENTS = 256


class KubernetesSecrets:
    """A `SecretStore`. Values are cached in memory, so that registering a worker needs no request to the cluster."""

    def __init__(self, api: ApiServer, config: KubernetesConfig) -> None:
        self._api, self._config = api, config
        self._lock = threading.Lock()
        self._cache: dict[str, dict[str, str]] = {}

    def put(self, experiment: str, values: Mapping[str, str]) -> None:
        if not values:
            return self.delete(experiment)
        self._forget(experiment)
        manifest = secret(self._config, experiment, values)
        try:
            self._api.call("POST", self._collection(), manifest)
        except Conflict:
            self._check_ours(experiment)
            self._api.call(
                "PATCH", self._path(experiment), {"data": manifest["data"]}, content_type="application/merge-patch+json"
            )

    def get(self, experiment: str) -> dict[str, str]:
        with self._lock:
            if experiment in self._cache:
                return dict(self._cache[experiment])
        try:
            document = self._api.call("GET", self._path(experiment))
        except NotFound:
            values: dict[str, str] = {}
        else:
            values = json.loads(base64.b64decode((document.get("data") or {}).get(_KEY, "e30=")))
        with self._lock:
            while len(self._cache) >= _MAX_CACHED_EXPERIMENTS:
                del self._cache[next(iter(self._cache))]
            self._cache[experiment] = values
        return dict(values)

    def delete(self, experiment: str) -> None:
        self._forget(experiment)
        self._api.delete_object(self._path(experiment), {})

    def _forget(self, experiment: str) -> None:
        with self._lock:
            self._cache.pop(experiment, None)

    def _check_ours(self, experiment: str) -> None:
        existing = self._api.call("GET", self._path(experiment))
        if not are_in(OWN_LABELS, existing["metadata"].get("labels")):
            raise Conflict(f"the Secret {name(experiment)} is there already, and not ours")

    def _collection(self) -> str:
        return f"/api/v1/namespaces/{self._config.namespace}/secrets"

    def _path(self, experiment: str) -> str:
        return f"{self._collection()}/{name(experiment)}"


def name(experiment: str) -> str:
    """Return the name of an experiment's Secret. Raises BadInput if that is not an experiment id."""
    if not re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,60}[a-z0-9])?", experiment):
        raise BadInput.one("the name of an experiment's secrets is not an experiment's id")
    return f"orchestune-secrets-{experiment}"


def secret(config: KubernetesConfig, experiment: str, values: Mapping[str, str]) -> Document:
    """Return the Secret. Values have at most `create_experiment.MAX_SECRETS_BYTES` bytes, and a Secret holds 1 MiB."""
    content = json.dumps(dict(values)).encode()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name(experiment),
            "namespace": config.namespace,
            "labels": {**OWN_LABELS, COMPONENT: "secret", EXPERIMENT: experiment},
        },
        "type": "Opaque",
        "data": {_KEY: base64.b64encode(content).decode("ascii")},
    }
