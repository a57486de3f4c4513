"""Preflight checks: the cluster objects that an experiment names must exist before anything is started."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.backends.kubernetes.observation.capacity import PRODUCT
from orchestune.backends.kubernetes.observation.queues import preferred_version
from orchestune.domain.resources.placement import Placement
from orchestune.domain.resources.resources import Resources
from orchestune.errors import Denied, NotFound, UsageError
from orchestune.kubeapi.client import ApiServer

_TEMPLATE_KEYS = ("metadata", "spec")
_MAX_DEPTH = 32
"""maximum nesting of a `pod:`; the deepest field of a pod template is on level 12"""


def check(api: ApiServer, config: KubernetesConfig, placement: Placement) -> None:
    """Raise UsageError for missing objects. Objects that the server may not read are assumed to exist."""
    if not placement.image and not config.default_image:
        raise UsageError(
            "no image is given, and this cluster has no default one",
            "write `image:` (or `dockerfile:`, `install:`) in the experiment file",
        )
    check_pod(placement.pod)
    inside = f"/api/v1/namespaces/{config.namespace}"
    if placement.service_account:
        _exists(api, f"{inside}/serviceaccounts/{placement.service_account}", "ServiceAccount", "service_account")
    for volume in placement.volumes:
        if volume.claim is not None:
            _exists(api, f"{inside}/persistentvolumeclaims/{volume.claim}", "PersistentVolumeClaim", "volumes")
    if placement.priority_class:
        path = f"/apis/scheduling.k8s.io/v1/priorityclasses/{placement.priority_class}"
        _exists(api, path, "PriorityClass", "priority_class")
    if placement.queue:
        _queue(api, config.namespace, placement.queue)


def check_pod(pod: Mapping[str, Any]) -> None:
    """Raise UsageError if `pod:` cannot be merged into a pod template."""
    unknown_keys = sorted(pod.keys() - set(_TEMPLATE_KEYS))
    if unknown_keys:
        raise UsageError(
            f"`pod:` is merged into a pod template, which has no key {unknown_keys[0]}",
            "it has `metadata` and `spec`: pod: {spec: {…}}",
        )
    if _depth(pod) > _MAX_DEPTH:
        raise UsageError(f"`pod:` is nested more than {_MAX_DEPTH} levels deep", "no field of a pod lies that deep")
    metadata = pod.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, Mapping) else None
    for key, value in {**pod, "metadata.labels": labels or {}}.items():
        if not isinstance(value, Mapping):
            raise UsageError(
                f"`pod.{key}` has to be a mapping, found {json.dumps(value)}", "leave it out where it says nothing"
            )


def _depth(value: object) -> int:
    """Return the nesting depth, counted without recursion and at most one above the limit."""
    level: list[object] = [value]
    for depth in range(_MAX_DEPTH + 1):
        level = [
            below
            for item in level
            if isinstance(item, (Mapping, list))
            for below in (item.values() if isinstance(item, Mapping) else item)
        ]
        if not level:
            return depth
    return _MAX_DEPTH + 1


def check_resources(each: Resources) -> None:
    """Raise UsageError for requests that no node of any cluster can satisfy."""
    if 0 < each.gpu < 1:
        raise UsageError(
            f"`resources.gpu: {each.gpu:g}` is a share of a GPU, and device plugins allocate whole GPUs",
            "if the cluster shares its GPUs (NVIDIA's time-slicing), each slice counts as a GPU: connect it with"
            " --gpu-resource nvidia.com/gpu.shared and ask for `gpu: 1`",
        )
    if each.pin:
        raise UsageError(
            "`resources.pin` is for processes of one machine; in a cluster the kubelet pins (its static CPU manager)",
            "leave it out: --set resources.pin=false",
        )


def check_gpu_labels(each: Resources, products: Sequence[str]) -> None:
    """Raise UsageError for requests of particular GPUs that no labelled node has, if nodes are not all known.

    `products` are the labels of nodes whose GPUs match the trial.
    """
    if (each.gpu_type or each.gpu_memory) and not products:
        raise UsageError(
            f"a trial needs {each.gpu_text}, and no node that is there now is labelled ({PRODUCT}) with such GPUs",
            "name the pool of nodes that have them: `pool: NAME`, and leave out `type` and `memory`",
        )


def _exists(api: ApiServer, path: str, kind: str, key: str) -> None:
    try:
        api.call("GET", path)
    except NotFound:
        name = path.rpartition("/")[2]
        raise UsageError(f"the cluster has no {kind} {name} here", f"see `{key}` in the experiment file") from None
    except Denied:
        pass


def _queue(api: ApiServer, namespace: str, queue: str) -> None:
    """Check the queue: its Job is suspended until Kueue admits it, so without Kueue it would be pending forever."""
    try:
        version = preferred_version(api)
    except NotFound:
        raise UsageError(
            f"the cluster has no Kueue, which the queue {queue} needs", "leave `queue` out, or have Kueue installed"
        ) from None
    except Denied:
        return
    _exists(api, f"/apis/{version}/namespaces/{namespace}/localqueues/{queue}", "LocalQueue", "queue")
