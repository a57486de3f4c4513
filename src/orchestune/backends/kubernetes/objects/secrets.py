"""Stores experiments' secrets as Kubernetes Secrets; no value is written to the server's disk."""

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
_NO_VALUES = "e30="
"""base64 of {}"""
_MAX_CACHED_EXPERIMENTS = 256


class KubernetesSecrets:
    """A `SecretStore`. Values are cached in memory, so that registering a worker needs no request to the cluster."""

    def __init__(self, api: ApiServer, config: KubernetesConfig) -> None:
        self._api, self._config = api, config
        self._lock = threading.Lock()
        self._cache: dict[str, dict[str, str]] = {}
        self._writes = 0
        """number of finished writes: `get` caches what it has read only if none finished in the meantime"""

    def put(self, experiment: str, values: Mapping[str, str]) -> None:
        if not values:  # no Secret is kept for an experiment without values
            return self.delete(experiment)
        manifest = secret_manifest(self._config, experiment, values)
        try:
            self._write(experiment, manifest)
        finally:  # even a write that fails, for example by a timeout, may have been applied
            self._forget(experiment)

    def get(self, experiment: str) -> dict[str, str]:
        with self._lock:
            if experiment in self._cache:
                return dict(self._cache[experiment])
            writes = self._writes
        try:
            document = self._api.call("GET", self._path(experiment))
        except NotFound:
            values: dict[str, str] = {}
        else:
            values = json.loads(base64.b64decode((document.get("data") or {}).get(_KEY, _NO_VALUES)))
        with self._lock:
            if writes == self._writes:
                while len(self._cache) >= _MAX_CACHED_EXPERIMENTS:
                    del self._cache[next(iter(self._cache))]
                self._cache[experiment] = values
        return dict(values)

    def delete(self, experiment: str) -> None:
        try:
            self._api.delete_object(self._path(experiment), {})
        finally:
            self._forget(experiment)

    def _write(self, experiment: str, manifest: Document) -> None:
        try:
            self._api.call("POST", self._collection(), manifest)
        except Conflict:
            self._check_managed_by_us(experiment)
            data = {"data": manifest["data"]}
            self._api.call("PATCH", self._path(experiment), data, content_type="application/merge-patch+json")

    def _forget(self, experiment: str) -> None:
        """Drop the cached values. Called after a write: before it, a concurrent `get` could cache the old ones."""
        with self._lock:
            self._writes += 1
            self._cache.pop(experiment, None)

    def _check_managed_by_us(self, experiment: str) -> None:
        """Raise Conflict if the existing Secret was not created by Orchestune."""
        existing = self._api.call("GET", self._path(experiment))
        if not are_in(OWN_LABELS, existing["metadata"].get("labels")):
            raise Conflict(f"the Secret {secret_name(experiment)} already exists and does not belong to Orchestune")

    def _collection(self) -> str:
        return f"/api/v1/namespaces/{self._config.namespace}/secrets"

    def _path(self, experiment: str) -> str:
        return f"{self._collection()}/{secret_name(experiment)}"


def secret_name(experiment: str) -> str:
    """Return the name of an experiment's Secret. Raises BadInput if that is not an experiment id."""
    if not re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,60}[a-z0-9])?", experiment):
        raise BadInput.one("the name of an experiment's secrets is not an experiment's id")
    return f"orchestune-secrets-{experiment}"


def secret_manifest(config: KubernetesConfig, experiment: str, values: Mapping[str, str]) -> Document:
    """Build the Secret. Values have at most `create_experiment.MAX_SECRETS_BYTES` bytes, and a Secret holds 1 MiB."""
    content = json.dumps(dict(values)).encode()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": secret_name(experiment),
            "namespace": config.namespace,
            "labels": {**OWN_LABELS, COMPONENT: "secret", EXPERIMENT: experiment},
        },
        "type": "Opaque",
        "data": {_KEY: base64.b64encode(content).decode("ascii")},
    }
