"""Reduced views of API documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]
_MAX_EVENT_CHARS = 1000
MAX_TEXT_CHARS = 4096
"""of a text in an object: a termination message has as many bytes. Experiments can make the kubelet write 100 KiB."""
_OMITTED = " […] "


def shortened(text: str, max_chars: int = MAX_TEXT_CHARS) -> str:
    """Return the text without its middle if it is longer."""
    if len(text) <= max_chars:
        return text
    half = (max_chars - len(_OMITTED)) // 2
    return text[:half] + _OMITTED + text[-half:]


@dataclass(frozen=True)
class ObjectEvent:
    """An event about one of our objects."""

    kind: str
    """kind of the object: `Job`, `Pod`, or `Workload`, which Kueue creates for a Job"""
    name: str
    """name of the object, or of the Job that the Workload is for"""
    reason: str
    message: str
    warning: bool
    at: str
    """timestamp as text of the API, which sorts chronologically"""


@dataclass(frozen=True)
class NodeOom:
    """A report of a node that its kernel killed a process because the node, not a container, ran out of memory."""

    node: str
    message: str
    at: str


@dataclass(frozen=True)
class NodeShortage:
    """What a node reports about its own memory."""

    has_pressure: bool = False
    ooms: Sequence[NodeOom] = ()


def node_oom(document: Mapping[str, Any]) -> NodeOom | None:
    """Parse a `SystemOOM` event about a node; None for other events."""
    about = document.get("involvedObject") or {}
    if about.get("kind") != "Node" or document.get("reason") != "SystemOOM":
        return None
    return NodeOom(str(about.get("name") or ""), str(document.get("message") or "").strip(), _latest(document))


def _latest(document: Mapping[str, Any]) -> str:
    """Return the time of the latest occurrence of an event, as text of the API."""
    series = document.get("series") or {}
    times = (series.get("lastObservedTime"), document.get("lastTimestamp"), document.get("eventTime"))
    return next((str(time) for time in times if time), str(document["metadata"].get("creationTimestamp") or ""))


def event(document: Mapping[str, Any]) -> ObjectEvent | None:
    """Parse an event about a worker's Job, pod or Workload; None for other events."""
    about = document.get("involvedObject") or {}
    kind, name = str(about.get("kind") or ""), str(about.get("name") or "")
    if kind == "Workload":
        name = name.removeprefix("job-").rpartition("-")[0]  # job-NAME-a1b2c
    if kind not in ("Job", "Pod", "Workload") or not name.startswith("orchestune-"):
        return None
    return ObjectEvent(
        kind,
        name,
        str(document.get("reason") or ""),
        shortened(str(document.get("message") or "").strip(), _MAX_EVENT_CHARS),
        document.get("type") == "Warning",
        _latest(document),
    )


def condition(document: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    """Return the condition of that type if its status is True, else None."""
    for item in (document.get("status") or {}).get("conditions") or ():
        if item.get("type") == kind and item.get("status") == "True":
            match: Mapping[str, Any] = item
            return match
    return None


def container_statuses(pod: Mapping[str, Any], key: str) -> list[Document]:
    """Return the `containerStatuses` or `initContainerStatuses`; empty if absent."""
    return list(pod["status"].get(key) or ())
