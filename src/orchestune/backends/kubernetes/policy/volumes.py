"""Rules for volumes and their mounts."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping

from orchestune.backends.kubernetes.policy.rules import (
    RuleScope,
    Table,
    each,
    free,
    mapping,
    mappings,
    named,
    never,
    only,
    shortened,
    table,
)
from orchestune.errors import Problem


def secret_reference(name: str = "name") -> Table:
    """Return the rules of an object that refers to a Secret; `name` is the key of its name."""
    return {name: named("secret"), "key": free, "items": free, "optional": free, "defaultMode": free}


def config_map_reference() -> Table:
    """Return the rules of an object that refers to a ConfigMap."""
    return {"name": named("configmap"), "key": free, "items": free, "optional": free, "defaultMode": free}


def _host_path(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
    """Accept exactly the allowed folders: in a subfolder, a trial with write access could place a link to /."""
    folder = mapping(value).get("path")
    clean = folder.rstrip("/") or "/" if isinstance(folder, str) else ""
    if not clean or posixpath.normpath(clean) != clean or not scope.allowances.permit("path", clean):
        yield scope.refuse(path, f"mounts the folder '{shortened(folder)}' of the node", "path", clean)
    elif (outer := scope.allowances.around(clean)) is not None:
        message = f"mounts a folder of the node that lies in '{outer}', in which a trial could replace it by a link"
        yield scope.refuse(path, f"{message} (expected '{outer}' itself)")
    yield from table({"path": free, "type": free})(scope, path, value)


def _claim(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
    if mapping(value).get("claimName") is None:
        yield scope.refuse(path, "names no claim")
    yield from table({"claimName": named("claim"), "readOnly": free})(scope, path, value)


def _ephemeral(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
    """Accept a new disk of an allowed class, but no copy of a claim (`dataSource`) and no existing disk."""
    spec = mapping(mapping(mapping(value).get("volumeClaimTemplate")).get("spec"))
    if spec.get("storageClassName") is None:
        yield scope.refuse(path, "names no storageClassName")
    size = table({"requests": table({"storage": free}), "limits": table({"storage": free})})
    claim = {"accessModes": free, "storageClassName": named("storage-class"), "resources": size, "volumeMode": free}
    yield from table({"volumeClaimTemplate": table({"spec": table(claim)})})(scope, path, value)


def _kind(kind: str) -> Table:
    def check(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
        if not scope.allowances.permit("volume", kind):
            yield scope.refuse(path, f"volumes of the kind {kind} are not allowed to experiments", "volume", kind)

    return {kind: check}


_PROJECTED: Table = {
    "downwardAPI": free,
    "configMap": table(config_map_reference()),
    "secret": table(secret_reference()),
    "serviceAccountToken": never,
}
_CSI: Table = {
    "driver": named("csi-driver"),
    "readOnly": free,
    "fsType": free,
    "volumeAttributes": free,
    "nodePublishSecretRef": table(secret_reference()),
}
_VOLUME: Table = {
    "name": free,
    "emptyDir": free,
    "downwardAPI": free,
    "configMap": table(config_map_reference()),
    "secret": table(secret_reference("secretName")),
    "projected": table({"defaultMode": free, "sources": each(table(_PROJECTED))}),
    "persistentVolumeClaim": _claim,
    "hostPath": _host_path,
    "ephemeral": _ephemeral,
    "csi": table(_CSI),
    **_kind("image"),
    **_kind("nfs"),
}


def volume(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
    """Check one volume; unmodified volumes of Orchestune's own template are accepted."""
    own = mappings(mapping(scope.own.get("spec")).get("volumes"))
    return iter(()) if value in own else table(_VOLUME)(scope, path, value)


def mount_path(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
    """Refuse paths that hide a folder of the worker, or put files where the node's runtime looks for its own."""
    if not isinstance(value, str) or not value.startswith("/"):
        yield scope.refuse(path, f"found {shortened(value)} (expected an absolute path)")
        return
    clean = posixpath.normpath("/" + value.lstrip("/"))
    below = [folder for folder in scope.protected if clean == folder or clean.startswith(f"{folder}/")]
    if clean == "/" or (below and clean != "/dev/shm"):
        yield scope.refuse(path, f"found {shortened(value)}, which is not free for volumes (expected another folder)")


def _sub_path(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
    if not isinstance(value, str) or value.startswith("/") or ".." in value.split("/"):
        yield scope.refuse(path, f"found {shortened(value)} (expected a relative path without ..)")


_MOUNT: Table = {
    "name": free,
    "mountPath": mount_path,
    "readOnly": free,
    "recursiveReadOnly": free,
    "mountPropagation": only("None"),
    "subPath": _sub_path,
    "subPathExpr": _sub_path,
}


def mounts(own: Mapping[str, object], scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
    """Check the mounts of a container; `own` is its counterpart in Orchestune's own template, if any."""
    trusted = mappings(own.get("volumeMounts"))

    def mount(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
        return iter(()) if value in trusted else table(_MOUNT)(scope, path, value)

    return each(mount)(scope, path, value)
