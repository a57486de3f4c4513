"""RBAC: service accounts, roles in the namespace, and the cluster-wide part that an administrator grants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestune.clusters.existing.config import CONFIG, SERVER, WORKER, ConnectionSettings
from orchestune.clusters.existing.objects import manifest
from orchestune.domain.clusters.cluster import SERVER_ROLES
from orchestune.kubeapi.forwarding import ACCESS_ROLES, FORWARDING, forwarding_rules

Manifest = dict[str, Any]
_RBAC_GROUP = "rbac.authorization.k8s.io"
_RBAC = f"{_RBAC_GROUP}/v1"


def rule(group: str, resources: Sequence[str], verbs: Sequence[str], names: Sequence[str] = ()) -> Manifest:
    """Build one rule of a Role."""
    document: Manifest = {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}
    return document | {"resourceNames": list(names)} if names else document


def server_rules(connection: ConnectionSettings) -> list[Manifest]:
    """Return the server's rights in its namespace.

    They are to create, watch and delete workers and explain pending ones, and to keep its pod names in the users'
    Roles, for which it must itself hold every right in those Roles.
    """
    rules = [
        rule("batch", ["jobs"], ["create", "delete", "get", "list", "watch"]),
        rule("", ["pods"], ["delete", "get", "list", "watch"]),
        rule("", ["secrets"], ["create", "delete", "get", "patch"]),
        rule("", ["events"], ["get", "list", "watch"]),
        rule("", ["namespaces"], ["get"], [connection.namespace]),
        rule("", ["persistentvolumeclaims", "serviceaccounts"], ["get"]),
        rule(_RBAC_GROUP, ["roles"], ["get", "patch"], ACCESS_ROLES),
        rule("", [FORWARDING], ["create", "get"]),
        *_entry_rules(SERVER_ROLES[-1]),
    ]
    return [*rules, *queue_rules()] if connection.queues else rules


def queue_rules() -> list[Manifest]:
    """Return the rights for explaining what a Kueue workload is pending on."""
    return [
        rule("kueue.x-k8s.io", ["localqueues"], ["get"]),
        rule("kueue.x-k8s.io", ["workloads"], ["get", "list", "watch"]),
    ]


def cluster_rules() -> list[Manifest]:
    """Return the optional cluster-wide rights; without them status shows "others: unknown".

    The events are those of nodes, which tell a process that its node killed from one that reached its own limit.
    """
    return [
        rule("", ["nodes"], ["get", "list", "watch"]),
        rule("", ["pods"], ["get", "list", "watch"]),
        rule("", ["events"], ["list", "watch"]),
        rule("scheduling.k8s.io", ["priorityclasses"], ["get"]),
        rule("authentication.k8s.io", ["tokenreviews"], ["create"]),
    ]


def role_rules(role: str, pods: Sequence[str] = ()) -> list[Manifest]:
    """Return the rights of a viewer, editor or owner: port forwarding to the server's `pods`, and a token for the role.

    The server itself adds the names of later pods.
    """
    return [*_entry_rules(role), rule("", ["pods"], ["get", "list"]), *forwarding_rules(pods)]


def _entry_rules(role: str) -> list[Manifest]:
    """Return rights to request tokens up to that role and to read the deployed version."""
    accounts = [account(granted_role) for granted_role in SERVER_ROLES[: SERVER_ROLES.index(role) + 1]]
    return [
        rule("", ["serviceaccounts/token"], ["create"], accounts),
        rule("", ["configmaps"], ["get"], [CONFIG]),
        rule("apps", ["deployments"], ["get"], [SERVER]),
    ]


def account(role: str) -> str:
    """Return the name of the ServiceAccount and the Role for users with that role."""
    return f"orchestune-{role}"


def cluster_role(connection: ConnectionSettings) -> str:
    """Return the name of the ClusterRole, unique for each namespace."""
    return f"orchestune-server-{connection.namespace}"


def namespaced(connection: ConnectionSettings, pods: Sequence[str] = ()) -> list[Manifest]:
    """Return the accounts, the Roles, and the server's RoleBinding.

    Binding users to the other Roles is left to the administrator. The Roles allow forwarding to the server's `pods`.
    """
    documents = [manifest("v1", "ServiceAccount", SERVER, connection, "server")]
    documents.append(manifest("v1", "ServiceAccount", WORKER, connection, "worker", automountServiceAccountToken=False))
    for role in SERVER_ROLES:
        documents.append(
            manifest("v1", "ServiceAccount", account(role), connection, "access", automountServiceAccountToken=False)
        )
    documents.append(manifest(_RBAC, "Role", SERVER, connection, "server", rules=server_rules(connection)))
    for role in SERVER_ROLES:
        documents.append(manifest(_RBAC, "Role", account(role), connection, "access", rules=role_rules(role, pods)))
    documents.append(
        manifest(_RBAC, "RoleBinding", SERVER, connection, "server", **_binding("Role", SERVER, connection.namespace))
    )
    return documents


def shared(connection: ConnectionSettings) -> list[Manifest]:
    """Return one binding per role for the group that a cloud provider maps users to, such as `orchestune:editor`."""
    documents = []
    for role in SERVER_ROLES:
        body: dict[str, Any] = {
            "roleRef": {"apiGroup": _RBAC_GROUP, "kind": "Role", "name": account(role)},
            "subjects": [{"apiGroup": _RBAC_GROUP, "kind": "Group", "name": f"orchestune:{role}"}],
        }
        documents.append(manifest(_RBAC, "RoleBinding", f"{account(role)}s", connection, "access", **body))
    return documents


def cluster_wide(connection: ConnectionSettings) -> list[Manifest]:
    """Return the ClusterRole and its binding, created by an administrator."""
    name = cluster_role(connection)
    binding = _binding("ClusterRole", name, connection.namespace)
    return [
        manifest(_RBAC, "ClusterRole", name, connection, "server", namespaced=False, rules=cluster_rules()),
        manifest(_RBAC, "ClusterRoleBinding", name, connection, "server", namespaced=False, **binding),
    ]


def _binding(kind: str, name: str, namespace: str) -> Manifest:
    return {
        "roleRef": {"apiGroup": _RBAC_GROUP, "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": SERVER, "namespace": namespace}],
    }
