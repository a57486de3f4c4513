"""Kueue's Workloads of queued Jobs. Kueue's events carry only part of this, and expire after an hour."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestune.backends.kubernetes.observation.views import Document
from orchestune.backends.kubernetes.observation.watching import WatchCache
from orchestune.errors import OrchestuneError
from orchestune.kubeapi.client import ApiServer

log = logging.getLogger(__name__)

GROUP = "kueue.x-k8s.io"
QUEUE = f"{GROUP}/queue-name"
_LOOKUP_SECONDS = 60.0
"""pause until the API of Kueue is looked up again after it was missing or forbidden"""
_ASSIGNMENT_PREFIX = re.compile(r"^couldn't assign flavors to pod set [^:]*: ")
_PREEMPTION = re.compile(r"^Preempted to accommodate a workload \([^)]*\)(?: due to (?P<why>[^;]+))?.*", re.DOTALL)


@dataclass(frozen=True)
class Workload:
    """Kueue's state of a Job."""

    job: str
    waits: str = ""
    """why the Job is not admitted; empty if it is, or if no reason is given yet"""
    evicted: str = ""
    """why the Job was last evicted"""


class Queues:
    """The Workloads of a namespace, watched once one of our Jobs is queued."""

    def __init__(self, api: ApiServer, namespace: str) -> None:
        self._api, self._namespace = api, namespace
        self._lock = threading.Lock()
        self._cache: WatchCache[Workload] | None = None
        self._ended = False
        self._next_lookup = 0.0

    def open(self) -> None:
        """Start the watch. Idempotent; the first call sends one request."""
        with self._lock:
            if self._cache is not None or self._ended or time.monotonic() < self._next_lookup:
                return
            self._next_lookup = time.monotonic() + _LOOKUP_SECONDS
        try:
            version = preferred_version(self._api)
        except OrchestuneError as exc:
            log.info("what waits in queues is told without the words of Kueue: %s", exc)
            return
        path = f"/apis/{version}/namespaces/{self._namespace}/workloads"
        with self._lock:
            if not self._ended:
                self._cache = WatchCache(self._api, path, {}, workload)
                self._cache.start()

    def close(self) -> None:
        """Stop the watch."""
        with self._lock:
            self._ended, cache = True, self._cache
        if cache is not None:
            cache.stop()
            cache.join(10.0)

    def by_job(self) -> dict[str, Workload]:
        """Return the Workload of each Job that has one."""
        with self._lock:
            cache = self._cache
        return {item.job: item for item in cache.all()} if cache is not None else {}


def preferred_version(api: ApiServer) -> str:
    """Return the API version, such as `kueue.x-k8s.io/v1beta2`. Raises NotFound if Kueue is not installed."""
    group = api.call("GET", f"/apis/{GROUP}")
    return str((group.get("preferredVersion") or {}).get("groupVersion") or f"{GROUP}/v1beta1")


def queue_of(job: Mapping[str, Any]) -> str:
    """Return the name of a Job's LocalQueue; empty if it is not queued."""
    return str((job["metadata"].get("labels") or {}).get(QUEUE) or "")


def workload(document: Document) -> Workload | None:
    """Parse a Workload; None if its owner is not a Job."""
    owners = document["metadata"].get("ownerReferences") or ()
    job = next((str(owner["name"]) for owner in owners if owner.get("kind") == "Job"), "")
    status: Document = document.get("status") or {}
    conditions = {str(item.get("type")): item for item in status.get("conditions") or ()}
    return Workload(job, _waits(document, status, conditions), _evicted(conditions)) if job else None


def plain(message: str) -> str:
    """Return Kueue's message without its constant prefix."""
    return _ASSIGNMENT_PREFIX.sub("", message.strip())


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
    message = str(item.get("message") or "").strip()
    return str(item.get("state") or "Pending").lower() + (f" ({message})" if message else "")


def _evicted(conditions: Mapping[str, Document]) -> str:
    message = str((conditions.get("Evicted") or {}).get("message") or "").strip()
    preempted = _PREEMPTION.match(message)
    return (preempted["why"] or "").strip() if preempted else message


def _holds(conditions: Mapping[str, Document], kind: str) -> bool:
    return (conditions.get(kind) or {}).get("status") == "True"
