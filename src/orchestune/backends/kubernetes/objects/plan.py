"""Manifests of one worker, as pure functions: its Job and the Secret with its token."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.backends.kubernetes.objects.labels import OWNER, of_worker
from orchestune.backends.kubernetes.objects.patching import merged
from orchestune.backends.kubernetes.objects.quantities import cores, requests
from orchestune.backends.kubernetes.objects.runtime_delivery import VOLUME
from orchestune.backends.kubernetes.observation.capacity import PRODUCT, NodePool
from orchestune.backends.kubernetes.observation.queues import QUEUE
from orchestune.backends.kubernetes.policy.hardening import hardened
from orchestune.domain.resources.placement import Placement, Volume
from orchestune.domain.resources.resources import Resources
from orchestune.images.registries.manifests import Platform
from orchestune.images.runtime import private_python
from orchestune.kubeapi.labels import NO_MESH_ANNOTATIONS, NO_MESH_LABELS
from orchestune.ports.backend import WorkerOrder

Manifest = dict[str, Any]

CONTAINER = "worker"
"""name of the container in which trials run, for use in a `pod:` patch"""
RUNTIME = "runtime"
"""name of the init container that copies the private Python"""
MOUNT = "/orchestune"
STATE = "/orchestune-state"
ORDERS = "/orchestune-worker"
FILE = "worker.json"
_RUNTIME_FOLDER = "/opt/orchestune/runtime"
_UNREACHABLE_SECONDS = 30
"""time until a pod is evicted from an unreachable node; the lease has expired long before"""
_JOB_TTL_SECONDS = 86400
"""time for which a finished Job is kept, for a server that was down"""


@dataclass(frozen=True)
class ClusterRequirements:
    """Requirements of the cluster for every pod."""

    restricted: bool = False
    """pods must not run as root"""
    node_pool: NodePool = NodePool()
    image_volume: bool = False
    """the private Python is mounted from its image; otherwise an init container copies it"""

    @property
    def runtime(self) -> str:
        """The folder of the private Python in a worker's container."""
        return MOUNT + _RUNTIME_FOLDER if self.image_volume else MOUNT


def name(order: WorkerOrder) -> str:
    """Return the name of a worker's Job and Secret: at most 63 characters, as it becomes a pod label."""
    tail = order.worker.replace("-", "")[-12:]
    return f"orchestune-{(order.handle or 'worker')[:38].rstrip('-')}-{tail}"


def secret(config: KubernetesConfig, order: WorkerOrder, job: Manifest) -> Manifest:
    """Return the Secret with the worker's orders and token; it is deleted with its Job."""
    document: Manifest = {
        "url": config.url,
        "endpoint": None,
        "token": order.token,
        "worker": order.worker,
        "slots": order.slots,
        "state": STATE,
        "gpus": [],
        "tags": {},
    }
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": job["metadata"]["name"],
            "namespace": config.namespace,
            "labels": of_worker(order.experiment, order.handle, order.worker, config.url),
            "ownerReferences": [owner],
        },
        "type": "Opaque",
        "immutable": True,
        "stringData": {FILE: json.dumps(document)},
    }


def job(
    config: KubernetesConfig, order: WorkerOrder, requirements: ClusterRequirements, command: Sequence[str]
) -> Manifest:
    """Return the Job of one worker: one pod, never replaced. With a queue it is suspended until Kueue admits it."""
    labels = of_worker(order.experiment, order.handle, order.worker, config.url)
    queue = {QUEUE: order.placement.queue} if order.placement.queue else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name(order),
            "namespace": config.namespace,
            "labels": {**labels, **queue},
            "annotations": {OWNER: order.owner},
        },
        "spec": {
            "parallelism": 1,
            "completions": 1,
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "ttlSecondsAfterFinished": _JOB_TTL_SECONDS,
            "suspend": bool(order.placement.queue),
            "template": template(config, order, requirements, command),
        },
    }


