"""Deploys, upgrades and removes the server in a namespace. Every step is idempotent.

The ConfigMap records the settings. It is created first and deleted last, so that an interrupted command can be repeated
with the same settings, and it is the lock of concurrent commands: it is only replaced at the `resourceVersion` that the
command has read (`Overtaken` otherwise).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from orchestune.clusters.existing import archive_record, permissions, plan, rollout
from orchestune.clusters.existing.client import ContextClient
from orchestune.clusters.existing.config import AUTHORITIES, CONFIG, SERVER, ConnectionSettings, read
from orchestune.clusters.existing.deployment import configuration
from orchestune.clusters.existing.objects import display_name, errors_name
from orchestune.clusters.existing.permissions import ResourcePermission
from orchestune.clusters.existing.rights import queue_rules
from orchestune.domain.words import brief_list
from orchestune.errors import Conflict, NotFound, OrchestuneError, UsageError
from orchestune.kubeapi import forwarding
from orchestune.kubeapi.archive_record import ARCHIVE_RECORD, RECORD_COMPONENT
from orchestune.kubeapi.errors import MAKE_NAMESPACE, Changed, PermissionMissing
from orchestune.kubeapi.labels import COMPONENT, OWN_LABELS, SERVERS, are_in, selector

Manifest = dict[str, Any]
Note = Callable[[str], None]
ARCHIVED = "orchestune.dev/archived"
"""annotation of the ConfigMap: the archive is complete and verified, only the removal is left"""
_DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
"""annotations that mark the default class; the beta one of older clusters still counts"""
_OPENSHIFT = "security.openshift.io"
_KUEUE = "kueue.x-k8s.io"
_KEY_BYTES = 32
_DELETION_SECONDS = 120.0
"""seconds for the cluster to delete terminated pods, beyond their grace period"""
_NOTE_DELAY, _POLL_SECONDS = 10.0, 0.5
"""seconds of waiting before progress is reported, and seconds between polls"""

REMOVED = (
    ("apps/v1", "Deployment"),
    ("policy/v1", "PodDisruptionBudget"),
    ("batch/v1", "Job"),
    ("v1", "Pod"),
    ("v1", "Service"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("v1", "Secret"),
    ("v1", "PersistentVolumeClaim"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("v1", "ServiceAccount"),
    ("v1", "ConfigMap"),
)
"""removal order; the ConfigMap is last, since it records the settings of the rest"""


class Overtaken(Conflict):
    """Another command has created or changed an object since this one has read it.

    This one can be repeated: it then continues with the present settings.
    """

    def __init__(self, document: Manifest) -> None:
        super().__init__(
            f"another command has changed the {display_name(document)} at the same time",
            "repeat the command: it continues with the present settings",
        )


@dataclass(frozen=True)
class DeploymentState:
    """State of an existing deployment in a namespace."""

    connection: ConnectionSettings
    deployed: bool
    """True if the Deployment exists (an early interrupted connect leaves none)"""
    current: bool = True
    """True if the Deployment matches the settings (after an interrupted upgrade it may be older)"""
    certificates: str = ""
    archived: bool = False
    version: str | None = None
    """`resourceVersion` of the ConfigMap with the settings at the time of reading"""


def present(api: ContextClient, namespace: str) -> DeploymentState | None:
    """Return the state of the deployment, complete or not; None if there is none."""
    config_map = api.get("v1", "ConfigMap", CONFIG, namespace)
    if config_map is None:
        return None
    data = config_map.get("data") or {}
    connection, certificates = read(data), data.get(AUTHORITIES, "")
    deployment = api.get("apps/v1", "Deployment", SERVER, namespace)
    current = deployment is not None and _is_current(api, connection, certificates, deployment)
    annotations: Mapping[str, str] = config_map["metadata"].get("annotations") or {}
    version = config_map["metadata"].get("resourceVersion")
    return DeploymentState(connection, deployment is not None, current, certificates, ARCHIVED in annotations, version)


def _is_current(api: ContextClient, connection: ConnectionSettings, certificates: str, deployment: Manifest) -> bool:
    try:
        secret = _secret_version(api, connection)
    except (PermissionMissing, NotFound):
        return True  # a user who may not read the Secret cannot deploy anyway
    documents = plan.server(connection, certificates=certificates, secret=secret)
    planned = next(document for document in documents if document["kind"] == "Deployment")
    return configuration(planned) == configuration(deployment)


def discovered(api: ContextClient, connection: ConnectionSettings) -> ConnectionSettings:
    """Return the connection with detected cluster features: assigned user IDs (OpenShift), queues (Kueue)."""
    detected = replace(
        connection, queues=api.has_group(_KUEUE) and (connection.queues or _may_grant_queues(api, connection))
    )
    if api.has_group(_OPENSHIFT):
        detected = replace(detected, user=None)
    return detected


def rediscovered(api: ContextClient, connection: ConnectionSettings) -> ConnectionSettings:
    """Detect features again for an existing server; keep the old settings if this user cannot grant the new rights."""
    detected = discovered(api, connection)
    is_grantable = detected == connection or not permissions.missing(api, permissions.to_deploy(detected))
    return detected if is_grantable else connection


def _may_grant_queues(api: ContextClient, connection: ConnectionSettings) -> bool:
    """Return True if this user can grant access to Kueue. It is optional: status then shows no queue reasons."""
    return not permissions.missing(api, permissions.expand_rules(queue_rules(), connection.namespace))


def check_namespace(api: ContextClient, connection: ConnectionSettings) -> None:
    """Raise NotFound if the namespace is missing and is not to be created."""
    if not connection.create_namespace and api.get("v1", "Namespace", connection.namespace) is None:
        raise NotFound(f"there is no namespace {connection.namespace} in the cluster", MAKE_NAMESPACE)


def check_secrets(api: ContextClient, connection: ConnectionSettings) -> None:
    """Raise NotFound if a named Secret is missing: the server or its image pull would block on it."""
    references = [("--pull-secret", "docker-registry", name) for name in connection.pull_secrets]
    references += [("--env-secret", "generic", connection.env_secret)] if connection.env_secret else []
    for option, kind, name in references:
        if api.get("v1", "Secret", name, connection.namespace) is None:
            raise NotFound(
                f"there is no Secret {name} in the namespace {connection.namespace}, which {option} names",
                f"create it first: kubectl -n {connection.namespace} create secret {kind} {name} …,"
                f" or use {option} '' to do without",
            )


def check_storage(api: ContextClient, connection: ConnectionSettings) -> None:
    """Raise UsageError (or NotFound, for a named claim) if the server's data has no persistent storage."""
    for name in filter(None, (connection.claim, connection.files_claim)):
        claim = api.get("v1", "PersistentVolumeClaim", name, connection.namespace)
        if claim is None:
            raise NotFound(f"there is no claim {name} in the namespace {connection.namespace}")
        modes = claim["spec"].get("accessModes") or ()
        if name == connection.files_claim and connection.replicas > 1 and "ReadWriteMany" not in modes:
            raise UsageError(
                f"the claim {name} has the access mode {', '.join(modes)} (expected ReadWriteMany)",
                "servers on several nodes share it: use a class for shared file systems, such as NFS",
            )
    if connection.claim is not None or connection.stateless:
        return
    try:
        classes = list(_classes(api))
    except PermissionMissing:
        return  # not readable for this user; errors will show in the claim's state
    names = sorted(document["metadata"]["name"] for document in classes)
    if connection.storage_class is not None:
        if connection.storage_class not in names and connection.storage_class:
            available = f"there are {', '.join(names)}" if names else "the cluster has none"
            raise UsageError(f"there is no StorageClass {connection.storage_class}; {available}")
        return
    if not any(_is_default(document["metadata"].get("annotations") or {}) for document in classes):
        available = f" (there are {', '.join(names)})" if names else " (the cluster has none)"
        raise UsageError(
            "the cluster has no default StorageClass: the server's data would have no persistent storage",
            f"name one with --storage-class{available}, a claim with --claim, or PostgreSQL with --database-url"
            " together with --files s3://BUCKET/PREFIX or claim:NAME",
        )


