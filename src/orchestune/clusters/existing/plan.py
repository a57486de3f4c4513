"""All objects of a connection, in the order in which they are applied."""

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
    ConnectionSettings,
)
from orchestune.clusters.existing.deployment import deployment, disruption_budget
from orchestune.clusters.existing.objects import manifest
from orchestune.kubeapi.labels import OWN_LABELS, SERVERS
from orchestune.kubeapi.stored_settings import BACKEND_SETTINGS

Manifest = dict[str, Any]


def foundation(connection: ConnectionSettings, *, certificates: str = "", pods: Sequence[str] = ()) -> list[Manifest]:
    """Return the prerequisites: namespace (if Orchestune creates it), settings, accounts and roles.

    The settings come first: of several first `connect` at the same time, the one that creates them wins.
    `certificates` is a PEM bundle; `pods` are the existing server pods.
    """
    documents = [namespace(connection)] if connection.create_namespace else []
    return [*documents, settings(connection, certificates), *rights.namespaced(connection, pods)]


def server(connection: ConnectionSettings, *, certificates: str = "", secret: str = "") -> list[Manifest]:
    """Return the server, its storage and its network access. The Deployment is last: if it is current, all objects are.

    `secret` is the version of the Secret. The server restarts if that or the settings change.
    """
    documents = [volume_claim(connection)] if connection.makes_claim else []
    documents += [service(connection), network_policy(connection)]
    documents += [disruption_budget(connection)] if connection.replicas > 1 else []
    return [*documents, deployment(connection, settings(connection, certificates), secret)]


def administrators_part(connection: ConnectionSettings) -> list[Manifest]:
    """Return the objects that need cluster-wide rights. All are optional."""
    return rights.cluster_wide(connection)


def namespace(connection: ConnectionSettings) -> Manifest:
    """Build the namespace, without Pod Security labels: the level is the administrator's choice."""
    return manifest("v1", "Namespace", connection.namespace, connection, "namespace", namespaced=False)


def database_secret(connection: ConnectionSettings, database_url: str, key: bytes) -> Manifest:
    """Build the Secret with the database URL and the workers' signing key.

    Without a database, the key is on the server's disk.
    """
    values = {"database-url": database_url.encode(), "key": key}
    data = {name: base64.b64encode(value).decode() for name, value in values.items()}
    return manifest("v1", "Secret", SERVER, connection, "server", type="Opaque", data=data)


def settings(connection: ConnectionSettings, certificates: str = "") -> Manifest:
    """Build the ConfigMap: the server's configuration and the connection settings.

    Optional entries are empty rather than absent: a server-side apply does not remove entries that a create has set.
    """
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
    data = {
        BACKEND_SETTINGS: _text(backend),
        SETTINGS: _text(connection.to_json()),
        RETIREMENT: _text(dict(connection.retirement)) if connection.retirement else "",
        AUTHORITIES: certificates,
    }
    return manifest("v1", "ConfigMap", CONFIG, connection, "server", data=data)


def volume_claim(connection: ConnectionSettings) -> Manifest:
    """Build the PersistentVolumeClaim of the server's disk. ReadWriteOncePod: SQLite allows one writer."""
    spec: Manifest = {
        "accessModes": ["ReadWriteOncePod"],
        "resources": {"requests": {"storage": connection.size}},
    }
    if connection.storage_class is not None:
        spec["storageClassName"] = connection.storage_class
    return manifest("v1", "PersistentVolumeClaim", DATA, connection, "server", spec=spec)


def service(connection: ConnectionSettings) -> Manifest:
    """Build the Service through which workers reach the server."""
    spec = {"selector": SERVERS, "ports": [{"name": "http", "port": PORT, "targetPort": "http"}]}
    return manifest("v1", "Service", SERVICE, connection, "server", spec=spec)


def network_policy(connection: ConnectionSettings) -> Manifest:
    """Allow ingress only from Orchestune's pods. Users connect through the API server, which no policy blocks."""
    spec = {
        "podSelector": {"matchLabels": SERVERS},
        "policyTypes": ["Ingress"],
        "ingress": [
            {"from": [{"podSelector": {"matchLabels": OWN_LABELS}}], "ports": [{"port": PORT, "protocol": "TCP"}]}
        ],
    }
    return manifest("networking.k8s.io/v1", "NetworkPolicy", SERVER, connection, "server", spec=spec)


def _text(document: Manifest) -> str:
    return json.dumps(document, indent=2, sort_keys=True) + "\n"