def template(
    config: KubernetesConfig, order: WorkerOrder, requirements: ClusterRequirements, command: Sequence[str]
) -> Manifest:
    """Return the pod template with the file's `pod:` merged in; our labels and restart policy take precedence."""
    labels = of_worker(order.experiment, order.handle, order.worker, config.url)
    base = {
        "metadata": {
            "labels": {**labels, **NO_MESH_LABELS},
            "annotations": {
                OWNER: order.owner,
                "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
                "karpenter.sh/do-not-disrupt": "true",
                **NO_MESH_ANNOTATIONS,
            },
        },
        "spec": _spec(config, order, requirements, command),
    }
    pod_template: Manifest = merged(base, order.placement.pod)
    pod_template["metadata"]["labels"] = {**(pod_template["metadata"].get("labels") or {}), **labels}
    pod_template["spec"]["restartPolicy"] = "Never"
    own = frozenset((CONTAINER, RUNTIME))
    for key in ("containers", "initContainers"):
        if key in pod_template["spec"]:
            pod_template["spec"][key] = hardened(
                pod_template["spec"][key], own, config.gpu_resource, restricted=requirements.restricted
            )
    return pod_template


def node_constraints(config: KubernetesConfig, each: Resources, placement: Placement, node_pool: NodePool) -> Manifest:
    """Return the parts of the pod spec that select nodes, with the file's `pod:` merged in."""
    tolerations = _tolerations(config, each, placement.pool, node_pool)
    own = {"nodeSelector": Platform(config.architecture).labels, "tolerations": tolerations}
    spec = merged({"spec": own}, placement.pod).get("spec")
    return spec if isinstance(spec, dict) else {}


def total_request(config: KubernetesConfig, each: Resources, placement: Placement) -> Resources:
    """Return the resources that the scheduler reserves for a trial's pod, with the file's `pod:` merged in."""
    own = {"containers": [{"name": CONTAINER, "resources": _resources(config, each)}]}
    spec = merged({"spec": own}, placement.pod).get("spec")
    reserved = requests(spec if isinstance(spec, dict) else own, config.gpu_resource)
    return replace(each, cpu=reserved.cpu, memory=reserved.memory or None, gpu=reserved.gpu)


def _spec(
    config: KubernetesConfig, order: WorkerOrder, requirements: ClusterRequirements, command: Sequence[str]
) -> Manifest:
    placement = order.placement
    spec: Manifest = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": math.ceil(order.grace) + config.farewell,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "nodeSelector": Platform(config.architecture).labels,
        "serviceAccountName": placement.service_account or config.worker_service_account,
        "securityContext": _pod_security(config, requirements),
        "tolerations": _tolerations(config, order.each, placement.pool, requirements.node_pool),
        **({} if requirements.image_volume else {"initContainers": [_runtime_container(config, order.each)]}),
        "containers": [_worker_container(config, order, command)],
        "volumes": [_runtime_volume(config, requirements), *_volumes(order)],
    }
    if config.pull_secrets:
        spec["imagePullSecrets"] = [{"name": each} for each in config.pull_secrets]
    if placement.priority_class:
        spec["priorityClassName"] = placement.priority_class
    affinity = _affinity(config, order, requirements.node_pool)
    if affinity:
        spec["affinity"] = affinity
    return spec


def _runtime_container(config: KubernetesConfig, each: Resources) -> Manifest:
    """Return the container that copies the private Python. It requests no more than the trial, so the sum stays."""
    return {
        "name": RUNTIME,
        "image": config.runtime_image,
        "imagePullPolicy": "IfNotPresent",
        "command": private_python.copy_command(_RUNTIME_FOLDER, MOUNT),
        "resources": _resources(config, replace(each, gpu=0)),
        "securityContext": {**_SECURITY, "readOnlyRootFilesystem": True},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": VOLUME, "mountPath": MOUNT}],
    }


def _worker_container(config: KubernetesConfig, order: WorkerOrder, command: Sequence[str]) -> Manifest:
    env: list[Manifest] = [
        {"name": "ORCHESTUNE_WORKER_FILE", "value": f"{ORDERS}/{FILE}"},
        {"name": "ORCHESTUNE_NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
    ]
    mounts: list[Manifest] = [
        {"name": VOLUME, "mountPath": MOUNT, "readOnly": True},
        {"name": "orders", "mountPath": ORDERS, "readOnly": True},
        {"name": "state", "mountPath": STATE},
    ]
    if not any(volume.mount.rstrip("/") == "/tmp" for volume in order.placement.volumes):
        mounts.append({"name": "tmp", "mountPath": "/tmp"})
    if order.placement.shm is not None:
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})
    mounts += [
        {"name": f"volume-{index}", "mountPath": volume.mount, **({"readOnly": True} if volume.read_only else {})}
        for index, volume in enumerate(order.placement.volumes)
    ]
    return {
        "name": CONTAINER,
        "image": order.placement.image or config.default_image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(command),
        "env": env,
        "workingDir": STATE,
        "resources": _resources(config, order.each),
        "securityContext": dict(_SECURITY),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }


