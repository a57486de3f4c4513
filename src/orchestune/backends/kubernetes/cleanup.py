"""Garbage collection: deletes Jobs and pods of workers that are over, and pods on lost nodes."""

from __future__ import annotations

import logging
import time

from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.backends.kubernetes.objects.labels import WORKER, belongs
from orchestune.backends.kubernetes.observation.cluster_view import ClusterView
from orchestune.backends.kubernetes.observation.views import Document, condition
from orchestune.kubeapi.client import ApiServer

log = logging.getLogger(__name__)

_MAX_DELETIONS_PER_CALL = 50
_REST_SECONDS = 10
"""grace period for containers that outlive their worker: that of the pod is the experiment's choice, up to an hour, and
they keep the rights of the pod, also revoked ones"""
_FORCE_AFTER_SECONDS = 10.0
"""time beyond its grace period after which a pod is force-deleted from an unresponsive node"""


class Sweeper:
    """Deletes leftover objects. It reads the watches and calls the API server only to delete."""

    def __init__(self, api: ApiServer, config: KubernetesConfig, world: ClusterView) -> None:
        self._api, self._config, self._world = api, config, world
        self._leaving: dict[str, float] = {}

    def sweep(self, workers: frozenset[str]) -> None:
        """Delete Jobs and pods of all workers but these, up to `_MAX_DELETIONS_PER_CALL` of each.

        Raises TemporaryError.
        """
        orphaned = [job for job in self._ours(self._world.jobs.all()) if _is_orphaned(job, workers)]
        pods = self._ours(self._world.pods.all())
        pods_by_job = {_job(pod): pod for pod in pods}
        for job in orphaned[:_MAX_DELETIONS_PER_CALL]:
            name = job["metadata"]["name"]
            if not _is_finished(job):
                log.info("removing the Job %s, whose worker nobody wants any more", name)
            if (
                pod := pods_by_job.get(name)
            ) is not None:  # before its Job, whose deletion would take the pod's own grace
                self._delete(pod)
            path = f"/apis/batch/v1/namespaces/{self._config.namespace}/jobs/{name}"
            self._api.delete_object(path, {"propagationPolicy": "Background"})
        jobs = {job["metadata"]["name"] for job in self._world.jobs.all()}
        for pod in [pod for pod in pods if _is_orphaned(pod, workers) and _job(pod) not in jobs][
            :_MAX_DELETIONS_PER_CALL
        ]:
            self._delete(pod)
        self._force(pods)

    def _delete(self, pod: Document) -> None:
        """Delete a pod whose worker has ended. The kubelet applies the first grace period that it receives."""
        if not pod["metadata"].get("deletionTimestamp"):
            own = int(pod["spec"].get("terminationGracePeriodSeconds") or 30)
            self._api.delete_object(self._path(pod), {"gracePeriodSeconds": max(min(own, _REST_SECONDS), 1)})

    def _force(self, pods: list[Document]) -> None:
        """Force-delete terminating pods on lost nodes, which never confirm that a pod has ended."""
        now = time.monotonic()
        leaving = {pod["metadata"]["uid"]: pod for pod in pods if pod["metadata"].get("deletionTimestamp")}
        self._leaving = {uid: self._leaving.get(uid, now) for uid in leaving}
        for uid, pod in leaving.items():
            grace = float(pod["metadata"].get("deletionGracePeriodSeconds") or 0)
            late = now - self._leaving[uid] > grace + _FORCE_AFTER_SECONDS
            node = pod["spec"].get("nodeName") or ""
            lost = self._world.node_trouble(node) is not None
            if lost or (late and condition(pod, "DisruptionTarget") and not self._world.nodes.permitted):
                log.info("removing the pod %s from %s, which went away", pod["metadata"]["name"], node)
                self._api.delete_object(self._path(pod), {"gracePeriodSeconds": 0})

    def _ours(self, documents: list[Document]) -> list[Document]:
        """Return the objects of this server only: other servers may share the namespace."""
        return [each for each in documents if belongs(each["metadata"].get("labels") or {}, self._config.url)]

    def _path(self, pod: Document) -> str:
        return f"/api/v1/namespaces/{self._config.namespace}/pods/{pod['metadata']['name']}"


def _is_orphaned(document: Document, workers: frozenset[str]) -> bool:
    worker = (document["metadata"].get("labels") or {}).get(WORKER)
    return bool(worker) and worker not in workers


def _is_finished(job: Document) -> bool:
    return condition(job, "Complete") is not None or condition(job, "Failed") is not None


def _job(pod: Document) -> str:
    owners = pod["metadata"].get("ownerReferences") or ()
    return next((str(owner["name"]) for owner in owners if owner.get("kind") == "Job"), "")
