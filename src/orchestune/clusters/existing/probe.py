"""Probe pods: test if a pod of a pool starts, reaches the server and sees its GPUs, or if an image can be pulled."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from orchestune.clusters.existing.client import ContextClient
from orchestune.clusters.existing.config import PORT, SERVICE, WORKER, ConnectionSettings
from orchestune.clusters.existing.deployment import RESTRICTED
from orchestune.clusters.existing.objects import manifest
from orchestune.clusters.existing.rollout import pulling, unscheduled
from orchestune.errors import OrchestuneError
from orchestune.images.runtime.private_python import interpreter
from orchestune.images.runtime.server_image import RUNTIME
from orchestune.kubeapi.labels import NO_MESH_ANNOTATIONS, NO_MESH_LABELS

Manifest = dict[str, Any]
_USER = 65532
_POLL = 0.5
_ENDED = ("Succeeded", "Failed")
_MADE = ("CreateContainerError", "RunContainerError", "StartError", "CrashLoopBackOff")
"""waiting reasons that imply the image was pulled"""

LOOK = f"""
import glob, json, os, socket, time, urllib.request
said = {{"gpus": len(glob.glob("/dev/nvidia[0-9]*")), "visible": os.environ.get("NVIDIA_VISIBLE_DEVICES", "")}}
host = "{SERVICE}.%(namespace)s.svc"
began = time.monotonic()
try:
    said["address"] = socket.getaddrinfo(host, {PORT})[0][4][0]
    said["dns"] = time.monotonic() - began
    urllib.request.build_opener(urllib.request.ProxyHandler({{}})).open(f"http://{{host}}:{PORT}/healthz", timeout=10)
    said["server"] = True
except OSError as exc:
    said["error"] = str(exc)
print(json.dumps(said))
"""


@dataclass(frozen=True)
class ProbeTarget:
    """Target of a probe: node names (none: any node) and the number of GPUs to request."""

    name: str
    nodes: tuple[str, ...] = ()
    gpus: int = 0


@dataclass(frozen=True)
class ProbeResult:
    """Result of a probe."""

    pool: ProbeTarget
    seconds: float
    failure: str = ""
    """reason why the pod never ran; empty if it ran"""
    dns_error: str = ""
    server: bool = False
    gpus: int = 0
    node: str = ""


def pod(connection: ConnectionSettings, pool: ProbeTarget, mark: str, image: str = "") -> Manifest:
    """Build the probe pod, conforming to Pod Security `restricted`. Without `image` it runs the checks in the server's
    image; with one it only tests the pull, and its command does not exist.
    """
    # a LimitRange may set minimum requests and a maximum ratio of limits to requests
    resources: Manifest = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "200m", "memory": "256Mi"}}
    if pool.gpus:
        resources["limits"][connection.gpu_resource] = str(pool.gpus)
    security: Manifest = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if connection.user is not None:
        security["runAsUser"] = _USER
    spec: Manifest = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": 300,
        "terminationGracePeriodSeconds": 0,
        "nodeSelector": connection.platform.labels,
        "serviceAccountName": WORKER,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": security,
        "tolerations": [{"operator": "Exists"}],
        "containers": [
            {
                "name": "look",
                "image": image or connection.server_image,
                "imagePullPolicy": "Always" if image else "IfNotPresent",
                "command": ["/none"]
                if image
                else [*interpreter(RUNTIME), "-c", LOOK % {"namespace": connection.namespace}],
                "resources": resources,
                "securityContext": RESTRICTED,
            }
        ],
    }
    if pool.nodes:
        spec["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": _on(pool.nodes)}}
    if connection.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in connection.pull_secrets]
    made = manifest("v1", "Pod", f"orchestune-test-{mark}", connection, "test", spec=spec)
    made["metadata"]["labels"] |= NO_MESH_LABELS
    made["metadata"]["annotations"] = NO_MESH_ANNOTATIONS
    return made


def _on(nodes: Sequence[str]) -> Manifest:
    """Build a node selector for any of `nodes`; one term accepts only one name."""
    expressions = [{"key": "metadata.name", "operator": "In", "values": [node]} for node in nodes]
    return {"nodeSelectorTerms": [{"matchFields": [expression]} for expression in expressions]}


def look(
    api: ContextClient,
    connection: ConnectionSettings,
    pool: ProbeTarget,
    mark: str,
    *,
    seconds: float = 120.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> ProbeResult:
    """Run a probe pod to completion and delete it. Blocking. Raises if the cluster refuses the pod."""

    def ended(found: Manifest, took: float) -> ProbeResult | None:
        over = (found.get("status") or {}).get("phase") in _ENDED
        return _seen(api, connection, pool, found, took) if over else None

    return _tried(api, connection, pool, pod(connection, pool, mark), ended, seconds, clock, sleep)


def pull(
    api: ContextClient,
    connection: ConnectionSettings,
    pool: ProbeTarget,
    mark: str,
    image: str,
    *,
    seconds: float = 120.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> ProbeResult:
    """Make a node of the pool pull an image, revalidating it with the registry. Otherwise like `look`."""

    def pulled(found: Manifest, took: float) -> ProbeResult | None:
        return ProbeResult(pool, took, node=str(found["spec"].get("nodeName", ""))) if _is_pulled(found) else None

    return _tried(api, connection, pool, pod(connection, pool, mark, image), pulled, seconds, clock, sleep)


def _is_pulled(found: Manifest) -> bool:
    for status in (found.get("status") or {}).get("containerStatuses") or ():
        state = status.get("state") or {}
        if "terminated" in state or (state.get("waiting") or {}).get("reason") in _MADE:
            return True
    return False


def _tried(
    api: ContextClient,
    connection: ConnectionSettings,
    pool: ProbeTarget,
    document: Manifest,
    over: Callable[[Manifest, float], ProbeResult | None],
    seconds: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> ProbeResult:
    began = clock()
    api.delete(document)
    try:
        _create(api, document, began + seconds, clock, sleep)
        while True:
            found = api.get("v1", "Pod", document["metadata"]["name"], connection.namespace) or {}
            took = clock() - began
            seen = over(found, took)
            if seen is not None:
                return seen
            trouble = pulling(found)
            why = trouble[0] if trouble else unscheduled(found)
            if (trouble and trouble[1]) or took > seconds:
                return ProbeResult(pool, took, why or "it did not start in time")
            sleep(_POLL)
    finally:
        api.delete(document)


def _create(
    api: ContextClient, document: Manifest, until: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> None:
    """Create the pod after the one of an earlier, interrupted probe is deleted."""
    name, space = document["metadata"]["name"], document["metadata"]["namespace"]
    while api.get("v1", "Pod", name, space) is not None and clock() < until:
        sleep(_POLL)
    api.create(document)


def _seen(
    api: ContextClient, connection: ConnectionSettings, pool: ProbeTarget, found: Manifest, took: float
) -> ProbeResult:
    name, node = found["metadata"]["name"], str(found["spec"].get("nodeName", ""))
    text = api.text("GET", f"/api/v1/namespaces/{connection.namespace}/pods/{name}/log")
    try:
        said = json.loads(text.strip().splitlines()[-1])
    except (ValueError, IndexError) as exc:
        if found["status"]["phase"] == "Failed":
            return ProbeResult(
                pool, took, f"it failed: {text.strip()[-400:] or found['status'].get('message', '')}", node=node
            )
        raise OrchestuneError(f"the pod {name} said nothing that can be read: {text[-400:]}") from exc
    return ProbeResult(pool, took, "", str(said.get("error", "")), bool(said.get("server")), int(said["gpus"]), node)
