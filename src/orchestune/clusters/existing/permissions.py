"""Permissions required for each operation, and a check of those this user has (SelfSubjectAccessReview)."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from orchestune.clusters.existing.client import ContextClient
from orchestune.clusters.existing.config import CONFIG, ConnectionSettings
from orchestune.clusters.existing.rights import Manifest, cluster_rules, role_rules, server_rules
from orchestune.domain.clusters.cluster import SERVER_ROLES
from orchestune.errors import OrchestuneError, Unreachable
from orchestune.kubeapi.forwarding import FORWARDING

_MAX_CONCURRENT_REVIEWS = 8
_RBAC = "rbac.authorization.k8s.io"
_REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@dataclass(frozen=True)
class ResourcePermission:
    """One verb on one resource. `namespace` None: cluster-wide."""

    verb: str
    resource: str
    group: str = ""
    namespace: str | None = None
    name: str = ""
    """restricts the right to one object; empty: all"""

    def __str__(self) -> str:
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        resource += f"/{self.name}" if self.name else ""
        return f"{self.verb} {resource}" + ("" if self.namespace else " (whole cluster)")


def to_deploy(connection: ConnectionSettings) -> list[ResourcePermission]:
    """Return the rights for `connect` and `upgrade`: all kinds in the plan, and all rights granted to the server."""
    namespace = connection.namespace
    kinds = [
        ("serviceaccounts", ""),
        ("roles", _RBAC),
        ("rolebindings", _RBAC),
        ("configmaps", ""),
        ("services", ""),
        ("networkpolicies", "networking.k8s.io"),
        ("deployments", "apps"),
    ]
    kinds += [("persistentvolumeclaims", "")] if connection.makes_claim else []
    kinds += [("secrets", "")] if connection.database else []
    kinds += [("poddisruptionbudgets", "policy")] if connection.replicas > 1 else []
    rights = [
        ResourcePermission(verb, kind, group, namespace) for kind, group in kinds for verb in ("get", "create", "patch")
    ]
    rights += [
        ResourcePermission("get", "pods", "", namespace),
        ResourcePermission("list", "pods", "", namespace),
        ResourcePermission("list", "events", "", namespace),
    ]
    if connection.create_namespace:
        rights += [ResourcePermission(verb, "namespaces") for verb in ("get", "create", "patch")]
    granted = [*server_rules(connection), *(rule for role in SERVER_ROLES for rule in role_rules(role))]
    return distinct([*rights, *expand_rules(granted, namespace)])


def to_destroy(connection: ConnectionSettings) -> list[ResourcePermission]:
    """Return the rights for `destroy`, without those for reaching the server."""
    namespace = connection.namespace
    kinds = {(right.resource, right.group) for right in to_deploy(connection) if right.verb == "patch"}
    kinds |= {("jobs", "batch"), ("pods", ""), ("secrets", ""), ("poddisruptionbudgets", "policy")}
    kinds -= {("namespaces", "")}
    return [
        ResourcePermission(verb, kind, group, namespace) for kind, group in sorted(kinds) for verb in ("list", "delete")
    ]


def to_recover(connection: ConnectionSettings, *, taints: bool) -> list[ResourcePermission]:
    """Return the rights for `recover`; `taints`: with --out-of-service."""
    namespace = connection.namespace
    rights = [ResourcePermission(verb, "pods", "", namespace) for verb in ("list", "delete")]
    return [*rights, *(ResourcePermission(verb, "nodes") for verb in (("get", "patch") if taints else ("get",)))]


def to_use(connection: ConnectionSettings, pods: Sequence[str]) -> list[ResourcePermission]:
    """Return the rights that every command needs to reach the server's `pods`: port forwarding via the API server."""
    namespace = connection.namespace
    return [
        ResourcePermission("list", "pods", "", namespace),
        *(ResourcePermission("create", FORWARDING, "", namespace, pod) for pod in pods),
    ]


def to_build(connection: ConnectionSettings, *, login: bool = True) -> list[ResourcePermission]:
    """Return the additional rights for an in-cluster build; `login`: the build needs registry credentials."""
    namespace = connection.namespace
    rights = [ResourcePermission("get", "configmaps", "", namespace, CONFIG)]
    rights += [
        ResourcePermission("create", kind, "", namespace) for kind in ("configmaps", *(("secrets",) if login else ()))
    ]
    rights += [ResourcePermission(verb, "jobs", "batch", namespace) for verb in ("create", "delete")]
    return [
        *rights,
        *(
            ResourcePermission(*each, "", namespace)
            for each in (("list", "pods"), ("get", "pods/log"), ("list", "events"))
        ),
    ]


def to_grant() -> list[ResourcePermission]:
    """Return the rights for creating the optional cluster-wide roles."""
    kinds = ("clusterroles", "clusterrolebindings")
    rights = [ResourcePermission(verb, kind, _RBAC) for kind in kinds for verb in ("get", "create", "patch")]
    return [*rights, *expand_rules(cluster_rules(), None)]


def expand_rules(rules: Sequence[Manifest], namespace: str | None) -> list[ResourcePermission]:
    """Expand RBAC rules into single rights: Kubernetes lets a user grant only rights that the user holds."""
    return [
        ResourcePermission(verb, resource, group, namespace, name)
        for rule in rules
        for name in rule.get("resourceNames", [""])
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


def distinct(rights: Sequence[ResourcePermission]) -> list[ResourcePermission]:
    """Remove duplicates, and rights on single objects that a right on all objects covers."""
    distinct_rights = dict.fromkeys(rights)
    return [right for right in distinct_rights if not right.name or replace(right, name="") not in distinct_rights]


def missing(api: ContextClient, rights: Sequence[ResourcePermission]) -> list[ResourcePermission]:
    """Return the rights that this user lacks. Rights that cannot be checked count as granted."""
    with ThreadPoolExecutor(_MAX_CONCURRENT_REVIEWS) as pool:
        answers = list(pool.map(lambda right: _allowed(api, right), rights))
    return [right for right, allowed in zip(rights, answers, strict=True) if not allowed]


def _allowed(api: ContextClient, right: ResourcePermission) -> bool:
    resource, _, part = right.resource.partition("/")
    attributes = {"verb": right.verb, "group": right.group, "resource": resource}
    attributes |= {"subresource": part} if part else {}
    attributes |= {"namespace": right.namespace} if right.namespace else {}
    attributes |= {"name": right.name} if right.name else {}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    try:
        return bool(api.call("POST", _REVIEW, body)["status"].get("allowed"))
    except Unreachable:
        raise
    except OrchestuneError:
        return True
