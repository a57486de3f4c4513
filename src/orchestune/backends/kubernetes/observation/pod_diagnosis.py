"""Explains why a pod of a worker ended or waits: pure functions of the status that the API server reports.

`judge` is the entry point: it maps a Job, its pod and their context to the `ObservedState` for the server. Its `loss`
(`ports.backend.WorkerLoss`) decides what the end costs: `PLACE` nothing, `UNKNOWN` one of a trial's losses.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from orchestune.backends.kubernetes.objects.plan import CONTAINER
from orchestune.backends.kubernetes.objects.quantities import amount
from orchestune.backends.kubernetes.observation import creation, pending
from orchestune.backends.kubernetes.observation.queues import Workload, plain, queue_of
from orchestune.backends.kubernetes.observation.views import (
    Document,
    NodeShortage,
    ObjectEvent,
    condition,
    container_statuses,
)
from orchestune.backends.kubernetes.observation.worker_state import ObservedState
from orchestune.domain.resources.more_memory import size
from orchestune.ports.backend import TERMINATED, Phase, WorkerLoss


@dataclass(frozen=True)
class WorkerEvidence:
    """Everything observed about one worker."""

    job: Document | None
    pod: Document | None = None
    """the newest pod, or the last state of a deleted one"""
    pod_deleted: bool = False
    """the pod was deleted"""
    events: Sequence[ObjectEvent] = field(default_factory=tuple)
    node_trouble: str | None = None
    """why the pod's node is not ready, or that it was removed; None if it is ready or nodes may not be read"""
    node_memory: NodeShortage = NodeShortage()
    """what the pod's node reports about its own memory"""
    shortage: str = ""
    """the missing resource, computed from the nodes"""
    stuck: float = 0.0
    """seconds for which the pod has been pending for the same reason"""
    is_terminating: bool = False
    """we have asked it to terminate"""
    has_run: bool = False
    """one of its pods, maybe an earlier one, was seen running"""
    workload: Workload | None = None
    """Kueue's Workload of the Job, if it is queued and Workloads may be read"""


_RUNNING = ObservedState(Phase.RUNNING)
_OOM_REPORT_SECONDS = 30.0
"""seconds between the end of a container and its node's report of the OOM kill that ended it"""


def judge(evidence: WorkerEvidence) -> ObservedState:
    """Return the worker's phase and the reason. It is GONE only once nothing of it can run and the reason is final."""
    pod, job = evidence.pod, evidence.job
    if pod is not None and not evidence.pod_deleted:
        if pod["status"].get("phase") in ("Succeeded", "Failed"):
            return verdict(pod, evidence)
        if pod["metadata"].get("deletionTimestamp"):
            return _leaving(pod, evidence)
        if pod["status"].get("phase") == "Pending":
            return pending.judge(pod, evidence.events, evidence.shortage, evidence.stuck)
        return verdict(pod, evidence) if _is_outlived(pod) else _RUNNING
    if job is None:
        return _without_job(pod, evidence)
    if finished := condition(job, "Failed") or condition(job, "Complete"):
        if pod is not None:
            return verdict(pod, evidence)
        return _of_job(finished, evidence)
    if _suspended(job):
        if evidence.has_run:
            return _preempted(evidence)
        return _queued(job, evidence)
    if pod is not None:
        return _RUNNING  # pod deleted: the Job's status will follow
    return creation.judge(evidence.events, evidence.stuck)


def _suspended(job: Document | None) -> bool:
    return job is not None and bool(condition(job, "Suspended") or job["spec"].get("suspend"))


def _queued(job: Document, evidence: WorkerEvidence) -> ObservedState:
    """Judge a suspended Job; if queued, with what Kueue reports about the quota."""
    queue = queue_of(job)
    if not queue:
        return ObservedState(Phase.PENDING, "its Job is suspended")
    why = evidence.workload.waits if evidence.workload is not None else _queue_message(evidence.events)
    return ObservedState(Phase.QUEUED, f"waits in the queue {queue}" + (why and f": {why}"))


def _queue_message(events: Sequence[ObjectEvent]) -> str:
    """Return the latest pending reason from Kueue's events, for servers that may not read Workloads."""
    pending_events = [
        event for event in events if event.kind == "Workload" and event.warning and event.reason == "Pending"
    ]
    return plain(max(pending_events, key=lambda event: event.at).message) if pending_events else ""


def _preempted(evidence: WorkerEvidence) -> ObservedState:
    """Judge a Job that was running and is suspended: Kueue has preempted it."""
    why = evidence.workload.evicted if evidence.workload is not None else ""
    return ObservedState(
        Phase.GONE, "preempted: its queue gave the place to others" + (why and f" ({why})"), WorkerLoss.PLACE
    )


