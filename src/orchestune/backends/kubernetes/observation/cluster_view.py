"""The server's view of the cluster: one watch per kind, and what is derived from them together."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from functools import partial
from typing import Any

from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.backends.kubernetes.objects.labels import WORKER
from orchestune.backends.kubernetes.observation import capacity
from orchestune.backends.kubernetes.observation.capacity import Load, Node
from orchestune.backends.kubernetes.observation.queues import Queues, Workload, queue_of
from orchestune.backends.kubernetes.observation.slim import slim_job, slim_pod
from orchestune.backends.kubernetes.observation.views import (
    Document,
    NodeOom,
    NodeShortage,
    ObjectEvent,
    event,
    node_oom,
)
from orchestune.backends.kubernetes.observation.watching import WatchCache
from orchestune.errors import TemporaryError
from orchestune.kubeapi.client import ApiServer
from orchestune.kubeapi.labels import WORKERS, selector

_NODE_OOMS = {"fieldSelector": "involvedObject.kind=Node,reason=SystemOOM"}
_FIRST_RESPONSE_SECONDS = 10.0
"""timeout of the first query, which waits for the first response of the API server"""


class ClusterView:
    """Jobs, pods and events of the namespace; nodes and the pods of all namespaces if permitted."""

    def __init__(self, api: ApiServer, config: KubernetesConfig) -> None:
        inside = f"/namespaces/{config.namespace}"
        ours = {"labelSelector": selector(WORKERS)}
        self._config = config
        self._lock = threading.Lock()
        self._last_pods: dict[str, Document] = {}
        self._has_run: set[str] = set()
        self._started: float | None = None
        self._sees_neighbours = False
        loads = partial(capacity.load, config=config)
        self.jobs: WatchCache[Document] = WatchCache(api, f"/apis/batch/v1{inside}/jobs", ours, slim_job)
        self.pods: WatchCache[Document] = WatchCache(api, f"/api/v1{inside}/pods", ours, self._see, self._remember)
        self.events: WatchCache[ObjectEvent] = WatchCache(api, f"/api/v1{inside}/events", {}, event)
        self.nodes: WatchCache[Node] = WatchCache(api, "/api/v1/nodes", {}, partial(capacity.node, config=config))
        self.loads: WatchCache[Load] = WatchCache(api, "/api/v1/pods", {}, loads)
        """what each pod of the cluster, of any namespace, has allocated on its node"""
        self.neighbours: WatchCache[Load] = WatchCache(api, f"/api/v1{inside}/pods", {}, loads)
        """all pods of the namespace: a fallback for servers that may not list pods of all namespaces"""
        self.node_ooms: WatchCache[NodeOom] = WatchCache(api, "/api/v1/events", _NODE_OOMS, node_oom)
        self.queues = Queues(api, config.namespace)

    def open(self) -> None:
        """Start the watches. Idempotent, does not block."""
        with self._lock:
            if self._started is None:
                self._started = time.monotonic()
                for cache in (self.jobs, self.pods, self.events, self.nodes, self.loads, self.node_ooms):
                    cache.start()

    def close(self) -> None:
        """Stop all watches."""
        with self._lock:
            if self._started is None:
                return
            caches: list[WatchCache[Any]] = [
                *(self.jobs, self.pods, self.events, self.nodes, self.loads, self.node_ooms)
            ]
            caches += [self.neighbours] if self._sees_neighbours else []
        self.queues.close()
        for cache in caches:
            cache.stop()
        for cache in caches:
            cache.join(10.0)

    def ready(self) -> None:
        """Wait until the namespace's Jobs and pods are listed.

        Raises TemporaryError if they are not `_FIRST_RESPONSE_SECONDS` after the start.
        """
        self.open()
        assert self._started is not None
        until = self._started + _FIRST_RESPONSE_SECONDS
        for cache in (self.jobs, self.pods):
            cache.wait_answered(max(until - time.monotonic(), 0.0))
            if not cache.wait_listed(0.0):
                raise cache.trouble or TemporaryError("the cluster's API server has not answered yet")

    def fresh(self) -> None:
        """Raise TemporaryError if the API server is unreachable now."""
        self.ready()
        if isinstance(self.jobs.trouble, TemporaryError):
            raise self.jobs.trouble

    def machines_known(self) -> bool:
        """Return True if nodes may be listed; waits for the first response."""
        self.ready()
        assert self._started is not None
        return (
            self.nodes.wait_answered(max(self._started + _FIRST_RESPONSE_SECONDS - time.monotonic(), 0.0))
            and self.nodes.permitted
        )

    def all_loads(self) -> list[Load]:
        """Return the loads of all pods of the cluster, or only of the namespace if no more may be listed."""
        self.ready()
        assert self._started is not None
        is_listed = (
            self.loads.wait_answered(max(self._started + _FIRST_RESPONSE_SECONDS - time.monotonic(), 0.0))
            and self.loads.permitted
        )
        if is_listed:
            return self.loads.all()
        with self._lock:
            if not self._sees_neighbours:
                self._sees_neighbours = True
                self.neighbours.start()
        self.neighbours.wait_answered(_FIRST_RESPONSE_SECONDS)
        return self.neighbours.all()

    def jobs_by_worker(self) -> dict[str, Document]:
        """Return the Job of each worker."""
        return {_worker(job): job for job in self.jobs.all()}

    def pods_by_worker(self) -> dict[str, Document]:
        """Return the newest pod of each worker, preferring unfinished pods."""
        newest: dict[str, Document] = {}
        for pod in self.pods.all():
            worker = _worker(pod)
            if worker not in newest or _rank(pod) > _rank(newest[worker]):
                newest[worker] = pod
        return newest

    def events_by_object(self) -> dict[str, list[ObjectEvent]]:
        """Return the events of each Job and pod, by its name."""
        events: dict[str, list[ObjectEvent]] = {}
        for item in self.events.all():
            events.setdefault(item.name, []).append(item)
        return events

    def workloads(self) -> dict[str, Workload]:
        """Return Kueue's Workload of each queued Job, by the Job's name; watched only once a Job is queued."""
        if any(queue_of(job) for job in self.jobs.all()):
            self.queues.open()
        return self.queues.by_job()

    def last_pod(self, worker: str) -> Document | None:
        """Return the last state of a worker's deleted pod, or None."""
        with self._lock:
            return self._last_pods.get(worker)

    def has_run(self, worker: str) -> bool:
        """Return True if a pod of the worker was seen running."""
        with self._lock:
            return worker in self._has_run

    def forget(self, but: Iterable[str]) -> None:
        """Drop the records of all workers but these."""
        kept = set(but)
        with self._lock:
            self._last_pods = {worker: pod for worker, pod in self._last_pods.items() if worker in kept}
            self._has_run &= kept

    def node_trouble(self, name: str) -> str | None:
        """Return why a node is not ready, or that it was removed; None if it is ready or cannot be read."""
        if not name or not self.nodes.permitted or not self.nodes.wait_listed(0.0):
            return None
        node = self.nodes.get("", name)
        if node is None:
            return "it is no longer part of the cluster"
        return None if node.ready else node.trouble or "it is not ready"

    def out_of_memory(self, name: str) -> NodeShortage:
        """Return what a node reports about its own memory, as far as nodes and their events may be read."""
        node = self.nodes.get("", name) if name and self.nodes.permitted and self.nodes.wait_listed(0.0) else None
        ooms = [oom for oom in self.node_ooms.all() if oom.node == name]
        return NodeShortage(bool(node and node.has_memory_pressure), ooms)

    def _see(self, pod: Document) -> Document:
        if (pod.get("status") or {}).get("phase") == "Running":
            with self._lock:
                self._has_run.add(_worker(pod))
        return slim_pod(pod, self._config)

    def _remember(self, pod: Document) -> None:
        with self._lock:
            self._last_pods[_worker(pod)] = pod


def _worker(document: Document) -> str:
    return str((document["metadata"].get("labels") or {}).get(WORKER) or "")


def _rank(pod: Document) -> tuple[bool, str]:
    over = pod["status"].get("phase") in ("Succeeded", "Failed")
    return (not over, str(pod["metadata"].get("creationTimestamp") or ""))
