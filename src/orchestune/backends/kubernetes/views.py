"""Parts of the API's documents, cut to what is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]
_DROPPED = ("managedFields",)


@dataclass(frozen=True)
class Event:
    """What a component of the cluster noted about an object of ours."""

    kind: str
    """of the object: `Job`, `Pod`, and `Workload`, which Kueue makes for a Job"""
    name: str
    """of the object, or of the Job that the Workload is for"""
    reason: str
    message: str
    warning: bool
    at: str
    """as the API writes times, which sort as text"""


def event(document: Mapping[str, Any]) -> Event | None:
    """An event about a worker's Job or pod, or about what Kueue makes of its Job; None for others."""
    about = document.get("involvedObject") or {}
    kind, name = str(about.get("kind") or ""), str(about.get("name") or "")
    if kind == "Workload":
        name = name.removeprefix("job-").rpartition("-")[0]  # job-NAME-a1b2c
    if kind not in ("Job", "Pod", "Workload") or not name.startswith("orchestune-"):
        return None
    series = document.get("series") or {}
    times = (series.get("lastObservedTime"), document.get("lastTimestamp"), document.get("eventTime"))
    at = next((str(time) for time in times if time), str(document["metadata"].get("creationTimestamp") or ""))
    return Event(
        kind,
        name,
        str(document.get("reason") or ""),
        str(document.get("message") or "").strip(),
        document.get("type") == "Warning",
        at,
    )


def slim(document: Document) -> Document:
    """An object without what nobody looks at."""
    metadata = {key: value for key, value in document["metadata"].items() if key not in _DROPPED}
    return {**document, "metadata": metadata, "status": document.get("status") or {}}


def condition(document: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    """The condition of that type, if it holds."""
    for item in (document.get("status") or {}).get("conditions") or ():
        if item.get("type") == kind and item.get("status") == "True":
            found: Mapping[str, Any] = item
            return found
    return None


def container_statuses(pod: Mapping[str, Any], key: str) -> list[Document]:
    """`containerStatuses` or `initContainerStatuses`."""
    return list(pod["status"].get(key) or ())
