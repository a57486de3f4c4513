"""Why a pod is pending, and if it can still start."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from orchestune.backends.kubernetes.observation.views import Document, ObjectEvent, container_statuses
from orchestune.backends.kubernetes.observation.worker_state import NonRoot, ObservedState, refused, waiting
from orchestune.images.registries.untrusted import remedy

IMAGE_PATIENCE = 300.0
"""seconds of registry outages or ambiguous errors until an image counts as impossible to pull"""
CONFIG_PATIENCE = 120.0
"""seconds until a missing Secret or volume counts as a permanent error"""
_NEVER = re.compile(
    r"not found|manifest unknown|MANIFEST_UNKNOWN|name unknown|no match for platform|does not exist|"
    r"unauthorized|authorization failed|authentication required|access denied|403 Forbidden|401 Unauthorized|"
    r"invalid reference|unsupported media type|exec format error",
    re.IGNORECASE,
)
_PULLING = ("ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed")
_NOISE = re.compile(
    r"^(?:Back-off pulling image \"[^\"]*\": ?)?(?:ErrImagePull: ?)?"
    r"(?:failed to pull and unpack image \"[^\"]*\": ?|rpc error: code = \w+ desc = ?|"
    r"failed to resolve (?:reference|image) ?(?:\"[^\"]*\"|[^\" ]*): ?)*"
)
_PULLED = re.compile(r"(?:pulling image|pull and unpack image|pull image) \"([^\"]+)\"")
_VOLUME = re.compile(r'for volume "(?P<name>[^"]+)"')
_UNMOUNTED = re.compile(r"unmounted volumes=\[(?P<names>[^\]]*)\]")
"""from the event that repeats every two minutes while a volume cannot be mounted; the cause is in an earlier event,
which also recurs"""
_LACKS = re.compile(
    r"(?:secret|configmap) \"(?P<name>[^\"]+)\" not found|references non-existent (?:secret|config) key"
)
_SETUP = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox", "FailedCreatePodContainer", "NetworkNotReady")


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
            found = (status.get("state") or {}).get("waiting")
            if found and found.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
                return _container(status, found, events, stuck)
    return _starting(pod, events, stuck)


def _unschedulable(message: str, shortage: str) -> ObservedState:
    said = message.partition(" preemption:")[0].rstrip(". ")
    text = f"{shortage} ({said})" if shortage else f"no node can run it: {said}"
    return waiting(text, "node")


def _container(status: Document, found: Document, events: Sequence[ObjectEvent], stuck: float) -> ObservedState:
    reason, message = str(found["reason"]), str(found.get("message") or "").strip()
    pulled = _PULLED.search(message)  # may be the image of a volume
    image = (pulled and pulled[1]) or status.get("image") or "its image"
    if reason in ("InvalidImageName", "ErrImageNeverPull"):
        return refused(f"the image {image} cannot be pulled: {message or reason}")
    if reason in _PULLING:
        cause = _cause(message) or _last(events, ("Failed",)) or reason
        text = f"the image {image} cannot be pulled: {cause}{remedy(cause)}"
        certain = reason == "ImagePullBackOff" and _NEVER.search(cause)
        return refused(text) if certain or stuck >= IMAGE_PATIENCE else waiting(f"{text}; trying again", "image")
    if reason in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
        text = f"the container {status['name']} cannot be made: {message or reason}"
        root = reason == "CreateContainerConfigError" and message.startswith("container has runAsNonRoot")
        hint = "; the image's user must not be root here: set `pod: {spec: {securityContext: {runAsUser: …}}}`"
        if root or stuck >= CONFIG_PATIENCE:
            return refused(text + (hint if root else ""), NonRoot.POD if root else NonRoot.UNKNOWN)
        return waiting(text, "container")
    return waiting(f"the container {status['name']} waits: {message or reason}", "container")


def _starting(pod: Document, events: Sequence[ObjectEvent], stuck: float) -> ObservedState:
    """Judge by the latest event: earlier trouble is over."""
    noted = sorted((event for event in events if event.kind == "Pod"), key=lambda event: event.at)
    latest, node = noted[-1] if noted else None, pod["spec"]["nodeName"]
    if latest is not None and latest.warning and latest.reason in _SETUP:
        said = _cause(_telling(noted).message)
        text, lacks = f"cannot be set up on {node}: {said}", _LACKS.search(said)
        if lacks is None or pod["metadata"]["name"].startswith(lacks["name"] or " "):  # the server still creates it
            return waiting(text, "setup")
        return refused(text) if stuck >= CONFIG_PATIENCE else waiting(text, "volume")
    if latest is not None and latest.reason == "Pulling":
        return waiting(latest.message[:1].lower() + latest.message[1:], "pulling")
    return waiting(f"is being set up on {node}", "setup")


def _telling(noted: Sequence[ObjectEvent]) -> ObjectEvent:
    """Return the latest event, or the earlier one with the cause if the latest only says that a volume is unmounted."""
    latest = noted[-1]
    waits = _UNMOUNTED.search(latest.message)
    names = waits["names"].split() if waits else ()
    for event in reversed(noted):
        volume = _VOLUME.search(event.message)
        if event.reason == latest.reason and volume and volume["name"] in names:
            return event
    return latest


def _cause(message: str) -> str:
    """Return the cause of a failed pull without the surrounding prefixes."""
    if message.startswith("Back-off pulling image") and "ErrImagePull" not in message:
        return ""  # older clusters report the cause in an event only
    return message[_NOISE.match(message).end() :] if _NOISE.match(message) else message  # type: ignore[union-attr]


def _last(events: Sequence[ObjectEvent], reasons: Sequence[str]) -> str:
    """Return the message of the latest warning with one of these reasons; empty if none."""
    found = [event for event in events if event.kind == "Pod" and event.warning and event.reason in reasons]
    return _cause(max(found, key=lambda event: event.at).message) if found else ""
