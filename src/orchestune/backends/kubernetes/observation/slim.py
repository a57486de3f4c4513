"""Reduction of workers' Jobs and pods to the fields that this package reads.

An experiment may add 64 KiB to its pods. As Python objects these take more than ten times as much, in the Job and in
the pod of each worker, so nothing else that an experiment chooses is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.backends.kubernetes.objects.labels import EXPERIMENT, HANDLE, SERVER, WORKER
from orchestune.backends.kubernetes.objects.runtime_delivery import VOLUME
from orchestune.backends.kubernetes.observation.queues import QUEUE
from orchestune.backends.kubernetes.observation.views import Document, shortened
from orchestune.kubeapi.labels import WORKERS

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_METADATA = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "ownerReferences",
)
_LABELS = (*WORKERS, EXPERIMENT, HANDLE, WORKER, SERVER, QUEUE)
_POD_SPEC = ("nodeName", "activeDeadlineSeconds", "terminationGracePeriodSeconds", "schedulingGates", "overhead")
_POD_STATUS = ("phase", "reason", "message", "conditions")
_CONTAINER_STATUS = ("name", "image", "state")


def slim_job(document: Document) -> Document:
    """Return the fields of a worker's Job that are read."""
    spec = document.get("spec") or {}
    pod_spec = (spec.get("template") or {}).get("spec") or {}
    return {
        "metadata": _metadata(document),
        "spec": {**_some(spec, ("suspend",)), "template": {"spec": {"volumes": _runtime_volume(pod_spec)}}},
        "status": _some(document.get("status"), ("conditions",)),
    }


def slim_pod(document: Document, config: KubernetesConfig) -> Document:
    """Return the fields of a worker's pod that are read."""
    spec, status = document.get("spec") or {}, document.get("status") or {}
    slim_spec = _some(spec, _POD_SPEC) | {"volumes": _runtime_volume(spec)}
    slim_status = _some(status, _POD_STATUS)
    for key in ("containers", "initContainers"):
        slim_spec[key] = [
            _some(each, ("name", "restartPolicy")) | _resources(each, config) for each in spec.get(key) or ()
        ]
    for key in ("containerStatuses", "initContainerStatuses"):
        if status.get(key):
            slim_status[key] = [_some(each, _CONTAINER_STATUS) for each in status[key]]
    slim_spec |= _resources(spec, config) | _affinity(spec, config.pool_label)
    return {"metadata": _metadata(document), "spec": slim_spec, "status": _with_short_texts(slim_status)}


def _with_short_texts(value: Any) -> Any:
    """Return the JSON value with the middle of long texts left out, such as of messages with an image's name."""
    if isinstance(value, str):
        return shortened(value)
    if isinstance(value, list):
        return [_with_short_texts(item) for item in value]
    if isinstance(value, dict):
        return {key: _with_short_texts(item) for key, item in value.items()}
    return value


def _some(fields: Mapping[str, Any] | None, keys: tuple[str, ...]) -> Document:
    return {key: fields[key] for key in keys if key in fields} if fields else {}


def _metadata(document: Document) -> Document:
    metadata = document["metadata"]
    return {**_some(metadata, _METADATA), "labels": _some(metadata.get("labels"), _LABELS)}


def _runtime_volume(spec: Mapping[str, Any]) -> list[Document]:
    """Return the volume with the private Python, if it is an image."""
    volumes = spec.get("volumes") or ()
    return [{"name": VOLUME, "image": {}} for each in volumes if each["name"] == VOLUME and "image" in each]


def _resources(holder: Mapping[str, Any], config: KubernetesConfig) -> Document:
    """Return the resources of a container or pod that trials are scheduled by."""
    counted = ("cpu", "memory", config.gpu_resource)
    resources = holder.get("resources") or {}
    amounts = {key: _some(resources.get(key), counted) for key in ("requests", "limits") if resources.get(key)}
    return {"resources": amounts} if amounts else {}


def _affinity(spec: Mapping[str, Any], pool_label: str) -> Document:
    """Return the pool and the nodes that the affinity names, as one term; empty unless it names exactly one pool."""
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    terms = (affinity.get(REQUIRED) or {}).get("nodeSelectorTerms") or ()
    expressions = [each for term in terms for each in term.get("matchExpressions") or ()]
    pools = {value for each in expressions if each["key"] == pool_label for value in each.get("values") or ()}
    if len(pools) != 1:
        return {}
    fields = [each for term in terms for each in term.get("matchFields") or ()]
    names = {value for each in fields for value in each.get("values") or ()}
    term = {
        "matchExpressions": [{"key": pool_label, "values": list(pools)}],
        "matchFields": [{"values": sorted(names)}],
    }
    return {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [term]}}}}
