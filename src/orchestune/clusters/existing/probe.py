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
_POLL_SECONDS = 0.5
_FINAL_PHASES = ("Succeeded", "Failed")
_PULLED_REASONS = ("CreateContainerError", "RunContainerError", "StartError", "CrashLoopBackOff")
"""waiting reasons that imply the image was pulled"""

_CHECK_SCRIPT = f"""
import glob, json, os, socket, time, urllib.request
result = {{"gpus": len(glob.glob("/dev/nvidia[0-9]*")), "visible": os.environ.get("NVIDIA_VISIBLE_DEVICES", "")}}
host = "{SERVICE}.%(namespace)s.svc"
start = time.monotonic()
try:
    result["address"] = socket.getaddrinfo(host, {PORT})[0][4][0]
    result["dns"] = time.monotonic() - start
    urllib.request.build_opener(urllib.request.ProxyHandler({{}})).open(f"http://{{host}}:{PORT}/healthz", timeout=10)
    result["server"] = True
except OSError as exc:
    result["error"] = str(exc)
print(json.dumps(result))
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


def pod(connection: ConnectionSettings, pool: ProbeTarget, suffix: str, image: str = "") -> Manifest:
    """Build the probe pod, conforming to Pod Security `restricted`.

    Without `image` it runs the checks in the server's image; with one it only tests the pull, and its command does not
    exist.
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
                else [*interpreter(RUNTIME), "-c", _CHECK_SCRIPT % {"namespace": connection.namespace}],
                "resources": resources,
                "securityContext": RESTRICTED,
            }
        ],
    }
    if pool.nodes:
        spec["affinity"] = {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": _select_nodes(pool.nodes)}
        }
    if connection.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in connection.pull_secrets]
    document = manifest("v1", "Pod", f"orchestune-test-{suffix}", connection, "test", spec=spec)
    document["metadata"]["labels"] |= NO_MESH_LABELS
    document["metadata"]["annotations"] = NO_MESH_ANNOTATIONS
    return document


def _select_nodes(nodes: Sequence[str]) -> Manifest:
    """Build a node selector for any of `nodes`; one term accepts only one name."""
    expressions = [{"key": "metadata.name", "operator": "In", "values": [node]} for node in nodes]
    return {"nodeSelectorTerms": [{"matchFields": [expression]} for expression in expressions]}


def look(
    api: ContextClient,
    connection: ConnectionSettings,
    pool: ProbeTarget,
    suffix: str,
    *,
    seconds: float = 120.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> ProbeResult:
    """Run a probe pod to completion and delete it. Blocking. Raises if the cluster refuses the pod."""

    def ended(probe_pod: Manifest, elapsed: float) -> ProbeResult | None:
        has_ended = (probe_pod.get("status") or {}).get("phase") in _FINAL_PHASES
        return _read_output(api, connection, pool, probe_pod, elapsed) if has_ended else None

    return _run(api, connection, pool, pod(connection, pool, suffix), ended, seconds, clock, sleep)


def pull(
    api: ContextClient,
    connection: ConnectionSettings,
    pool: ProbeTarget,
    suffix: str,
    image: str,
    *,
    seconds: float = 120.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> ProbeResult:
    """Make a node of the pool pull an image, revalidating it with the registry. Otherwise like `look`."""

    def pulled(probe_pod: Manifest, elapsed: float) -> ProbeResult | None:
        if not _is_pulled(probe_pod):
            return None
        return ProbeResult(pool, elapsed, node=str(probe_pod["spec"].get("nodeName", "")))

    return _run(api, connection, pool, pod(connection, pool, suffix, image), pulled, seconds, clock, sleep)


def _is_pulled(probe_pod: Manifest) -> bool:
    for status in (probe_pod.get("status") or {}).get("containerStatuses") or ():
        state = status.get("state") or {}
        if "terminated" in state or (state.get("waiting") or {}).get("reason") in _PULLED_REASONS:
            return True
    return False


def _run(
    api: ContextClient,
    connection: ConnectionSettings,
    pool: ProbeTarget,
    document: Manifest,
    find_result: Callable[[Manifest, float], ProbeResult | None],
    seconds: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> ProbeResult:
    """Create the pod, poll until `find_result` returns a result, and delete the pod in any case."""
    start = clock()
    api.delete(document)
    try:
        _create(api, document, start + seconds, clock, sleep)
        while True:
            probe_pod = api.get("v1", "Pod", document["metadata"]["name"], connection.namespace) or {}
            elapsed = clock() - start
            result = find_result(probe_pod, elapsed)
            if result is not None:
                return result
            pull_problem = pulling(probe_pod)
            reason = pull_problem[0] if pull_problem else unscheduled(probe_pod)
            if (pull_problem and pull_problem[1]) or elapsed > seconds:
                return ProbeResult(pool, elapsed, reason or "it did not start in time")
            sleep(_POLL_SECONDS)
    finally:
        api.delete(document)


def _create(
    api: ContextClient, document: Manifest, deadline: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> None:
    """Create the pod after the one of an earlier, interrupted probe is deleted."""
    name, namespace = document["metadata"]["name"], document["metadata"]["namespace"]
    while api.get("v1", "Pod", name, namespace) is not None and clock() < deadline:
        sleep(_POLL_SECONDS)
    api.create(document)


def _read_output(
    api: ContextClient, connection: ConnectionSettings, pool: ProbeTarget, probe_pod: Manifest, elapsed: float
) -> ProbeResult:
    name, node = probe_pod["metadata"]["name"], str(probe_pod["spec"].get("nodeName", ""))
    text = api.text("GET", f"/api/v1/namespaces/{connection.namespace}/pods/{name}/log")
    try:
        output = json.loads(text.strip().splitlines()[-1])
    except (ValueError, IndexError) as exc:
        if probe_pod["status"]["phase"] == "Failed":
            reason = text.strip()[-400:] or probe_pod["status"].get("message", "")
            return ProbeResult(pool, elapsed, f"it failed: {reason}", node=node)
        raise OrchestuneError(f"cannot parse the output of the pod {name}: {text[-400:]}") from exc
    dns_error, is_server_reached = str(output.get("error", "")), bool(output.get("server"))
    return ProbeResult(pool, elapsed, "", dns_error, is_server_reached, int(output["gpus"]), node)
