"""Selection of the server's pod, and explanations if there is none or none is ready."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

Pod = dict[str, Any]
STUCK_SECONDS = 15.0
"""seconds after the grace period of a pod from which its node counts as lost; clocks may differ by some"""


def choose(pods: Sequence[Pod]) -> Pod | None:
    """Return the pod to connect to: the newest ready one, otherwise the newest running one; never a terminating one."""
    running = [pod for pod in pods if pod["status"].get("phase") == "Running" and _stays(pod) and not _halted(pod)]
    best = sorted(running, key=lambda pod: (ready(pod), pod["metadata"].get("creationTimestamp") or ""))
    return best[-1] if best else None


def ready(pod: Pod) -> bool:
    """Return True if its readiness probe succeeds."""
    conditions = pod["status"].get("conditions") or ()
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def is_stuck(pods: Sequence[Pod], now: float) -> bool:
    """Return True if a pod should have ended at the Unix time `now` but its node does not confirm that."""
    return _stuck(pods, now) is not None


def _stuck(pods: Sequence[Pod], now: float) -> Pod | None:
    for pod in pods:
        deadline = pod["metadata"].get("deletionTimestamp")  # includes its grace period
        if (
            deadline
            and pod["spec"].get("nodeName")
            and now - datetime.fromisoformat(deadline).timestamp() > STUCK_SECONDS
        ):
            return pod
    return None


def why(pods: Sequence[Pod], now: float = 0.0) -> str:
    """Return the reason why none of the pods can be connected to at the Unix time `now`."""
    if not pods:
        return "it has no pod"
    if (stuck := _stuck(pods, now)) is not None:
        name, due = stuck["metadata"]["name"], stuck["metadata"]["deletionTimestamp"]
        node = stuck["spec"]["nodeName"]
        return f"node {node} is probably lost and holds the server's disk: the end of its pod {name} was due at {due}"
    staying = [pod for pod in pods if _stays(pod)] or list(pods)
    newest = max(staying, key=lambda pod: pod["metadata"].get("creationTimestamp") or "")
    name, phase = newest["metadata"]["name"], newest["status"].get("phase") or "Unknown"
    if not _stays(newest):
        return f"its pod {name} is terminating, and has no replacement yet"
    reason = next(_reasons(newest), "")
    state = "down" if phase == "Running" and _halted(newest) else phase.lower()
    return f"its pod {name} is {state}" + (f": {reason}" if reason else "")


def _stays(pod: Pod) -> bool:
    return not pod["metadata"].get("deletionTimestamp")


def _containers(pod: Pod) -> list[dict[str, Any]]:
    status = pod["status"]
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _halted(pod: Pod) -> bool:
    """Return True if a container is waiting or has terminated: it crashed, or its image cannot be pulled."""
    own = pod["status"].get("containerStatuses") or ()
    return any("running" not in (item.get("state") or {}) for item in own)


def _reasons(pod: Pod) -> Iterator[str]:
    status = pod["status"]
    if status.get("message") or status.get("reason"):
        yield str(status.get("message") or status["reason"])
    for container in _containers(pod):
        waiting = (container.get("state") or {}).get("waiting") or {}
        ended = _ended(container)
        if ended and container.get("restartCount") is not None:
            yield f"its container {container['name']} ended with {ended}, {container['restartCount']} restarts so far"
        elif waiting.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
            yield f"{waiting['reason']}: {waiting.get('message') or container.get('image', '')}"
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield f"no node can run it: {condition.get('message') or condition.get('reason', '')}"
    if any((item.get("state") or {}).get("waiting") for item in _containers(pod)):
        yield "it is starting"


def _ended(container: dict[str, Any]) -> str:
    """Return exit reason and message of a container that failed; empty otherwise."""
    for state in ("state", "lastState"):
        terminated = (container.get(state) or {}).get("terminated")
        if terminated and terminated.get("exitCode"):
            reason = terminated.get("reason") or "Error"
            message_lines = (terminated.get("message") or "").strip().splitlines()
            text = reason if reason not in ("Error", "Completed") else f"exit code {terminated['exitCode']}"
            return f"{text} ({message_lines[-1][:200]})" if message_lines else text
    return ""
