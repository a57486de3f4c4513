"""What Kueue says of the Jobs in its queues. Its events tell a part of that only, and are gone after an hour."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestune.backends.kubernetes.client import Api
from orchestune.backends.kubernetes.views import Document
from orchestune.backends.kubernetes.watching import Kept
from orchestune.errors import OrchestuneError

log = logging.getLogger(__name__)

GROUP = "kueue.x-k8s.io"
QUEUE = f"{GROUP}/queue-name"
_AGAIN = 60.0
"""seconds after which a cluster without Kueue, or one that does not say, is asked again"""
_ASSIGNING = re.compile(r"^couldn't assign flavors to pod set [^:]*: ")
_FOR = re.compile(r"^Preempted to accommodate a workload \([^)]*\)(?: due to (?P<why>[^;]+))?.*", re.DOTALL)


@dataclass(frozen=True)
class Workload:
    """What Kueue makes of a Job."""

    job: str
    waits: str = ""
    """why the Job may not begin; empty while it may, or where nothing is said yet"""
    evicted: str = ""
    """why the Job had to give its place back the last time"""


class Queues:
    """The Workloads of a namespace, watched as soon as one of our Jobs waits in a queue."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api, self._namespace = api, namespace
        self._lock = threading.Lock()
        self._kept: Kept[Workload] | None = None
        self._ended = False
        self._next = 0.0

    def open(self) -> None:
        """Begin to watch. Idempotent; one request the first time."""
        with self._lock:
            if self._kept is not None or self._ended or time.monotonic() < self._next:
                return
            self._next = time.monotonic() + _AGAIN
        try:
            version = preferred_version(self._api)
        except OrchestuneError as exc:
            log.info("what waits in queues is told without the words of Kueue: %s", exc)
            return
        path = f"/apis/{version}/namespaces/{self._namespace}/workloads"
        with self._lock:
            if not self._ended:
                self._kept = Kept(self._api, path, {}, workload)
                self._kept.start()

    def close(self) -> None:
        """End the watch."""
        with self._lock:
            self._ended, kept = True, self._kept
        if kept is not None:
            kept.stop()
            kept.join(10.0)

    def by_job(self) -> dict[str, Workload]:
        """The Workload of each Job that has one."""
        with self._lock:
            kept = self._kept
        return {found.job: found for found in kept.all()} if kept is not None else {}


def preferred_version(api: Api) -> str:
    """`kueue.x-k8s.io/v1beta2`, say. NotFound where the cluster has no Kueue."""
    group = api.call("GET", f"/apis/{GROUP}")
    return str((group.get("preferredVersion") or {}).get("groupVersion") or f"{GROUP}/v1beta1")


def queue_of(job: Mapping[str, Any]) -> str:
    """The LocalQueue in which a Job is; empty: in none."""
    return str((job["metadata"].get("labels") or {}).get(QUEUE) or "")


def workload(document: Document) -> Workload | None:
    """A Workload; None where it is not of a Job."""
    owners = document["metadata"].get("ownerReferences") or ()
    job = next((str(owner["name"]) for owner in owners if owner.get("kind") == "Job"), "")
    status: Document = document.get("status") or {}
    conditions = {str(item.get("type")): item for item in status.get("conditions") or ()}
    return Workload(job, _waits(document, status, conditions), _evicted(conditions)) if job else None


def plain(message: str) -> str:
    """What Kueue says, without what is the same each time."""
    return _ASSIGNING.sub("", message.strip())


def _waits(document: Document, status: Document, conditions: Mapping[str, Document]) -> str:
    if (document.get("spec") or {}).get("active") is False:
        return "it was deactivated there" + (f" ({why})" if (why := _evicted(conditions)) else "")
    if _holds(conditions, "Admitted"):
        return ""
    if _holds(conditions, "QuotaReserved"):
        checks = [item for item in status.get("admissionChecks") or () if item.get("state") != "Ready"]
        return "; ".join(f"the check {item['name']} is {_check(item)}" for item in checks)
    return plain(str((conditions.get("QuotaReserved") or {}).get("message") or ""))


def _check(item: Document) -> str:
    said = str(item.get("message") or "").strip()
    return str(item.get("state") or "Pending").lower() + (f" ({said})" if said else "")


def _evicted(conditions: Mapping[str, Document]) -> str:
    message = str((conditions.get("Evicted") or {}).get("message") or "").strip()
    preempted = _FOR.match(message)
    return (preempted["why"] or "").strip() if preempted else message


def _holds(conditions: Mapping[str, Document], kind: str) -> bool:
    return (conditions.get(kind) or {}).get("status") == "True"
