"""The Kubernetes backend: creates and deletes one Job per worker; observations are answered from watches."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from orchestune.backends.kubernetes.cleanup import Sweeper
from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.backends.kubernetes.objects import plan
from orchestune.backends.kubernetes.objects.labels import EXPERIMENT, WORKER
from orchestune.backends.kubernetes.objects.quantities import requests
from orchestune.backends.kubernetes.objects.runtime_delivery import start_failure, uses_volume
from orchestune.backends.kubernetes.observation import capacity
from orchestune.backends.kubernetes.observation.capacity import Node
from orchestune.backends.kubernetes.observation.cluster_view import ClusterView
from orchestune.backends.kubernetes.observation.pod_diagnosis import WorkerEvidence, judge
from orchestune.backends.kubernetes.observation.queues import Workload
from orchestune.backends.kubernetes.observation.views import Document
from orchestune.backends.kubernetes.observation.worker_state import ObservedState
from orchestune.backends.kubernetes.planning import KubernetesPlanner, worker_command
from orchestune.backends.kubernetes.policy.node_admission import newcomers
from orchestune.domain.access.allowances import Allowances
from orchestune.domain.resources.resources import Capacity, Resources
from orchestune.domain.resources.survey import MachineAllocation
from orchestune.errors import Conflict, OrchestuneError, TemporaryError
from orchestune.kubeapi.client import ApiServer
from orchestune.ports.backend import Phase, WorkerLoss, WorkerOrder, WorkerStatus

log = logging.getLogger(__name__)


class KubernetesBackend(KubernetesPlanner):
    """Implements `ports.backend.Backend`. A backend_ref names the Job and its pod: `{"namespace", "job", "pod"}`."""

    slots_per_worker: int | None = 1
    limits_memory = True
    queues = False

    def __init__(
        self,
        config: KubernetesConfig,
        api: ApiServer,
        command: Callable[[WorkerOrder, str], Sequence[str]] = worker_command,
        allowances: Callable[[], Allowances] | None = None,
    ) -> None:
        super().__init__(config, api, command, allowances)
        self.name = config.cluster
        self._world = ClusterView(api, config)
        self._sweeper = Sweeper(api, config, self._world)
        self._lock = threading.Lock()
        self._verdicts: dict[str, WorkerStatus] = {}
        self._terminated: set[str] = set()
        """workers that we have asked to terminate"""
        self._pending: dict[str, tuple[str, float]] = {}
        """worker → (what it is pending on, `time.monotonic()` since then)"""

    def close(self) -> None:
        """Stop the watches. Workers keep running."""
        self._world.close()

    def capacity(self) -> Capacity:
        self._world.fresh()
        if not self._world.machines_known():
            return Capacity(elastic=True)
        nodes = self._world.nodes.all()
        machines = capacity.machines(nodes, self._world.all_loads())
        return Capacity(
            machines, self._config.elastic, unschedulable=frozenset(node.name for node in nodes if not node.usable)
        )

    def survey(self) -> Sequence[MachineAllocation]:
        if not self._world.machines_known():
            return []
        loads = self._world.all_loads()
        return capacity.survey(self._world.nodes.all(), loads, self._world.loads.permitted)

    def notes(self) -> Sequence[str]:
        nodes = self._world.nodes.all() if self._world.machines_known() else []
        allowed = self._config.allow.texts()
        notes = [f"the worker's Python comes into pods as {self._delivery.decide(nodes)}"]
        return [*notes, f"experiments may also use {', '.join(allowed)}"] if allowed else notes

    def start(self, order: WorkerOrder) -> Mapping[str, Any]:
        self._world.fresh()
        with self._lock:
            if order.worker in self._verdicts:
                return self._verdicts[order.worker].backend_ref
        job = self._job(order)
        self._world.jobs.put(job)
        try:
            self._api.call("POST", f"{self._inside()}/secrets", plan.secret(self._config, order, job))
        except Conflict:
            pass  # created by an earlier server, or by this one before the response was lost
        except TemporaryError:
            raise
        except OrchestuneError:
            self._delete_job(job["metadata"]["name"])
            raise
        return _backend_ref(job)

    def observe(self, backend_refs: Mapping[str, Mapping[str, Any]]) -> Sequence[WorkerStatus]:
        if not backend_refs:
            return []
        self._world.ready()
        jobs, pods, events = self._world.jobs_by_worker(), self._world.pods_by_worker(), self._world.events_by_object()
        workloads, lack = self._world.workloads(), cache(self._lack)
        statuses = []
        for worker, backend_ref in backend_refs.items():
            status = self._verdicts.get(worker)
            if status is None:
                job, pod = jobs.get(worker), pods.get(worker)
                worker_events = [*events.get(_name(job), ()), *events.get(_name(pod), ())]
                shortage = self._shortage(pod, lack)
                status = self._status(worker, backend_ref, job, pod, worker_events, workloads.get(_name(job)), shortage)
            statuses.append(status)
        with self._lock:
            self._verdicts = {
                name: entry for name, entry in self._verdicts.items() if name in backend_refs or name in jobs
            }
            self._pending = {name: entry for name, entry in self._pending.items() if name in backend_refs}
            self._terminated &= {*backend_refs, *jobs, *pods}
        self._world.forget({*backend_refs, *jobs, *pods})
        return statuses

    def terminate(self, worker: str, backend_ref: Mapping[str, Any], grace: float) -> None:
        job, pod = self._world.jobs_by_worker().get(worker), self._world.pods_by_worker().get(worker)
        name = str(backend_ref.get("job") or _name(job))
        if not name and pod is None:
            return
        with self._lock:
            already_terminated = set(self._terminated)
            self._terminated.add(worker)
        if pod is not None and not pod["metadata"].get("deletionTimestamp"):
            # The kubelet applies the first grace period that it receives and ignores later ones. 0 would delete the pod
            # without waiting for the kubelet to confirm that the container has exited.
            pod_grace = int(pod["spec"].get("terminationGracePeriodSeconds") or 30)
            seconds = max(min(math.ceil(grace), pod_grace), 1)
            self._api.delete_object(f"{self._inside()}/pods/{_name(pod)}", {"gracePeriodSeconds": seconds})
        if name and (job is not None or worker not in already_terminated):
            self._delete_job(name)

    def sweep(self, workers: frozenset[str]) -> None:
        self._world.fresh()
        self._sweeper.sweep(workers)

    def _nodes(self) -> Sequence[Node] | None:
        return self._world.nodes.all() if self._world.machines_known() else None

    def _job(self, order: WorkerOrder) -> Document:
        """Create the worker's Job; retry with an init container if the cluster rejects the image volume.

        Raises PolicyRefused if the allow-list does not permit its pod (any more).
        """
        # Refuses by policy before the attempt below, which takes any rejection that mentions volumes for one of image
        # volumes.
        requirements = self._requirements(order)
        try:
            return self._create(self._manifest(order, requirements), order.worker)
        except TemporaryError:
            raise
        except OrchestuneError as exc:
            is_suspect = requirements.image_volume and self._delivery.doubts(
                exc.message, suspect="volume" in exc.message
            )
            if not is_suspect:
                raise
            job = self._create(self._manifest(order, replace(requirements, image_volume=False)), order.worker)
            self._delivery.give_up(exc.message, order.experiment, ours=not order.placement.pod)
            return job

    def _create(self, manifest: Document, worker: str) -> Document:
        path = f"/apis/batch/v1/namespaces/{self._config.namespace}/jobs"
        try:
            return self._api.call("POST", path, manifest)
        except Conflict:
            existing = self._api.call("GET", f"{path}/{manifest['metadata']['name']}")
        if (existing["metadata"].get("labels") or {}).get(WORKER) != worker:
            raise Conflict(f"the Job {existing['metadata']['name']} is there already, and not this worker's")
        return existing

    def _delete_job(self, name: str) -> None:
        path = f"/apis/batch/v1/namespaces/{self._config.namespace}/jobs/{name}"
        self._api.delete_object(path, {"propagationPolicy": "Background"})

    def _status(
        self,
        worker: str,
        backend_ref: Mapping[str, Any],
        job: Document | None,
        pod: Document | None,
        events: list[Any],
        workload: Workload | None,
        shortage: str,
    ) -> WorkerStatus:
        waits_for, since = self._pending.get(worker, ("", 0.0))
        last = pod if pod is not None else self._world.last_pod(worker)
        node = str(last["spec"].get("nodeName") or "") if last else ""
        state = judge(
            WorkerEvidence(
                job=job,
                pod=last,
                pod_deleted=pod is None and last is not None,
                events=events,
                node_trouble=self._world.node_trouble(node),
                node_memory=self._world.out_of_memory(node),
                shortage=shortage,
                stuck=time.monotonic() - since if waits_for else 0.0,
                is_terminating=worker in self._terminated,
                has_run=self._world.has_run(worker),
                workload=workload,
            )
        )
        if self._lacks_volume(job, last, state):
            state = ObservedState(Phase.GONE, f"{state.words}; without an image volume it may start", WorkerLoss.PLACE)
        if state.waits_for == "node" and (names := self._newcomers(last)):
            words = f"its pool has got other nodes than it may use ({', '.join(names[:3])}): the next one may"
            state = ObservedState(Phase.GONE, words, WorkerLoss.PLACE)
        if state.phase.waits:
            if state.waits_for != waits_for:
                self._pending[worker] = (state.waits_for, time.monotonic())
        else:
            self._pending.pop(worker, None)
        backend_ref = _backend_ref(job) if job is not None else backend_ref
        backend_ref = {**backend_ref, "pod": _name(last)} if backend_ref and last is not None else backend_ref
        status = WorkerStatus(worker, state.phase, backend_ref, state.words, state.loss, node)
        if state.phase is Phase.GONE:
            if state.loss is WorkerLoss.REFUSED and self._security.learn(state.non_root, _experiment(last or job)):
                status = replace(status, loss=WorkerLoss.PLACE)
            if backend_ref or last is not None:  # otherwise it may still have to be started
                with self._lock:
                    self._verdicts[worker] = status
        return status

    def _newcomers(self, pod: Document | None) -> Sequence[str]:
        if pod is None or not self._world.nodes.permitted:
            return ()
        return newcomers(pod["spec"], self._config.pool_label, self._world.nodes.all())

    def _lacks_volume(self, job: Document | None, pod: Document | None, state: ObservedState) -> bool:
        """Return True if it cannot start for lack of image volumes, so that a retry without one may succeed."""
        if not uses_volume(pod or job):
            return False
        phase = pod["status"].get("phase") if pod is not None else None
        if phase == "Running":
            self._delivery.prove()
        if phase not in (None, "Pending", "Failed") or state.phase is Phase.RUNNING:
            return False
        message = start_failure(pod)
        if message or phase != "Failed":
            suspect = bool(message) or (pod is None and state.loss is WorkerLoss.REFUSED and "volume" in state.words)
            if self._delivery.doubts(message or state.words, suspect=suspect):
                self._delivery.give_up(message or state.words, _experiment(pod or job))
                return True
        return False

    def _shortage(self, pod: Document | None, lack: Callable[[Resources, str], str]) -> str:
        """Return which resource an unschedulable pod lacks; empty if unknown or already scheduled."""
        if pod is None or pod["spec"].get("nodeName"):
            return ""
        message = next(
            (item.get("message") for item in pod["status"].get("conditions") or () if item.get("status") == "False"), ""
        )
        return lack(requests(pod["spec"], self._config.gpu_resource), message) if message else ""

    def _lack(self, needed: Resources, message: str) -> str:
        """Return the shortage. It scans all pods of the cluster, so callers cache it per request and message."""
        if not self._world.machines_known():
            return ""
        return capacity.shortage(needed, message, self._world.nodes.all(), self._world.all_loads())

    def _inside(self) -> str:
        return f"/api/v1/namespaces/{self._config.namespace}"


def _backend_ref(job: Document) -> Mapping[str, Any]:
    return {"namespace": job["metadata"]["namespace"], "job": job["metadata"]["name"]}


def _experiment(document: Document | None) -> str:
    labels = (document or {"metadata": {}})["metadata"].get("labels") or {}
    return str(labels.get(EXPERIMENT, ""))


def _name(document: Document | None) -> str:
    return str(document["metadata"]["name"]) if document is not None else ""