def verdict(pod: Document, evidence: WorkerEvidence) -> ObservedState:
    """Return why a pod terminated. Containers added by `pod:` are consulted only if the worker gives no reason."""
    status = pod["status"]
    if evidence.is_terminating:
        return ObservedState(Phase.GONE, TERMINATED)
    words = _by_cluster(pod, evidence.has_run)
    if words:
        return words
    for container in container_statuses(pod, "initContainerStatuses"):
        termination = _termination(container)
        if termination and termination.get("exitCode") and container["name"] not in _sidecars(pod):
            return ObservedState(Phase.GONE, f"its init container {container['name']} failed: {_exit(termination)}")
    statuses = container_statuses(pod, "containerStatuses")
    containers = sorted(statuses, key=lambda each: each["name"] != CONTAINER)
    for container in containers:
        termination = _termination(container)
        if (
            termination
            and termination.get("reason") == "OOMKilled"
            and termination.get("exitCode")
            and container["name"] == CONTAINER
        ):
            return _out_of_memory(pod, container["name"], termination, evidence.node_memory)
        if termination and termination.get("reason") == "ContainerStatusUnknown":
            return ObservedState(Phase.GONE, "its node lost the container, it probably restarted", WorkerLoss.PLACE)
    if pod["metadata"].get("deletionTimestamp") or evidence.pod_deleted:
        if _suspended(evidence.job):
            return _preempted(evidence)
        return ObservedState(Phase.GONE, "its pod was deleted", WorkerLoss.PLACE)
    for container in containers:
        termination = _termination(container)
        if termination:
            return _exited(pod, container["name"], termination, evidence.node_trouble)
    message = str(status.get("message") or status.get("reason") or "nothing says why")
    return ObservedState(Phase.GONE, f"its pod ended: {message}")


def _exited(pod: Document, name: str, termination: Mapping[str, Any], node_trouble: str | None) -> ObservedState:
    """Judge a container that exited: a signal from a node that is going down is not the trial's fault."""
    code = int(termination.get("exitCode") or 0)
    who = "the worker" if name == CONTAINER else f"its container {name}"
    if node_trouble is not None and 128 < code < 160:
        words = f"{who} was killed by {_signal(code - 128)} as its node {pod['spec'].get('nodeName')} went away"
        return ObservedState(Phase.GONE, f"{words}: {node_trouble}", WorkerLoss.PLACE)
    return ObservedState(Phase.GONE, f"{who} {_exit(termination)}" if code else "")


_REJECTED_FOR_RESOURCES = re.compile(r"OutOf\S+|Preempting")
_REJECTED_BY_KUBELET = re.compile(
    r"UnexpectedAdmissionError|NodeAffinity|Topology\S*|SMTAlignmentError|AppArmor|Sysctl\S*"
)
"""reasons for which a kubelet rejects scheduled pods repeatedly, as the scheduler does not know of them"""
_EXCEEDS_OWN_LIMIT = re.compile(
    r"exceeds the (?:total )?limit|exceeded its local ephemeral storage limit|has larger consumption of"
)
_DISRUPTIONS = {
    "PreemptionByScheduler": "preempted: a pod of higher priority took its place",
    "DeletionByTaintManager": "its node went away, or was tainted for others",
    "EvictionByEvictionAPI": "drained: its node is being emptied",
    "DeletionByPodGC": "its node is gone",
}


def _by_cluster(pod: Document, has_run: bool) -> ObservedState | None:
    """Return the reason if the cluster removed or rejected the pod; None otherwise."""
    status = pod["status"]
    reason, message = str(status.get("reason") or ""), str(status.get("message") or "").strip()
    node = pod["spec"].get("nodeName") or "its node"
    if reason == "Evicted":
        # A pod beyond its own limit would exceed it on every node: such losses are counted.
        own = WorkerLoss.UNKNOWN if _EXCEEDS_OWN_LIMIT.search(message) else WorkerLoss.PLACE
        return ObservedState(Phase.GONE, f"evicted from {node}: {message}", own)
    if reason == "DeadlineExceeded":
        limit = pod["spec"].get("activeDeadlineSeconds")
        text = f"its deadline passed (activeDeadlineSeconds: {limit})" if limit else f"its deadline passed: {message}"
        return ObservedState(Phase.GONE, text)
    if reason == "NodeLost":
        return ObservedState(Phase.GONE, f"its node {node} went away", WorkerLoss.PLACE)
    if reason in ("NodeShutdown", "Terminated", "Shutdown"):
        return ObservedState(Phase.GONE, f"its node {node} was shut down", WorkerLoss.PLACE)
    if _REJECTED_FOR_RESOURCES.fullmatch(reason) or _REJECTED_BY_KUBELET.fullmatch(reason):
        lasting = _REJECTED_BY_KUBELET.fullmatch(reason) and not has_run  # a node that restarts rejects pods at first
        gone = WorkerLoss.UNKNOWN if lasting else WorkerLoss.PLACE
        return ObservedState(Phase.GONE, f"{node} did not take it: {message or reason}", gone)
    disrupted = condition(pod, "DisruptionTarget")
    if disrupted:
        return ObservedState(Phase.GONE, _disruption(disrupted, node), WorkerLoss.PLACE)
    return None