def _is_default(annotations: Mapping[str, str]) -> bool:
    return any(annotations.get(name) == "true" for name in _DEFAULT_CLASS)


def _classes(api: ContextClient) -> Iterator[Manifest]:
    yield from api.call("GET", "/apis/storage.k8s.io/v1/storageclasses").get("items") or ()


def check_rights(
    api: ContextClient, rights: Sequence[ResourcePermission], operation: str, hint: str | None = None
) -> None:
    """Raise PermissionMissing naming every missing right, before any change is made."""
    missing_rights = permissions.missing(api, rights)
    if missing_rights:
        listing = brief_list([str(right) for right in missing_rights], 12)
        raise PermissionMissing(
            f"this user lacks rights to {operation}: {listing}", hint or _grant_hint(missing_rights)
        )


def _grant_hint(missing_rights: Sequence[ResourcePermission]) -> str:
    """Return the hint for getting the rights, from an administrator of the cluster or of the namespace."""
    namespaces = {right.namespace for right in missing_rights}
    if None in namespaces:
        return (
            "ask an administrator of the cluster to create the namespace; docs/how-to/permissions.md lists all rights"
        )
    binding = f"kubectl -n {namespaces.pop()} create rolebinding NAME --clusterrole=admin --user=USER"
    return f"get the ClusterRole `admin`: `{binding}`; docs/how-to/permissions.md lists all rights"


