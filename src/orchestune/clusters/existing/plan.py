"""Everything that a connection puts into a cluster, in the order in which it is applied."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from orchestune.clusters.existing import rights
from orchestune.clusters.existing.config import (
    AUTHORITIES,
    CONFIG,
    DATA,
    PORT,
    RETIREMENT,
    SERVER,
    SERVICE,
    SETTINGS,
    WORKER,
    Connection,
)
from orchestune.clusters.existing.deployment import deployment, disruption_budget
from orchestune.clusters.existing.objects import manifest
from orchestune.kubeapi.labels import OURS, SERVERS

Manifest = dict[str, Any]


def foundation(
    connection: Connection, database_url: str | None = None, key: bytes = b"", pods: Sequence[str] = ()
) -> list[Manifest]:
    """What the server stands on: the namespace where we make it, accounts and their rights, the database's address
    and the key that signs what workers show (on a disk it lies there). `pods`: those of a server that is there.
    """
    made = [namespace(connection)] if connection.create_namespace else []
    made += rights.namespaced(connection, pods)
    return [*made, database_secret(connection, database_url, key)] if database_url else made


def server(connection: Connection, *, certificates: str = "", secret: str = "") -> list[Manifest]:
    """The server itself, its storage, and the ways to it; the Deployment is last: once it is right, all is.

    `certificates` is a bundle in PEM. `secret` is a mark of the Secret, so that another one restarts the server.
    """
    config = settings(connection, certificates)
    made = [config, claim(connection)] if connection.makes_claim else [config]
    made += [service(connection), network_policy(connection)]
    made += [disruption_budget(connection)] if connection.replicas > 1 else []
    return [*made, deployment(connection, config, secret)]


def administrators_part(connection: Connection) -> list[Manifest]:
    """What needs rights beyond the namespace. All of it is optional but the namespace itself."""
    return rights.cluster_wide(connection)


def namespace(connection: Connection) -> Manifest:
    """The namespace. How strict its Pod Security is stays the administrator's choice."""
    return manifest("v1", "Namespace", connection.namespace, connection, "namespace", namespaced=False)


def database_secret(connection: Connection, database_url: str, key: bytes) -> Manifest:
    """Where the database is, and the key."""
    values = {"database-url": database_url.encode(), "key": key}
    data = {name: base64.b64encode(value).decode() for name, value in values.items()}
    return manifest("v1", "Secret", SERVER, connection, "server", type="Opaque", data=data)


def settings(connection: Connection, certificates: str = "") -> Manifest:
    """The ConfigMap: what the server reads, and what this connection was made with."""
    backend = {
        "cluster": connection.name,
        "namespace": connection.namespace,
        "url": connection.url,
        "runtime_image": connection.server_image,
        "default_image": connection.default_image,
        "pull_secrets": list(connection.pull_secrets),
        "gpu_resource": connection.gpu_resource,
        "pool_label": connection.pool_label,
        "cpu": 1.0,
        "memory": None,
        "elastic": connection.elastic,
        "worker_service_account": WORKER,
        **({"architecture": connection.architecture} if connection.architecture else {}),
        **({"allow": list(connection.allow)} if connection.allow else {}),
        **({"user": None} if connection.user is None else {}),
        **({} if connection.image_volumes == "auto" else {"image_volumes": connection.image_volumes == "yes"}),
    }
    data = {"kubernetes.json": _text(backend), SETTINGS: _text(connection.to_json())}
    if connection.retirement:
        data[RETIREMENT] = _text(dict(connection.retirement))
    if certificates:
        data[AUTHORITIES] = certificates
    return manifest("v1", "ConfigMap", CONFIG, connection, "server", data=data)


def claim(connection: Connection) -> Manifest:
    """The server's disk: one pod at a time may hold it, since SQLite has one writer."""
    spec: Manifest = {
        "accessModes": ["ReadWriteOncePod"],
        "resources": {"requests": {"storage": connection.size}},
    }
    if connection.storage_class is not None:
        spec["storageClassName"] = connection.storage_class
    return manifest("v1", "PersistentVolumeClaim", DATA, connection, "server", spec=spec)


def service(connection: Connection) -> Manifest:
    """Where workers find the server."""
    spec = {"selector": SERVERS, "ports": [{"name": "http", "port": PORT, "targetPort": "http"}]}
    return manifest("v1", "Service", SERVICE, connection, "server", spec=spec)


def network_policy(connection: Connection) -> Manifest:
    """Only our own pods reach the server; people come through the API server, which no policy stops."""
    spec = {
        "podSelector": {"matchLabels": SERVERS},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"podSelector": {"matchLabels": OURS}}], "ports": [{"port": PORT, "protocol": "TCP"}]}],
    }
    return manifest("networking.k8s.io/v1", "NetworkPolicy", SERVER, connection, "server", spec=spec)


def _text(document: Manifest) -> str:
    return json.dumps(document, indent=2, sort_keys=True) + "\n"