_SECURITY: Manifest = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def _pod_security(config: KubernetesConfig, requirements: ClusterRequirements) -> Manifest:
    """Return what Pod Security's `restricted` requires, except the user if root is allowed: images choose theirs."""
    security: Manifest = {"seccompProfile": {"type": "RuntimeDefault"}}
    if requirements.restricted:
        security |= {"runAsNonRoot": True} | ({} if config.user is None else {"runAsUser": config.user})
    return security


def _resources(config: KubernetesConfig, each: Resources) -> Manifest:
    amounts: dict[str, str] = {}
    if each.cpu is not None:
        amounts["cpu"] = cores(each.cpu)
    if each.memory is not None:
        amounts["memory"] = str(each.memory)
    if each.gpu:
        amounts[config.gpu_resource] = str(each.gpu)
    limits = {name: value for name, value in amounts.items() if name != "cpu" or not each.has_assumed_cpu}
    return {"requests": amounts, "limits": limits}


def _tolerations(config: KubernetesConfig, each: Resources, pool: str | None, node_pool: NodePool) -> list[Manifest]:
    tolerations: list[Manifest] = [
        {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}
        for key, seconds in (("not-ready", _UNREACHABLE_SECONDS), ("unreachable", _UNREACHABLE_SECONDS))
    ]
    if each.gpu:
        tolerations += [{"key": key, "operator": "Exists"} for key in config.card_taints]
    if pool is not None:
        tolerations.append({"key": config.pool_label, "operator": "Equal", "value": pool})
    tolerations += [
        {"key": key, "operator": "Equal", "value": value, "effect": effect} for key, value, effect in node_pool.taints
    ]
    return tolerations


def _affinity(config: KubernetesConfig, order: WorkerOrder, node_pool: NodePool) -> Manifest:
    """Return the affinity to the pool's nodes, by label or, if unlabelled, by name; avoided nodes are excluded."""
    avoided = [{"key": "metadata.name", "operator": "NotIn", "values": [each]} for each in sorted(order.avoid)]
    pool = order.placement.pool
    cards: list[Manifest] = []
    if node_pool.products:
        cards = [{"key": PRODUCT, "operator": "In", "values": list(node_pool.products)}]
    if pool is None:
        terms: list[Manifest] = [_term(cards, avoided)] if cards or avoided else []
    else:
        labelled: Manifest = {"key": config.pool_label, "operator": "In", "values": [pool]}
        terms = [_term([labelled, *cards], avoided)]
        terms += [
            _term(cards, [{"key": "metadata.name", "operator": "In", "values": [each]}])
            for each in node_pool.nodes
            if each not in order.avoid
        ]
    if not terms:
        return {}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


def _term(labels: Sequence[Manifest], fields: Sequence[Manifest]) -> Manifest:
    term: Manifest = {"matchExpressions": list(labels)} if labels else {}
    return term | ({"matchFields": list(fields)} if fields else {})


def _runtime_volume(config: KubernetesConfig, requirements: ClusterRequirements) -> Manifest:
    """Return the volume. It mounts the whole image: runtimes without `subPath` support ignore it silently."""
    if requirements.image_volume:
        return {"name": VOLUME, "image": {"reference": config.runtime_image, "pullPolicy": "IfNotPresent"}}
    return {"name": VOLUME, "emptyDir": {}}


def _volumes(order: WorkerOrder) -> list[Manifest]:
    volumes: list[Manifest] = [
        {"name": "orders", "secret": {"secretName": name(order), "defaultMode": 0o444}},
        {"name": "state", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
    ]
    if order.placement.shm is not None:
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": str(order.placement.shm)}})
    return volumes + [
        {"name": f"volume-{index}", **_source(volume)} for index, volume in enumerate(order.placement.volumes)
    ]


def _source(volume: Volume) -> Manifest:
    if volume.claim is not None:
        claim: Manifest = {"claimName": volume.claim}
        return {"persistentVolumeClaim": claim | ({"readOnly": True} if volume.read_only else {})}
    return {"hostPath": {"path": volume.path}}
