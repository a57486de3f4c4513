"""An API server that remembers what it is asked to create, and a Kubernetes backend on it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, cast

from orchestune.backends.kubernetes import allow_list
from orchestune.backends.kubernetes.backend import KubernetesBackend
from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.domain.access.allowances import Allowances
from orchestune.errors import NotFound
from orchestune.kubeapi.client import ApiServer
from orchestune.kubeapi.labels import SERVERS

Document = dict[str, Any]
NAMESPACE = "/api/v1/namespaces/ml"


class Cluster:
    """One large node, and objects that tests name. Fulfils what the backend needs of `ApiServer`."""

    def __init__(self) -> None:
        self.objects: dict[str, Document] = {f"{NAMESPACE}/persistentvolumeclaims/disk": _ours("disk")}
        self.created: list[Document] = []
        self.requested: list[str] = []
        """paths of objects that were read"""
        self._ending = threading.Event()

    def call(self, method: str, path: str, body: object = None, **_: Any) -> Document:
        if method == "POST":
            document = cast(Document, body)
            self.created.append(document)
            return {**document, "metadata": {**document["metadata"], "uid": "1"}}
        self.requested.append(path)
        if path == "/version":
            return {"gitVersion": "v1.36.3"}
        if path in self.objects or path.rpartition("/")[2] in ("datasets", "trainer", "ml"):
            return self.objects.get(path, {"metadata": {"name": "x"}})
        raise NotFound(f"there is no {path}")

    def delete_object(self, path: str, options: Mapping[str, object]) -> bool:
        return True

    def pages(self, path: str, query: Mapping[str, object]) -> Iterator[Document]:
        status = {"allocatable": {"cpu": "64"}, "conditions": [{"type": "Ready", "status": "True"}]}
        node = {"metadata": {"name": "n1", "labels": {"kubernetes.io/os": "linux"}}, "spec": {}, "status": status}
        yield {"items": [node] if path.endswith("/nodes") else []}

    def watch(self, path: str, query: Mapping[str, object], since: str) -> Cluster:
        return self

    def __iter__(self) -> Iterator[tuple[str, Document]]:
        self._ending.wait()
        return iter(())

    def hang_up(self) -> None:
        self._ending.set()

    def store_allow_list(self, *allow: str) -> None:
        """Store an allow-list as `cluster connect` does."""
        data = {"kubernetes.json": json.dumps({"allow": allow})}
        self.objects[f"{NAMESPACE}/configmaps/orchestune-config"] = {"metadata": {}, "data": data}

    def jobs(self) -> list[Document]:
        """The Jobs that were created."""
        return [document for document in self.created if document["kind"] == "Job"]


def backend_on(cluster: Cluster, *allow: str) -> KubernetesBackend:
    """A backend whose administrator allows that, beside what experiments have anyway."""
    config = KubernetesConfig("lab", "ml", "http://o", "server:1", allow=Allowances.of(allow), image_volumes=True)
    return KubernetesBackend(config, cast(ApiServer, cluster))


def replica_on(cluster: Cluster) -> KubernetesBackend:
    """The backend of a replica in a pod, started by the allow-list that the cluster stores at this moment."""
    api = cast(ApiServer, cluster)
    allowances = partial(allow_list.stored, api, "ml")
    config = KubernetesConfig("lab", "ml", "http://o", "server:1", allow=allowances(), image_volumes=True)
    return KubernetesBackend(config, api, allowances=allowances)


def _ours(name: str) -> Document:
    """The server's own disk under a name that does not say so."""
    return {"metadata": {"name": name, "labels": dict(SERVERS)}}
