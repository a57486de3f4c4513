"""Why a pod is pending, and if it can still start."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from orchestune.backends.kubernetes.observation.views import Document, ObjectEvent, container_statuses
from orchestune.backends.kubernetes.observation.worker_state import NonRoot, ObservedState, refused, waiting
from orchestune.images.registries.untrusted import remedy

IMAGE_ERROR_SECONDS = 300.0
"""duration of registry outages or ambiguous errors until an image counts as impossible to pull"""
CONFIG_ERROR_SECONDS = 120.0
"""duration until a missing Secret or volume counts as a permanent error"""
_PERMANENT_ERROR = re.compile(
    r"not found|manifest unknown|MANIFEST_UNKNOWN|name unknown|no match for platform|does not exist|"
    r"unauthorized|authorization failed|authentication required|access denied|403 Forbidden|401 Unauthorized|"
    r"invalid reference|unsupported media type|exec format error",
    re.IGNORECASE,
)
_PULL_REASONS = (
    "ErrImagePull",
    "ImagePullBackOff",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
)
_ERROR_PREFIXES = re.compile(
    r"^(?:Back-off pulling image \"[^\"]*\": ?)?(?:ErrImagePull: ?)?"
    r"(?:failed to pull and unpack image \"[^\"]*\": ?|rpc error: code = \w+ desc = ?|"
    r"failed to resolve (?:reference|image) ?(?:\"[^\"]*\"|[^\" ]*): ?)*"
)
_PULLED_IMAGE = re.compile(r"(?:pulling image|pull and unpack image|pull image) \"([^\"]+)\"")
_VOLUME = re.compile(r'for volume "(?P<name>[^"]+)"')
_UNMOUNTED = re.compile(r"unmounted volumes=\[(?P<names>[^\]]*)\]")
"""from the event that repeats every two minutes while a volume cannot be mounted; the cause is in an earlier event,
which also recurs"""
_MISSING_OBJECT = re.compile(
    r"(?:secret|configmap) \"(?P<name>[^\"]+)\" not found|references non-existent (?:secret|config) key"
)
_SETUP_REASONS = (
    "FailedMount",
    "FailedAttachVolume",
    "FailedCreatePodSandBox",
    "FailedCreatePodContainer",
    "NetworkNotReady",
)


def judge(pod: Document, events: Sequence[ObjectEvent], shortage: str, stuck: float) -> ObservedState:
    """Judge a pending pod. `stuck`: seconds pending for the same reason."""
    scheduled: dict[str, Any] = next(
        (item for item in pod["status"].get("conditions") or () if item.get("type") == "PodScheduled"), {}
    )
    if scheduled.get("status") == "False":
        if scheduled.get("reason") == "SchedulingGated":
            gates = ", ".join(gate["name"] for gate in pod["spec"].get("schedulingGates") or ())
            return waiting(f"waits behind the gate {gates}", "gate")
        return _unschedulable(str(scheduled.get("message") or ""), shortage)
    if not pod["spec"].get("nodeName"):
        return waiting("waits for the scheduler", "scheduler")
    for key in ("initContainerStatuses", "containerStatuses"):
        for status in container_statuses(pod, key):
            state = (status.get("state") or {}).get("waiting")
            if state and state.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
                return _container(status, state, events, stuck)
    return _starting(pod, events, stuck)


def _unschedulable(message: str, shortage: str) -> ObservedState:
    cause = message.partition(" preemption:")[0].rstrip(". ")
    text = f"{shortage} ({cause})" if shortage else f"no node can run it: {cause}"
    return waiting(text, "node")


def _container(status: Document, state: Document, events: Sequence[ObjectEvent], stuck: float) -> ObservedState:
    reason, message = str(state["reason"]), str(state.get("message") or "").strip()
    pulled = _PULLED_IMAGE.search(message)  # may be the image of a volume
    image = (pulled and pulled[1]) or status.get("image") or "its image"
    if reason in ("InvalidImageName", "ErrImageNeverPull"):
        return refused(f"the image {image} cannot be pulled: {message or reason}")
    if reason in _PULL_REASONS:
        cause = _cause(message) or _last(events, ("Failed",)) or reason
        text = f"the image {image} cannot be pulled: {cause}{remedy(cause)}"
        is_permanent = reason == "ImagePullBackOff" and _PERMANENT_ERROR.search(cause)
        return (
            refused(text) if is_permanent or stuck >= IMAGE_ERROR_SECONDS else waiting(f"{text}; trying again", "image")
        )
    if reason in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
        text = f"the container {status['name']} cannot be made: {message or reason}"
        runs_as_root = reason == "CreateContainerConfigError" and message.startswith("container has runAsNonRoot")
        hint = "; the image's user must not be root here: set `pod: {spec: {securityContext: {runAsUser: …}}}`"
        if runs_as_root or stuck >= CONFIG_ERROR_SECONDS:
            return refused(text + (hint if runs_as_root else ""), NonRoot.POD if runs_as_root else NonRoot.UNKNOWN)
        return waiting(text, "container")
    return waiting(f"the container {status['name']} waits: {message or reason}", "container")


def _starting(pod: Document, events: Sequence[ObjectEvent], stuck: float) -> ObservedState:
    """Judge by the latest event: earlier trouble is over."""
    pod_events = sorted((event for event in events if event.kind == "Pod"), key=lambda event: event.at)
    latest, node = pod_events[-1] if pod_events else None, pod["spec"]["nodeName"]
    if latest is not None and latest.warning and latest.reason in _SETUP_REASONS:
        cause = _cause(_cause_event(pod_events).message)
        text, missing_object = f"cannot be set up on {node}: {cause}", _MISSING_OBJECT.search(cause)
        # A missing object with the name of the pod is our own Secret, which the server still creates.
        if missing_object is None or pod["metadata"]["name"].startswith(missing_object["name"] or " "):
            return waiting(text, "setup")
        return refused(text) if stuck >= CONFIG_ERROR_SECONDS else waiting(text, "volume")
    if latest is not None and latest.reason == "Pulling":
        return waiting(latest.message[:1].lower() + latest.message[1:], "pulling")
    return waiting(f"is being set up on {node}", "setup")


def _cause_event(pod_events: Sequence[ObjectEvent]) -> ObjectEvent:
    """Return the latest event, or the earlier one with the cause if the latest only says that a volume is unmounted."""
    latest = pod_events[-1]
    waits = _UNMOUNTED.search(latest.message)
    names = waits["names"].split() if waits else ()
    for event in reversed(pod_events):
        volume = _VOLUME.search(event.message)
        if event.reason == latest.reason and volume and volume["name"] in names:
            return event
    return latest


def _cause(message: str) -> str:
    """Return the cause of a failed pull without the surrounding prefixes."""
    if message.startswith("Back-off pulling image") and "ErrImagePull" not in message:
        return ""  # older clusters report the cause in an event only
    return message[_ERROR_PREFIXES.match(message).end() :] if _ERROR_PREFIXES.match(message) else message  # type: ignore[union-attr]


def _last(events: Sequence[ObjectEvent], reasons: Sequence[str]) -> str:
    """Return the message of the latest warning with one of these reasons; empty if none."""
    warnings = [event for event in events if event.kind == "Pod" and event.warning and event.reason in reasons]
    return _cause(max(warnings, key=lambda event: event.at).message) if warnings else ""