def _disruption(disrupted: Mapping[str, Any], node: str) -> str:
    explanation = _DISRUPTIONS.get(str(disrupted.get("reason")))
    if explanation:
        return f"{explanation} ({node})"
    return f"taken from {node}: {disrupted.get('message') or disrupted.get('reason')}"


def _leaving(pod: Document, evidence: WorkerEvidence) -> ObservedState:
    """Judge a pod that is being deleted: it runs until its node confirms its end, which a lost node never does."""
    node = pod["spec"].get("nodeName")
    if not node:
        return ObservedState(Phase.RUNNING, "its pod is being deleted")
    if evidence.node_trouble is not None:
        if evidence.is_terminating:
            return ObservedState(Phase.GONE, TERMINATED)
        return ObservedState(Phase.GONE, f"its node {node} went away: {evidence.node_trouble}", WorkerLoss.PLACE)
    return ObservedState(Phase.RUNNING, "its pod is being deleted")


def _without_job(pod: Document | None, evidence: WorkerEvidence) -> ObservedState:
    if evidence.is_terminating:
        return ObservedState(Phase.GONE, TERMINATED)
    if pod is not None:
        return verdict(pod, evidence)
    return ObservedState(Phase.GONE, "there is no such worker in the cluster, or no longer")


def _of_job(finished: Mapping[str, Any], evidence: WorkerEvidence) -> ObservedState:
    """Judge by the Job's condition alone, without a pod."""
    if evidence.is_terminating:
        return ObservedState(Phase.GONE, TERMINATED)
    if finished["type"] == "Complete":
        return ObservedState(Phase.GONE)
    if finished.get("reason") == "DeadlineExceeded":
        return ObservedState(Phase.GONE, "its deadline passed (activeDeadlineSeconds of its Job)")
    return ObservedState(Phase.GONE, "its pod was deleted", WorkerLoss.PLACE)


def _termination(container: Mapping[str, Any]) -> Mapping[str, Any] | None:
    termination = (container.get("state") or {}).get("terminated")
    return termination if isinstance(termination, Mapping) else None


def _is_outlived(pod: Document) -> bool:
    """Return True if the worker has exited but containers added by `pod:` or a mesh keep the pod running."""
    terminations = {each["name"]: _termination(each) for each in container_statuses(pod, "containerStatuses")}
    return terminations.get(CONTAINER) is not None and None in terminations.values()


def _sidecars(pod: Document) -> set[str]:
    """Return the sidecar init containers: the kubelet terminates them after the worker, whatever their exit code."""
    containers = pod["spec"].get("initContainers") or ()
    return {each["name"] for each in containers if each.get("restartPolicy") == "Always"}


def _exit(termination: Mapping[str, Any]) -> str:
    """Describe an exit: `was killed by SIGKILL; its last lines: …`."""
    code, reason = int(termination.get("exitCode") or 0), str(termination.get("reason") or "")
    message = str(termination.get("message") or "").strip()
    if 128 < code < 160:
        text = f"was killed by {_signal(code - 128)}"
    elif reason not in ("", "Error", "Completed"):
        text = f"could not run ({reason}, exit code {code})"
    else:
        text = f"ended with exit code {code}"
    return f"{text}; its last lines:\n{message}" if message else text


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _out_of_memory(
    pod: Document, name: str, termination: Mapping[str, Any], node_memory: NodeShortage
) -> ObservedState:
    """Judge an OOM kill: by the container's own limit, or by its node, which had no more and reports that."""
    containers = (*(pod["spec"].get("containers") or ()), *(pod["spec"].get("initContainers") or ()))
    limits = [(each.get("resources") or {}).get("limits") or {} for each in containers if each["name"] == name]
    limit = amount(limits[0].get("memory")) if limits else 0.0
    node = pod["spec"].get("nodeName") or "its node"
    ooms = [oom for oom in node_memory.ooms if _is_near(oom.at, termination.get("finishedAt"))]
    if ooms:
        words = f"its node {node} ran out of memory and killed it: {ooms[-1].message}"
        return ObservedState(Phase.GONE, words, WorkerLoss.PLACE)
    if limit:
        words = f"out of memory: it was killed when its peak reached its limit of {size(int(limit))}"
        return ObservedState(Phase.GONE, words, WorkerLoss.OUT_OF_MEMORY)
    if node_memory.has_pressure:  # a container with a limit may have reached it, whatever else its node lacks
        words = f"its node {node} ran out of memory and killed it (MemoryPressure)"
        return ObservedState(Phase.GONE, words, WorkerLoss.PLACE)
    words = "out of memory: the kernel killed it, though it has no limit of its own; its node has no more"
    return ObservedState(Phase.GONE, words, WorkerLoss.OUT_OF_MEMORY)


def _is_near(event_at: str, finished_at: object) -> bool:
    """Return True if an event was reported about when the container ended; also if the API has no time for one."""
    if not event_at or not finished_at:
        return True
    seconds = (datetime.fromisoformat(str(finished_at)) - datetime.fromisoformat(event_at)).total_seconds()
    return abs(seconds) <= _OOM_REPORT_SECONDS
