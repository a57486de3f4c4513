"""Waits for the server to become ready, and reports why it does not as soon as the cluster shows it.

A reason is looked for where Kubernetes first shows it: conditions of the Deployment (quota, admission), states of the
containers (image pull, crash loop), conditions of the pod (scheduling), the claim, and then the log and events. A
permanent failure ends the wait only after it has lasted for `_FAILURE_PERSISTS_SECONDS`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Container, Iterable
from typing import Any

from orchestune.clusters.existing.client import ContextClient
from orchestune.clusters.existing.config import DATA, SERVER, ConnectionSettings
from orchestune.clusters.existing.objects import path
from orchestune.errors import OrchestuneError, TemporaryError
from orchestune.images.registries.untrusted import remedy
from orchestune.kubeapi.errors import PermissionMissing
from orchestune.kubeapi.labels import SERVERS, selector

Manifest = dict[str, Any]
_PULL_FAILURES = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
_TAIL_LINES = 20
_MAX_CRASHES = 3
"""restarts that count as a crash loop and end the wait"""
_POLL_SECONDS = 0.5
_FAILURE_PERSISTS_SECONDS = 5.0
"""seconds for which a permanent failure must persist: the first status may belong to an earlier attempt"""
_RETRY_ANNOTATION = "orchestune.dev/tried"
_DATABASE_WAIT = re.compile(r"waiting for the database: [^\"\n]*")
_OUTDATED_REASONS = ("Unhealthy", "FailedScheduling")
"""event reasons ignored as outdated: from before the server was ready, or before the pod was scheduled"""


class RolloutFailed(OrchestuneError):
    """The server does not become ready."""

    code = "not_up"


def wait(
    api: ContextClient,
    connection: ConnectionSettings,
    note: Callable[[str], None],
    *,
    seconds: float = 300.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return once every replica of the newest Deployment is ready. `note` receives the pending reason on each change.

    Raises RolloutFailed if the server cannot start as configured, or after `seconds`. If the cluster refused the pod or
    could not pull its image before, it is made to retry at once: its own backoff would take up to 15 minutes.
    """
    last_note, deadline, hopeless_since = "", clock() + seconds, None
    replaced = restart_stuck_pods(api, connection)
    while True:
        try:
            deployment = api.get("apps/v1", "Deployment", SERVER, connection.namespace)
            if deployment is not None and is_ready(deployment):
                return
            reason, is_hopeless = state(api, connection, deployment, replaced)
        except TemporaryError as exc:
            reason, is_hopeless = str(exc), False
        hopeless_since = (clock() if hopeless_since is None else hopeless_since) if is_hopeless else None
        if clock() > deadline or (hopeless_since is not None and clock() - hopeless_since >= _FAILURE_PERSISTS_SECONDS):
            raise RolloutFailed(
                f"the server does not become ready: {reason or 'the cluster gives no reason'}",
                "resolve that, then repeat the command; no data was lost",
            )
        if reason and reason != last_note and not is_hopeless:
            note(reason)
            last_note = reason
        sleep(_POLL_SECONDS)


def restart_stuck_pods(api: ContextClient, connection: ConnectionSettings) -> frozenset[str]:
    """Replace a pod that was refused or is in image pull backoff, by changing an annotation of the pod template.

    Returns the names of the replaced pods; empty if none is stuck, or if this user may not change the Deployment.
    """
    try:
        deployment = api.get("apps/v1", "Deployment", SERVER, connection.namespace)
        if deployment is None:
            return frozenset()
        stuck = frozenset(pod["metadata"]["name"] for pod in _current_pods(api, connection) if _is_pull_failing(pod))
        if not stuck and not _rejection(deployment):
            return frozenset()
        annotations = {_RETRY_ANNOTATION: str(deployment["metadata"]["resourceVersion"])}
        patch = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
        api.call("PATCH", path(deployment), patch, "application/merge-patch+json")
    except (PermissionMissing, TemporaryError):
        return frozenset()
    return stuck


def is_ready(deployment: Manifest) -> bool:
    """Return True if all replicas of the newest revision are ready and no pod of an older one is left."""
    status, replicas = deployment.get("status") or {}, deployment["spec"].get("replicas", 1)
    is_observed = _is_observed(deployment)
    counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas")]
    return bool(is_observed and counts == [replicas] * 3)


def _is_observed(deployment: Manifest) -> bool:
    """Return True if the status describes the newest generation."""
    observed: int = (deployment.get("status") or {}).get("observedGeneration", 0)
    return bool(observed >= deployment["metadata"]["generation"])


def state(
    api: ContextClient, connection: ConnectionSettings, deployment: Manifest | None, replaced: Container[str] = ()
) -> tuple[str, bool]:
    """Return the pending reason, and True if waiting is hopeless. Pods in `replaced` are ignored."""
    if deployment is not None and not _is_observed(deployment):
        return "", False
    pods = [pod for pod in _current_pods(api, connection) if pod["metadata"]["name"] not in replaced]
    if not pods:
        rejection = _rejection(deployment)
        return (rejection, True) if rejection else ("the pod is being created", False)
    pod = pods[-1]
    crash = _crash_reason(api, connection, pod)
    if crash:
        return crash
    pull = pulling(pod)
    if pull:
        return pull
    reason = unscheduled(pod)
    if reason:
        claim = _claim(api, connection)
        return claim or reason, False
    message = _database_wait(api, connection, pod) or _events(api, pod)
    return f"the server is starting: {message}" if message else "the server is starting", False


