"""Whether what an experiment names of the cluster is there, asked before anything is started."""

from __future__ import annotations

from orchestune.backends.kubernetes.client import Api
from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.domain.placement import Placement
from orchestune.errors import Denied, NotFound, UsageError

_TEMPLATE = ("metadata", "spec")


def check(api: Api, config: KubernetesConfig, placement: Placement) -> None:
    """UsageError for what is not there. What the server may not look at is believed."""
    if not placement.image and not config.default_image:
        raise UsageError(
            "no image is given, and this cluster has no default one",
            "write `image:` (or `dockerfile:`, `install:`) in the experiment file",
        )
    strange = sorted(placement.pod.keys() - set(_TEMPLATE))
    if strange:
        raise UsageError(
            f"`pod:` is merged into a pod template, which has no key {strange[0]}",
            "it has `metadata` and `spec`: pod: {spec: {…}}",
        )
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


def _exists(api: Api, path: str, kind: str, key: str) -> None:
    try:
        api.call("GET", path)
    except NotFound:
        name = path.rpartition("/")[2]
        raise UsageError(f"the cluster has no {kind} {name} here", f"see `{key}` in the experiment file") from None
    except Denied:
        pass


def _queue(api: Api, namespace: str, queue: str) -> None:
    """A Job with a queue is suspended until Kueue lets it begin, so without Kueue it would wait for ever."""
    try:
        group = api.call("GET", "/apis/kueue.x-k8s.io")
    except NotFound:
        raise UsageError(
            f"the cluster has no Kueue, which the queue {queue} needs", "leave `queue` out, or have Kueue installed"
        ) from None
    except Denied:
        return
    version = (group.get("preferredVersion") or {}).get("groupVersion", "kueue.x-k8s.io/v1beta1")
    _exists(api, f"/apis/{version}/namespaces/{namespace}/localqueues/{queue}", "LocalQueue", "queue")
