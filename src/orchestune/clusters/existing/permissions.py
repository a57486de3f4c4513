"""Which rights each step needs, and which of them this user has (SelfSubjectAccessReview)."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from orchestune.clusters.existing.client import Api
from orchestune.clusters.existing.config import CONFIG, Connection
from orchestune.clusters.existing.rights import Manifest, cluster_rules, role_rules, server_rules
from orchestune.domain.cluster import SERVER_ROLES
from orchestune.errors import OrchestuneError, Unreachable
from orchestune.kubeapi.forwarding import FORWARDING

_AT_ONCE = 8
_RBAC = "rbac.authorization.k8s.io"
_REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@dataclass(frozen=True)
class Right:
    """One verb on one resource; `namespace` None: in the whole cluster."""

    verb: str
    resource: str
    group: str = ""
    namespace: str | None = None
    name: str = ""
    """one object alone"""

    def __str__(self) -> str:
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        resource += f"/{self.name}" if self.name else ""
        return f"{self.verb} {resource}" + ("" if self.namespace else " (whole cluster)")


def to_deploy(connection: Connection) -> list[Right]:
    """What `connect` and `upgrade` need: to apply every kind of the plan, and all that they hand on to the server."""
    space = connection.namespace
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
    rights = [Right(verb, kind, group, space) for kind, group in kinds for verb in ("get", "create", "patch")]
    rights += [Right("get", "pods", "", space), Right("list", "pods", "", space), Right("list", "events", "", space)]
    if connection.create_namespace:
        rights += [Right(verb, "namespaces") for verb in ("get", "create", "patch")]
    granted = [*server_rules(connection), *(rule for role in SERVER_ROLES for rule in role_rules(role))]
    return distinct([*rights, *handed_on(granted, space)])


def to_destroy(connection: Connection) -> list[Right]:
    """What `destroy` needs beside the way to the server."""
    space = connection.namespace
    kinds = {(right.resource, right.group) for right in to_deploy(connection) if right.verb == "patch"}
    kinds |= {("jobs", "batch"), ("pods", ""), ("secrets", ""), ("poddisruptionbudgets", "policy")}
    kinds -= {("namespaces", "")}
    return [Right(verb, kind, group, space) for kind, group in sorted(kinds) for verb in ("list", "delete")]


def to_use(connection: Connection, pods: Sequence[str]) -> list[Right]:
    """What every command needs that talks to the server in these pods: the way through the API server."""
    space = connection.namespace
    return [Right("list", "pods", "", space), *(Right("create", FORWARDING, "", space, pod) for pod in pods)]


def to_build(connection: Connection, *, login: bool = True) -> list[Right]:
    """What a build in the cluster needs beside that; `login`: one that has to log in at the registry."""
    space = connection.namespace
    rights = [Right("get", "configmaps", "", space, CONFIG)]
    rights += [Right("create", kind, "", space) for kind in ("configmaps", *(("secrets",) if login else ()))]
    rights += [Right(verb, "jobs", "batch", space) for verb in ("create", "delete")]
    return [*rights, *(Right(*each, "", space) for each in (("list", "pods"), ("get", "pods/log"), ("list", "events")))]


def to_grant() -> list[Right]:
    """What the optional part needs, which goes beyond the namespace."""
    kinds = ("clusterroles", "clusterrolebindings")
    rights = [Right(verb, kind, _RBAC) for kind in kinds for verb in ("get", "create", "patch")]
    return [*rights, *handed_on(cluster_rules(), None)]


def handed_on(rules: Sequence[Manifest], namespace: str | None) -> list[Right]:
    """Every single right of some rules: nobody may hand on what he does not hold."""
    return [
        Right(verb, resource, group, namespace, name)
        for rule in rules
        for name in rule.get("resourceNames", [""])
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


def distinct(rights: Sequence[Right]) -> list[Right]:
    """Each once, and none for a single object that another one covers."""
    every = dict.fromkeys(rights)
    return [right for right in every if not right.name or replace(right, name="") not in every]


def missing(api: Api, rights: Sequence[Right]) -> list[Right]:
    """Those that this user does not have. Where the cluster does not tell, the right counts as there."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = list(pool.map(lambda right: _allowed(api, right), rights))
    return [right for right, allowed in zip(rights, answers, strict=True) if not allowed]


def _allowed(api: Api, right: Right) -> bool:
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