def may_grant(api: ContextClient) -> bool:
    """Return True if this user can grant the server read access to nodes and to pods of other namespaces."""
    return not permissions.missing(api, permissions.to_grant())


def deploy(
    api: ContextClient,
    connection: ConnectionSettings,
    note: Note,
    *,
    database_url: str | None = None,
    certificates: str = "",
    grant: bool = False,
    version: str | None = None,
) -> None:
    """Apply all objects and wait until the server is ready. Raises `rollout.RolloutFailed` if it does not become so.

    `version`: resourceVersion of the settings that `connection` was derived from; None if there were none. Raises
    Overtaken if another command has created or changed them since: they hold the allowances, and a revoked one must not
    be restored. They are written first, so that then nothing else has been changed.
    """
    pods = server_pods(api, connection)
    for document in plan.foundation(connection, certificates=certificates, pods=pods):
        if document["kind"] == "Namespace":
            _create(api, document)  # never label a foreign namespace: `destroy` deletes labelled ones
        elif document["kind"] == "ConfigMap":
            _store_settings(api, document, version)
        else:
            _apply(api, document)
    if database_url:
        _store_database(api, connection, database_url)
    if grant:
        for document in plan.administrators_part(connection):
            _apply(api, document)
    for document in plan.server(connection, certificates=certificates, secret=_secret_version(api, connection)):
        if document["kind"] == "PersistentVolumeClaim":
            _create(api, document)  # the spec of a claim is immutable
        else:
            _apply(api, document)
    now = present(api, connection.namespace)
    if now is not None and not now.current:  # another command has changed the settings before this Deployment
        raise Overtaken(plan.settings(connection))
    _mark_archived(api, connection, None)  # left by an interrupted removal; new data will need archiving
    archive_record.remove(api, connection, note)
    note("waiting for the server to start")
    rollout.wait(api, connection, note)


def server_pods(api: ContextClient, connection: ConnectionSettings) -> list[str]:
    """Return the names of the server's pods, the targets of port forwarding."""
    return forwarding.server_pods(api.items("v1", "Pod", connection.namespace, selector(SERVERS)))


def _apply(api: ContextClient, document: Manifest) -> None:
    try:
        with errors_name(document):
            api.apply(document)
    except Changed as exc:
        raise Overtaken(document) from exc


def _create(api: ContextClient, document: Manifest) -> Manifest | None:
    """Create an object unless it exists. Return the existing one, or None if this call has created it.

    The object is read first, as this user may lack the right to create it. If several commands create it at the same
    time, one succeeds, and the others get its object.
    """
    metadata = document["metadata"]
    read = partial(api.get, document["apiVersion"], document["kind"], metadata["name"], metadata.get("namespace"))
    existing = read()
    if existing is None:
        try:
            with errors_name(document):
                api.create(document)
        except Conflict:
            return read()
    return existing


def _store_settings(api: ContextClient, document: Manifest, version: str | None) -> None:
    """Create the ConfigMap if `version` is None, otherwise replace it if it still has that version."""
    if version is not None:
        _apply(api, _at_version(document, version))
    elif _create(api, document) is not None:
        raise Overtaken(document)


def _store_database(api: ContextClient, connection: ConnectionSettings, url: str) -> None:
    """Store the database's URL with the workers' signing key: that of the existing Secret, otherwise a new one."""
    secret = plan.database_secret(connection, url, os.urandom(_KEY_BYTES))
    stored = _create(api, secret)
    if stored is not None:
        if key := (stored.get("data") or {}).get("key"):
            secret["data"]["key"] = key
        _apply(api, _at_version(secret, stored["metadata"]["resourceVersion"]))


def _at_version(document: Manifest, version: str) -> Manifest:
    """Return the document so that it is applied only to an object that still has this resourceVersion."""
    return {**document, "metadata": {**document["metadata"], "resourceVersion": version}}


def _secret_version(api: ContextClient, connection: ConnectionSettings) -> str:
    """Return a version string of the Secret; empty without a database. Raises NotFound if the Secret is missing."""
    if not connection.database:
        return ""
    secret = api.get("v1", "Secret", SERVER, connection.namespace)
    if secret is None:
        raise NotFound(
            f"the Secret {SERVER} with the database's URL is missing", "name the database again with --database-url"
        )
    return f"{secret['metadata']['uid']}-{secret['metadata']['resourceVersion']}"


def mark_archived(api: ContextClient, connection: ConnectionSettings) -> None:
    """Record that the archive is complete: the removal no longer needs the server."""
    _mark_archived(api, connection, "yes")


def _mark_archived(api: ContextClient, connection: ConnectionSettings, mark: str | None) -> None:
    place = f"/api/v1/namespaces/{connection.namespace}/configmaps/{CONFIG}"
    api.call("PATCH", place, {"metadata": {"annotations": {ARCHIVED: mark}}}, "application/merge-patch+json")


