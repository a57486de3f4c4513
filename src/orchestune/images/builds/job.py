"""An image build inside the cluster: a ConfigMap with the build context, and a Job that runs buildah. Pure."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from orchestune.errors import TooLarge
from orchestune.images.builds.build import Plan

BUILDER = "quay.io/buildah/stable:latest"
MEMORY = 4 << 30
"""default memory limit of a build in bytes"""
LIMIT = 700 << 10
"""maximum total bytes of the files: a ConfigMap holds 1 MiB, and base64 adds a third"""
_REQUESTED_BYTES = 1 << 30
"""memory request: most builds need no more, and page cache of written files is reclaimed when memory is short"""
DEADLINE = 3600
"""seconds after which a build is terminated"""
_FINISHED_SECONDS = 600
"""seconds for which a finished Job and its log are kept"""
_DOCKERFILE = "Dockerfile"
_CONTEXT, _STORAGE, _LOGIN = "/orchestune/context", "/var/lib/containers", "/orchestune/login"
_AUTHORITIES = "/orchestune/authorities"
_TRUSTED = (_AUTHORITIES, "/etc/ssl/certs", "/etc/pki/tls/certs")
"""folders with the certificates that buildah trusts: those configured for the cluster, and those of its own image"""

Manifest = dict[str, Any]


def build_job(
    plan: Plan,
    name: str,
    namespace: str,
    *,
    builder: str = BUILDER,
    memory: int = MEMORY,
    login_secret: str | None = None,
    labels: Mapping[str, str] | None = None,
    pull_secrets: Sequence[str] = (),
    authorities: tuple[str, str] | None = None,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> list[Manifest]:
    """Return the ConfigMap and the Job, both called `name`, in the order in which to apply them.

    `login_secret`, a Secret of type kubernetes.io/dockerconfigjson, is the login for pulling base images and pushing
    the result. `authorities` names a ConfigMap and its key with certificates (PEM) that buildah trusts in addition to
    its image's. `variables` are proxy settings, which buildah uses and passes on to `RUN`. The pod runs as root with
    only the default capabilities of a container, so its namespace must allow Pod Security `baseline`; `restricted` ones
    cannot build. Raises TooLarge if the files do not fit into a ConfigMap.
    """
    size = sum(path.stat().st_size for path in plan.files.values())
    if size > LIMIT:
        raise TooLarge(
            f"the build's files are too large for a build in the cluster: {size >> 10} KiB (at most {LIMIT >> 10} KiB)",
            "build with docker, podman or buildah on this machine",
        )
    metadata = {"name": name, "namespace": namespace, "labels": {**(labels or {})}}
    job = _job(plan, metadata, builder, memory, login_secret, pull_secrets, authorities, variables)
    return [_config_map(plan, metadata), job]


def _config_map(plan: Plan, metadata: Manifest) -> Manifest:
    contents = {
        f"file-{number}": base64.b64encode(path.read_bytes()).decode("ascii")
        for number, path in enumerate(plan.files.values())
    }
    config_map: Manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "immutable": True,
        "data": {_DOCKERFILE: plan.dockerfile},
    }
    return {**config_map, "binaryData": contents} if contents else config_map


def _job(
    plan: Plan,
    metadata: Manifest,
    builder: str,
    memory: int,
    login_secret: str | None,
    pull_secrets: Sequence[str],
    authorities: tuple[str, str] | None,
    variables: Mapping[str, str],
) -> Manifest:
    items = [{"key": _DOCKERFILE, "path": _DOCKERFILE}]
    for number, (name, path) in enumerate(plan.files.items()):
        executable = path.stat().st_mode & 0o100
        items.append({"key": f"file-{number}", "path": f"files/{name}", "mode": 0o755 if executable else 0o644})  # type: ignore[dict-item]
    volumes: list[Manifest] = [
        {"name": "context", "configMap": {"name": metadata["name"], "items": items}},
        {"name": "storage", "emptyDir": {}},
    ]
    mounts: list[Manifest] = [
        {"name": "context", "mountPath": _CONTEXT, "readOnly": True},
        {"name": "storage", "mountPath": _STORAGE},
    ]
    environment = [{"name": "BUILDAH_ISOLATION", "value": "chroot"}, {"name": "STORAGE_DRIVER", "value": "vfs"}]
    environment += [{"name": name, "value": value} for name, value in variables.items()]
    if login_secret:
        item = {"key": ".dockerconfigjson", "path": "config.json"}
        volumes.append({"name": "login", "secret": {"secretName": login_secret, "items": [item]}})
        mounts.append({"name": "login", "mountPath": _LOGIN, "readOnly": True})
        environment.append({"name": "REGISTRY_AUTH_FILE", "value": f"{_LOGIN}/config.json"})
    if authorities:
        settings, key = authorities
        item = {"key": key, "path": "ca.crt"}
        volumes.append({"name": "authorities", "configMap": {"name": settings, "items": [item]}})
        mounts.append({"name": "authorities", "mountPath": _AUTHORITIES, "readOnly": True})
        environment.append({"name": "SSL_CERT_DIR", "value": ":".join(_TRUSTED)})
    pod: Manifest = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "nodeSelector": plan.platform.labels,
        "containers": [
            {
                "name": "build",
                "image": builder,
                "command": ["/bin/sh", "-ec", script(plan)],
                "env": environment,
                "resources": {
                    "requests": {"cpu": "500m", "memory": str(min(_REQUESTED_BYTES, memory))},
                    "limits": {"cpu": "2", "memory": str(memory)},
                },
                "securityContext": {"runAsUser": 0},
                "volumeMounts": mounts,
            }
        ],
        "volumes": volumes,
    }
    if pull_secrets:
        pod["imagePullSecrets"] = [{"name": secret} for secret in pull_secrets]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": DEADLINE,
            "ttlSecondsAfterFinished": _FINISHED_SECONDS,
            "template": {"metadata": {"labels": metadata["labels"]}, "spec": pod},
        },
    }


def script(plan: Plan) -> str:
    """Return the builder's shell script. It copies the files first, because in the volume they are links."""
    tls = ["--tls-verify=false"] if plan.plain else []
    build = ["buildah", "build", "--platform", str(plan.platform), "--tag", str(plan.target), *tls]
    build += ["--file", f"{_CONTEXT}/{_DOCKERFILE}", "/tmp/context"]
    push = ["buildah", "push", *tls, str(plan.target), f"docker://{plan.target}"]
    lines = ["mkdir -p /tmp/context"]
    if plan.files:
        lines.append(f"cp -rL {_CONTEXT}/files/. /tmp/context/")
    return "\n".join([*lines, shlex.join(build), shlex.join(push)])
