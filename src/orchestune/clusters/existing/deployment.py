"""The server's Deployment: one pod with the claim, or several stateless replicas spread over nodes.

A pod on a lost node is rescheduled within seconds.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from orchestune.clusters.existing.config import (
    AUTHORITIES,
    CONFIG,
    DATA,
    PORT,
    RETIREMENT,
    SERVER,
    ConnectionSettings,
)
from orchestune.clusters.existing.objects import manifest
from orchestune.domain.clusters.cluster import SYSTEM
from orchestune.kubeapi.labels import NO_MESH_ANNOTATIONS, NO_MESH_LABELS, SERVERS
from orchestune.kubeapi.stored_settings import BACKEND_SETTINGS

Manifest = dict[str, Any]

CONFIG_FOLDER = "/etc/orchestune"
FILES = "/files"
"""mount path of the claim of `--files claim:NAME`"""
CONFIGURATION = "orchestune.dev/configuration"
LOST_SECONDS = 10
"""seconds that the pod stays bound to an unreachable node; the default of Kubernetes is 300"""
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
_GPU_LABELS = (
    "nvidia.com/gpu.present",
    "amd.com/gpu.product-name",
    "cloud.google.com/gke-accelerator",
    "k8s.amazonaws.com/accelerator",
    "kubernetes.azure.com/accelerator",
)
"""labels of GPU nodes, which the server leaves to trials if it can run elsewhere"""
_SPREAD: Manifest = {
    "maxSkew": 1,
    "topologyKey": "kubernetes.io/hostname",
    "whenUnsatisfiable": "ScheduleAnyway",
    "labelSelector": {"matchLabels": SERVERS},
}
"""best-effort spreading over nodes, so that a lost node takes only one replica down"""


def deployment(connection: ConnectionSettings, config: Manifest, secret: str) -> Manifest:
    """Build the Deployment. A changed ConfigMap `config` or Secret version `secret` restarts the server."""
    is_replicated = connection.replicas > 1
    return manifest(
        "apps/v1",
        "Deployment",
        SERVER,
        connection,
        "server",
        spec={
            "replicas": connection.replicas,
            "strategy": {"type": "RollingUpdate" if is_replicated else "Recreate"},
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": 600,
            "selector": {"matchLabels": SERVERS},
            "template": {
                "metadata": {
                    "labels": {**SERVERS, **NO_MESH_LABELS},
                    "annotations": {**NO_MESH_ANNOTATIONS, CONFIGURATION: _digest(config, secret)},
                },
                "spec": _pod(connection),
            },
        },
    )


def configuration(document: Manifest) -> str:
    """Return the digest of the settings that a Deployment was built from, for comparison."""
    annotations = document["spec"]["template"]["metadata"].get("annotations") or {}
    return str(annotations.get(CONFIGURATION, ""))


def disruption_budget(connection: ConnectionSettings) -> Manifest:
    """Build a budget that allows one replica to be disrupted at a time. For one replica it would only block drains."""
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": SERVERS}}
    return manifest("policy/v1", "PodDisruptionBudget", SERVER, connection, "server", spec=spec)


def security(connection: ConnectionSettings) -> Manifest:
    """Build the security context that Pod Security `restricted` requires; no user if the cluster assigns one."""
    context: Manifest = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if connection.user is not None:
        context |= {"runAsUser": connection.user, "runAsGroup": connection.user, "fsGroup": connection.user}
        context["fsGroupChangePolicy"] = "OnRootMismatch"
    return context


def _pod(connection: ConnectionSettings) -> Manifest:
    pod: Manifest = {
        "nodeSelector": connection.platform.labels,
        "serviceAccountName": SERVER,
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
        "securityContext": security(connection),
        "terminationGracePeriodSeconds": 30,
        "tolerations": [
            {
                "key": f"node.kubernetes.io/{key}",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": seconds,
            }
            for key, seconds in (("not-ready", LOST_SECONDS), ("unreachable", LOST_SECONDS))
        ],
        "containers": [_container(connection)],
        "volumes": _volumes(connection),
    }
    system = {"matchExpressions": [{"key": connection.pool_label, "operator": "In", "values": [SYSTEM]}]}
    without_gpus = {"matchExpressions": [{"key": label, "operator": "DoesNotExist"} for label in _GPU_LABELS]}
    preferred = [{"weight": 100, "preference": system}, {"weight": 50, "preference": without_gpus}]
    pod["affinity"] = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
    if connection.replicas > 1:
        pod["topologySpreadConstraints"] = [_SPREAD]
    if connection.pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in connection.pull_secrets]
    return pod


def _container(connection: ConnectionSettings) -> Manifest:
    command = ["orchestune", "server", "--host", "::", "--port", str(PORT), "--state", "/data"]
    command += ["--kubernetes", f"{CONFIG_FOLDER}/{BACKEND_SETTINGS}", "--public-url", connection.url]
    command += ["--files", FILES if connection.files_claim else connection.files] if connection.files else []
    command += ["--retire", f"{CONFIG_FOLDER}/{RETIREMENT}"] if connection.retirement else []
    secret = connection.env_secret
    return {
        "name": "server",
        "image": connection.server_image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        **({"envFrom": [{"secretRef": {"name": secret}}]} if secret else {}),
        "env": _environment(connection),
        "ports": [{"name": "http", "containerPort": PORT}],
        "resources": {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"cpu": "2", "memory": "2Gi"}},
        "securityContext": RESTRICTED,
        "startupProbe": _probe("/healthz", periodSeconds=1, failureThreshold=180),
        "livenessProbe": _probe("/healthz", periodSeconds=10, timeoutSeconds=10, failureThreshold=6),
        "readinessProbe": _probe("/readyz", periodSeconds=2, timeoutSeconds=5, failureThreshold=3),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": _mounts(connection),
    }


def _mounts(connection: ConnectionSettings) -> list[Manifest]:
    mounts: list[Manifest] = [
        {"name": "data", "mountPath": "/data"},
        {"name": "config", "mountPath": CONFIG_FOLDER, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    if connection.stateless:
        mounts.append({"name": "secret", "mountPath": "/data/key", "subPath": "key", "readOnly": True})
    if connection.files_claim:
        mounts.append({"name": "files", "mountPath": FILES})
    return mounts


def _probe(path: str, **timing: int) -> Manifest:
    return {"httpGet": {"path": path, "port": "http"}, **timing}


def _environment(connection: ConnectionSettings) -> list[Manifest]:
    """Build the environment; HOME and USER are set since an arbitrary UID has neither."""
    values = {"HOME": "/tmp", "USER": "orchestune", "ORCHESTUNE_HOME": "/data", "ORCHESTUNE_LOG_FORMAT": "json"}
    if connection.retention:
        values["ORCHESTUNE_RETENTION"] = connection.retention
    values |= connection.way_out
    if connection.certificates:
        bundle = f"{CONFIG_FOLDER}/{AUTHORITIES}"
        values |= {"SSL_CERT_FILE": bundle, "REQUESTS_CA_BUNDLE": bundle, "AWS_CA_BUNDLE": bundle}
    variables: list[Manifest] = [{"name": name, "value": value} for name, value in values.items()]
    if connection.database:
        reference = {"name": SERVER, "key": "database-url"}
        variables.append({"name": "ORCHESTUNE_DATABASE_URL", "valueFrom": {"secretKeyRef": reference}})
    return variables


def _volumes(connection: ConnectionSettings) -> list[Manifest]:
    volumes: list[Manifest] = [
        {"name": "config", "configMap": {"name": CONFIG}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
    ]
    if connection.files_claim:
        volumes.append({"name": "files", "persistentVolumeClaim": {"claimName": connection.files_claim}})
    if connection.stateless:  # persistent state is in the database, the file storage and the Secret
        secret = {"secretName": SERVER, "items": [{"key": "key", "path": "key"}]}
        return [{"name": "data", "emptyDir": {}}, *volumes, {"name": "secret", "secret": secret}]
    return [{"name": "data", "persistentVolumeClaim": {"claimName": connection.claim or DATA}}, *volumes]


def _digest(config: Manifest, secret: str) -> str:
    text = json.dumps(config["data"], sort_keys=True) + secret
    return hashlib.sha256(text.encode()).hexdigest()[:16]