def remove(
    api: ContextClient,
    connection: ConnectionSettings,
    note: Note,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Delete all labelled objects in the namespace, and the cluster-wide ones if this user may; return their names.

    Unlabelled objects are never touched. Raises PermissionMissing at the first object this user may not delete; a retry
    with more rights removes the rest.
    """
    deleted: list[str] = []
    for version, kind in REMOVED:
        for document in own_objects(api, version, kind, connection.namespace):
            if api.delete(document):
                deleted.append(display_name(document))
        if kind in ("Deployment", "Job"):
            _wait_for_deletion(api, (version, kind), connection, note, clock, sleep)
    for document in plan.administrators_part(connection):
        try:
            if api.delete(document):
                deleted.append(display_name(document))
        except PermissionMissing:
            note(f"{display_name(document)} stays: only an administrator may delete it")
    return [*deleted, *_remove_namespace(api, connection, note)]


def own_objects(api: ContextClient, version: str, kind: str, namespace: str) -> list[Manifest]:
    """Return the labelled objects of a kind in the namespace, without the record of the archive, which stays."""
    documents = api.items(version, kind, namespace, selector(OWN_LABELS))
    return [document for document in documents if document["metadata"]["labels"].get(COMPONENT) != RECORD_COMPONENT]


def _wait_for_deletion(
    api: ContextClient,
    resource: tuple[str, str],
    connection: ConnectionSettings,
    note: Note,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    """Wait for deletion, at most the pods' longest grace period (set by experiments) plus `_DELETION_SECONDS`."""
    (version, kind), namespace, start, is_noted = resource, connection.namespace, clock(), False
    deadline = start + _DELETION_SECONDS + max((_grace_period(pod) for pod in _pods(api, namespace)), default=0)
    while any(True for _ in api.items(version, kind, namespace, selector(OWN_LABELS))):
        terminating = [pod for pod in _pods(api, namespace) if pod["metadata"].get("deletionTimestamp")]
        names = ", ".join(_on_node(pod) for pod in terminating[:3])
        if clock() > deadline:
            raise OrchestuneError(
                f"the cluster has not deleted a {kind}" + (f": {names} is still terminating" if names else ""),
                f"if its node is lost, delete the pod with `kubectl -n {namespace} delete pod NAME --force`,"
                " then repeat the command",
            )
        if names and not is_noted and clock() - start > _NOTE_DELAY:
            note(f"waiting for {names} to terminate")
            is_noted = True
        sleep(_POLL_SECONDS)


def _pods(api: ContextClient, namespace: str) -> list[Manifest]:
    return list(api.items("v1", "Pod", namespace, selector(OWN_LABELS)))


def _grace_period(pod: Manifest) -> int:
    return int(pod["spec"].get("terminationGracePeriodSeconds") or 30)


def _on_node(pod: Manifest) -> str:
    node = pod["spec"].get("nodeName")
    return display_name(pod) + (f" on {node}" if node else "")


def _remove_namespace(api: ContextClient, connection: ConnectionSettings, note: Note) -> list[str]:
    """Delete the namespace if labelled as Orchestune's.

    The label decides, since after an interrupted removal nothing else may be left.
    """
    try:
        document = api.get("v1", "Namespace", connection.namespace)
    except PermissionMissing:
        if connection.create_namespace:
            note(f"the namespace {connection.namespace} stays: this user may not read it")
        return []
    if document is None:
        return []
    if not are_in(OWN_LABELS, document["metadata"].get("labels")):
        return []
    try:
        foreign = _foreign_objects(api, connection.namespace)
        if foreign:
            note(f"the namespace {connection.namespace} stays: {', '.join(foreign[:3])} in it is not ours")
            return []
        if api.get("v1", "ConfigMap", ARCHIVE_RECORD, connection.namespace) is not None:
            note(
                f"the namespace {connection.namespace} stays: its ConfigMap {ARCHIVE_RECORD} says where the archive is"
            )
            return []
        api.delete({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": connection.namespace}})
    except PermissionMissing as exc:
        note(f"the namespace {connection.namespace} stays: {exc.message}")
        return []
    return [f"Namespace {connection.namespace}"]


def _foreign_objects(api: ContextClient, namespace: str) -> list[str]:
    """Return foreign objects in the namespace, without those that Kubernetes creates in every namespace."""
    kinds = (*REMOVED, ("apps/v1", "StatefulSet"), ("apps/v1", "DaemonSet"), ("batch/v1", "CronJob"))
    names = []
    for version, kind in kinds:
        for document in api.items(version, kind, namespace):
            name, is_ours = document["metadata"]["name"], are_in(OWN_LABELS, document["metadata"].get("labels"))
            if not is_ours and not name.startswith("kube-root-ca") and (kind, name) != ("ServiceAccount", "default"):
                names.append(display_name(document))
    return names