def _database_wait(api: ContextClient, connection: ConnectionSettings, pod: Manifest) -> str:
    """Return what a running but unready server is waiting for, from its log; empty if unknown."""
    for status in _container_statuses(pod):
        if status.get("ready") or "running" not in (status.get("state") or {}):
            continue
        log = log_tail(api, connection, pod, status["name"], previous=False)
        reasons = _DATABASE_WAIT.findall(log)
        if reasons and "the database is available" not in log:
            return str(reasons[-1])
    return ""


def _current_pods(api: ContextClient, connection: ConnectionSettings) -> list[Manifest]:
    """Return the server's pods that are not being deleted, oldest first."""
    pods = list(api.items("v1", "Pod", connection.namespace, selector(SERVERS)))
    pods.sort(key=lambda pod: str(pod["metadata"].get("creationTimestamp")))
    return [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]


def unscheduled(pod: Manifest) -> str:
    """Return why the pod cannot be scheduled; empty if it can."""
    for condition in pod.get("status", {}).get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"no node can take the pod: {condition.get('message', condition.get('reason', ''))}"
    return ""


def _rejection(deployment: Manifest | None) -> str:
    """Return why quotas or admission rejected the pod; only the Deployment's conditions show that."""
    for condition in ((deployment or {}).get("status") or {}).get("conditions") or ():
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            message = str(condition.get("message", ""))
            if "exceeded quota" in message:
                return f"the namespace's quota forbids the pod: {message.partition('forbidden: ')[2] or message}"
            return f"the cluster refuses the pod: {message}"
    return ""


def _container_statuses(pod: Manifest) -> Iterable[Manifest]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def pulling(pod: Manifest) -> tuple[str, bool] | None:
    """Return why a container cannot be created, and True if waiting is hopeless; None if no container is stuck."""
    for status in _container_statuses(pod):
        waiting = (status.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _PULL_FAILURES:
            message = str(waiting.get("message") or waiting["reason"])
            text = f"the image {status.get('image') or ''} cannot be pulled: {message}{remedy(message)}"
            return text, waiting["reason"] in ("InvalidImageName", "ImagePullBackOff")
        if waiting.get("reason") in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
            return f"cannot create the container: {waiting.get('message', waiting['reason'])}", False
    return None


def _is_pull_failing(pod: Manifest) -> bool:
    """Return True if an image pull failed; only the pod's node knows when the next attempt starts."""
    waiting_states = [(status.get("state") or {}).get("waiting") or {} for status in _container_statuses(pod)]
    return any(waiting.get("reason") in ("ErrImagePull", "ImagePullBackOff") for waiting in waiting_states)


def _crash_reason(api: ContextClient, connection: ConnectionSettings, pod: Manifest) -> tuple[str, bool] | None:
    for status in _container_statuses(pod):
        terminated = (status.get("lastState") or {}).get("terminated") or (status.get("state") or {}).get("terminated")
        if not terminated or status.get("ready"):
            continue
        restarts = int(status.get("restartCount", 0))
        cause = (
            "out of memory" if terminated.get("reason") == "OOMKilled" else f"exit code {terminated.get('exitCode')}"
        )
        message = log_tail(api, connection, pod, status["name"], previous=restarts > 0)
        return f"the server exited ({cause}){message}", restarts >= _MAX_CRASHES
    return None


def log_tail(
    api: ContextClient, connection: ConnectionSettings, pod: Manifest, container: str, *, previous: bool
) -> str:
    """Return the log tail of a container, for an error message; empty if unavailable."""
    place = f"/api/v1/namespaces/{connection.namespace}/pods/{pod['metadata']['name']}/log"
    query: dict[str, Any] = {"container": container, "tailLines": _TAIL_LINES, "previous": "true" if previous else None}
    try:
        lines = api.text("GET", place, query=query).strip().splitlines()
    except OrchestuneError:
        return ""
    return "; the end of its log:\n  " + "\n  ".join(lines) if lines else ""


def _claim(api: ContextClient, connection: ConnectionSettings) -> str:
    """Return why the claim is missing or not bound; empty if it is bound."""
    name = connection.files_claim if connection.stateless else connection.claim or DATA
    if name is None:
        return ""
    try:
        claim = api.get("v1", "PersistentVolumeClaim", name, connection.namespace)
    except PermissionMissing:
        return ""
    if claim is None:
        return f"there is no claim {name} in the namespace {connection.namespace}"
    if (claim.get("status") or {}).get("phase") == "Bound":
        return ""
    message = _events(api, claim)
    kind = claim["spec"].get("storageClassName")
    return (
        f"the claim {name}"
        + (f" of the storage class {kind}" if kind else "")
        + f" is pending: {message or 'not bound yet'}"
    )


def _events(api: ContextClient, document: Manifest) -> str:
    """Return the message of the newest relevant warning event about an object; empty if none."""
    metadata = document["metadata"]
    place = f"/api/v1/namespaces/{metadata['namespace']}/events"
    query: dict[str, Any] = {"fieldSelector": f"involvedObject.uid={metadata['uid']}", "limit": 100}
    try:
        events = api.call("GET", place, query=query).get("items") or []
    except OrchestuneError:
        return ""
    warnings = [
        event for event in events if event.get("type") == "Warning" and event.get("reason") not in _OUTDATED_REASONS
    ]
    warnings.sort(key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
    return str(warnings[-1].get("message", "")) if warnings else ""
