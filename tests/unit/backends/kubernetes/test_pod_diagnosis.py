"""Ends of workers, derived from statuses as API servers report them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestune.backends.kubernetes.observation.pod_diagnosis import WorkerEvidence, judge
from orchestune.backends.kubernetes.observation.queues import workload
from orchestune.backends.kubernetes.observation.views import NodeOom, NodeShortage, ObjectEvent, event, node_oom
from orchestune.ports.backend import Phase, WorkerLoss

JOB: dict[str, Any] = {"metadata": {"name": "j", "labels": {}}, "spec": {}, "status": {"active": 1}}
FAILED: dict[str, Any] = {
    **JOB,
    "status": {
        "failed": 1,
        "conditions": [
            {"type": "FailureTarget", "status": "True", "reason": "BackoffLimitExceeded"},
            {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"},
        ],
    },
}
GIB = str(2**30)


def pod(phase: str, *, deleted: bool = False, node: str = "n1", spec: Any = None, **status: Any) -> dict[str, Any]:
    metadata = {"name": "p"} | ({"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleted else {})
    containers = [{"name": "worker", "resources": {"limits": {"memory": GIB}}}]
    return {
        "metadata": metadata,
        "spec": {"containers": containers, "nodeName": node, **(spec or {})},
        "status": {"phase": phase, **status},
    }


def ended(code: int, reason: str = "Error", message: str = "", key: str = "containerStatuses") -> dict[str, Any]:
    name = "worker" if key == "containerStatuses" else "runtime"
    return {key: [{"name": name, "state": {"terminated": {"exitCode": code, "reason": reason, "message": message}}}]}


def beside(code: int, reason: str, worker: dict[str, Any]) -> dict[str, Any]:
    """The worker, and another container before it: the API lists them by their names."""
    agent = {"name": "agent", "state": {"terminated": {"exitCode": code, "reason": reason}}}
    return {"containerStatuses": [agent, *worker["containerStatuses"]]}


def outlived(worker: dict[str, Any]) -> dict[str, Any]:
    """The worker, and another container that runs."""
    return {"containerStatuses": [{"name": "agent", "state": {"running": {}}}, *worker["containerStatuses"]]}


def beside_sidecar(phase: str, worker: dict[str, Any]) -> dict[str, Any]:
    """The worker, and an init container that stays beside it, which the node has killed once the worker was over."""
    killed = {"terminated": {"exitCode": 137, "reason": "Error"}}
    spec = {"initContainers": [{"name": "proxy", "restartPolicy": "Always"}]}
    return pod(phase, spec=spec, initContainerStatuses=[{"name": "proxy", "state": killed}], **worker)


def waits(reason: str, message: str = "", key: str = "containerStatuses") -> dict[str, Any]:
    name = "worker" if key == "containerStatuses" else "runtime"
    state = {"waiting": {"reason": reason, "message": message}}
    return {key: [{"name": name, "image": "lab/x:1", "state": state}]}


def disrupted(reason: str, message: str = "") -> dict[str, Any]:
    return {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}]}


def unschedulable(message: str, reason: str = "Unschedulable") -> dict[str, Any]:
    return {"conditions": [{"type": "PodScheduled", "status": "False", "reason": reason, "message": message}]}


def failed_create(message: str) -> list[ObjectEvent]:
    return [ObjectEvent("Job", "j", "FailedCreate", f"Error creating: {message}", True, "2026-01-01T00:00:00Z")]


def kueue_says(why: str) -> ObjectEvent:
    """Build the event of Kueue about the Workload of a Job, as the API shows it."""
    kueue_event = event(
        {
            "metadata": {"creationTimestamp": "2026-01-31T12:00:00Z"},
            "involvedObject": {"kind": "Workload", "name": "job-orchestune-sgd-7f3a-w1-0f1e2"},
            "reason": "Pending",
            "type": "Warning",
            "message": f"couldn't assign flavors to pod set main: {why}",
        }
    )
    assert kueue_event is not None
    assert kueue_event.name == "orchestune-sgd-7f3a-w1"
    return kueue_event


IN_QUEUE: dict[str, Any] = {
    **JOB, "metadata": {"labels": {"kueue.x-k8s.io/queue-name": "q"}}, "spec": {"suspend": True},
}  # fmt: skip


def kueue_holds(*conditions: tuple[str, str, str], active: bool = True, **status: Any) -> WorkerEvidence:
    """A Job in a queue, with the conditions (type, status, message) of the Workload that Kueue has made for it."""
    document = {
        "metadata": {"ownerReferences": [{"kind": "Job", "name": "j"}]},
        "spec": {"active": active},
        "status": {
            "conditions": [{"type": kind, "status": holds, "message": message} for kind, holds, message in conditions],
            **status,
        },
    }
    return WorkerEvidence(IN_QUEUE, workload=workload(document))


def pod_event(reason: str, message: str, warning: bool = True, second: int = 0) -> list[ObjectEvent]:
    return [ObjectEvent("Pod", "p", reason, message, warning, f"2026-01-01T00:00:{second:02}Z")]


NOT_FOUND = (
    'Back-off pulling image "lab/x:1": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image '
    '"docker.io/lab/x:1": failed to resolve reference "docker.io/lab/x:1": docker.io/lab/x:1: not found'
)
REFUSED_CONNECTION = (
    'Back-off pulling image "lab/x:1": ErrImagePull: rpc error: code = Unavailable desc = failed to pull and unpack '
    'image "lab/x:1": failed to resolve reference "lab/x:1": failed to do request: Head "http://lab/v2/x/manifests/1": '
    "dial tcp 127.0.0.1:5000: connect: connection refused"
)
QUOTA = (
    'pods "p" is forbidden: exceeded quota: team, requested: requests.cpu=2, used: requests.cpu=3, '
    "limited: requests.cpu="
)
NO_SECRET = 'MountVolume.SetUp failed for volume "creds" : secret "nope" not found'
UNMOUNTED = "Unable to attach or mount volumes: unmounted volumes=[{}], unattached volumes=[]: timed out"
NO_CPU = "0/3 nodes are available: 3 Insufficient cpu."
INSECURE = 'pods "p" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true'
GATED = {"schedulingGates": [{"name": "lab"}]}
IS_ROOT = "container has runAsNonRoot and image will run as root"
PLACE, REFUSED, OOM, UNKNOWN = WorkerLoss.PLACE, WorkerLoss.REFUSED, WorkerLoss.OUT_OF_MEMORY, WorkerLoss.UNKNOWN

LOST: dict[str, tuple[WorkerEvidence, WorkerLoss, str]] = {
    "out of memory": (
        WorkerEvidence(JOB, pod("Failed", **ended(137, "OOMKilled"))),
        OOM,
        "out of memory: it was killed when its peak reached its limit of 1 GiB",
    ),
    "out of memory without a limit": (
        WorkerEvidence(JOB, pod("Failed", spec={"containers": [{"name": "worker"}]}, **ended(137, "OOMKilled"))),
        OOM,
        "out of memory: the kernel killed it, though it has no limit of its own; its node has no more",
    ),
    "a child was killed for memory, and the worker ended well": (
        WorkerEvidence(JOB, pod("Succeeded", **ended(0, "OOMKilled"))),
        UNKNOWN,
        "",
    ),
    "it ended": (WorkerEvidence(JOB, pod("Succeeded", **ended(0, "Completed"))), UNKNOWN, ""),
    "an exit code": (
        WorkerEvidence(JOB, pod("Failed", **ended(3, message="boom\n"))),
        UNKNOWN,
        "the worker ended with exit code 3; its last lines:\nboom",
    ),
    "a signal": (WorkerEvidence(JOB, pod("Failed", **ended(139))), UNKNOWN, "the worker was killed by SIGSEGV"),
    "no such command": (
        WorkerEvidence(JOB, pod("Failed", **ended(128, "StartError", "exec: /x: no such file"))),
        UNKNOWN,
        "the worker could not run (StartError, exit code 128); its last lines:\nexec: /x: no such file",
    ),
    "an init container failed": (
        WorkerEvidence(JOB, pod("Failed", **ended(1, message="disk full", key="initContainerStatuses"))),
        UNKNOWN,
        "its init container runtime failed: ended with exit code 1; its last lines:\ndisk full",
    ),
    "a sidecar was ended with it": (
        WorkerEvidence(JOB, beside_sidecar("Succeeded", ended(0, "Completed"))),
        UNKNOWN,
        "",
    ),
    "out of memory beside a sidecar": (
        WorkerEvidence(JOB, beside_sidecar("Failed", ended(137, "OOMKilled"))),
        WorkerLoss.OUT_OF_MEMORY,
        "out of memory: it was killed when its peak reached its limit of 1 GiB",
    ),
    "evicted": (
        WorkerEvidence(
            JOB,
            pod(
                "Failed",
                reason="Evicted",
                message="The node was low on resource: memory. Threshold quantity: 100Mi, available: 90Mi. ",
                **disrupted("TerminationByKubelet"),
            ),
        ),
        PLACE,
        "evicted from n1: The node was low on resource: memory. Threshold quantity: 100Mi, available: 90Mi.",
    ),
    "evicted for what it took itself": (
        WorkerEvidence(
            JOB, pod("Failed", reason="Evicted", message='Usage of EmptyDir volume "state" exceeds the limit "1Gi". ')
        ),
        UNKNOWN,
        'evicted from n1: Usage of EmptyDir volume "state" exceeds the limit "1Gi".',
    ),
    "evicted for what its container wrote": (
        WorkerEvidence(
            JOB,
            pod(
                "Failed",
                reason="Evicted",
                message='Container worker exceeded its local ephemeral storage limit "1Gi". ',
                **disrupted("TerminationByKubelet"),
            ),
        ),
        UNKNOWN,
        'evicted from n1: Container worker exceeded its local ephemeral storage limit "1Gi".',
    ),
    "drained": (
        WorkerEvidence(
            JOB,
            pod("Failed", deleted=True, **disrupted("EvictionByEvictionAPI", "Eviction API: evicting"), **ended(0)),
        ),
        PLACE,
        "drained: its node is being emptied (n1)",
    ),
    "preempted": (
        WorkerEvidence(JOB, pod("Failed", deleted=True, **disrupted("PreemptionByScheduler"), **ended(143))),
        PLACE,
        "preempted: a pod of higher priority took its place (n1)",
    ),
    "the node was removed": (
        WorkerEvidence(FAILED, pod("Failed", **disrupted("DeletionByPodGC")), pod_deleted=True),
        PLACE,
        "its node is gone (n1)",
    ),
    "the node was shut down": (
        WorkerEvidence(JOB, pod("Failed", reason="NodeShutdown", message="Pod was terminated")),
        PLACE,
        "its node n1 was shut down",
    ),
    "the node restarted": (
        WorkerEvidence(JOB, pod("Failed", **ended(137, "ContainerStatusUnknown"))),
        PLACE,
        "its node lost the container, it probably restarted",
    ),
    "the node did not take it": (
        WorkerEvidence(JOB, pod("Failed", reason="OutOfcpu", message="Node didn't have enough resource: cpu")),
        PLACE,
        "n1 did not take it: Node didn't have enough resource: cpu",
    ),
    "the node never takes such pods": (
        WorkerEvidence(
            JOB, pod("Failed", reason="UnexpectedAdmissionError", message="Allocate failed due to no devices")
        ),
        UNKNOWN,
        "n1 did not take it: Allocate failed due to no devices",
    ),
    "the node does not take it again": (
        WorkerEvidence(JOB, pod("Failed", reason="UnexpectedAdmissionError", message="Allocate failed"), has_run=True),
        PLACE,
        "n1 did not take it: Allocate failed",
    ),
    "the node went away": (
        WorkerEvidence(JOB, pod("Running", deleted=True), node_trouble="Kubelet stopped posting node status."),
        PLACE,
        "its node n1 went away: Kubelet stopped posting node status.",
    ),
    "deadline": (
        WorkerEvidence(
            JOB,
            pod("Failed", reason="DeadlineExceeded", message="Pod was active", spec={"activeDeadlineSeconds": 60}),
        ),
        UNKNOWN,
        "its deadline passed (activeDeadlineSeconds: 60)",
    ),
    "deleted": (WorkerEvidence(FAILED, pod("Running", deleted=True), pod_deleted=True), PLACE, "its pod was deleted"),
    "deleted, only the Job is left": (WorkerEvidence(FAILED), PLACE, "its pod was deleted"),
    "the Job was deleted": (
        WorkerEvidence(None, pod("Running", deleted=True), pod_deleted=True),
        PLACE,
        "its pod was deleted",
    ),
    "nothing is known": (WorkerEvidence(None), UNKNOWN, "there is no such worker in the cluster, or no longer"),
    "we ended it": (
        WorkerEvidence(None, pod("Running", deleted=True), pod_deleted=True, is_terminating=True),
        UNKNOWN,
        "the worker was asked to terminate",
    ),
    "the queue took the place back": (
        WorkerEvidence({**JOB, "spec": {"suspend": True}}, has_run=True),
        PLACE,
        "preempted: its queue gave the place to others",
    ),
    "no such image": (
        WorkerEvidence(JOB, pod("Pending", **waits("ImagePullBackOff", NOT_FOUND))),
        REFUSED,
        "the image lab/x:1 cannot be pulled: docker.io/lab/x:1: not found",
    ),
    "no such image, on an older cluster": (
        WorkerEvidence(
            JOB,
            pod("Pending", **waits("ImagePullBackOff", 'Back-off pulling image "lab/x:1"')),
            events=pod_event("Failed", 'Failed to pull image "lab/x:1": lab/x:1: not found'),
        ),
        REFUSED,
        'the image lab/x:1 cannot be pulled: Failed to pull image "lab/x:1": lab/x:1: not found',
    ),
    "a registry that stays away": (
        WorkerEvidence(JOB, pod("Pending", **waits("ImagePullBackOff", REFUSED_CONNECTION)), stuck=301.0),
        REFUSED,
        (
            'the image lab/x:1 cannot be pulled: failed to do request: Head "http://lab/v2/x/manifests/1": '
            "dial tcp 127.0.0.1:5000: connect: connection refused"
        ),
    ),
    "no name of an image": (
        WorkerEvidence(JOB, pod("Pending", **waits("InvalidImageName", "couldn't parse image name"))),
        REFUSED,
        "the image lab/x:1 cannot be pulled: couldn't parse image name",
    ),
    "root where root is forbidden": (
        WorkerEvidence(
            JOB,
            pod("Pending", **waits("CreateContainerConfigError", IS_ROOT)),
        ),
        REFUSED,
        (
            f"the container worker cannot be made: {IS_ROOT}; the image's user "
            "must not be root here: set `pod: {spec: {securityContext: {runAsUser: …}}}`"
        ),
    ),
    "pod security": (
        WorkerEvidence(
            JOB,
            events=failed_create(INSECURE),
        ),
        REFUSED,
        'the namespace\'s Pod Security refuses it: "restricted:latest": runAsNonRoot != true',
    ),
    "a Secret that its volume names": (
        WorkerEvidence(
            JOB,
            pod("Pending"),
            stuck=120.0,
            events=[
                *pod_event("FailedMount", NO_SECRET, second=1),
                *pod_event("FailedMount", UNMOUNTED.format("data creds"), second=2),
            ],
        ),
        REFUSED,
        f"cannot be set up on n1: {NO_SECRET}",
    ),
    "a key of a ConfigMap that its volume names": (
        WorkerEvidence(
            JOB,
            pod("Pending"),
            stuck=120.0,
            events=pod_event(
                "FailedMount", 'MountVolume.SetUp failed for volume "c" : references non-existent config key: k'
            ),
        ),
        REFUSED,
        'cannot be set up on n1: MountVolume.SetUp failed for volume "c" : references non-existent config key: k',
    ),
    "another container beside the worker, which ended well": (
        WorkerEvidence(JOB, pod("Failed", **beside(0, "Completed", ended(1, message="boom")))),
        UNKNOWN,
        "the worker ended with exit code 1; its last lines:\nboom",
    ),
    "another container keeps running until it is stopped": (
        WorkerEvidence(JOB, pod("Running", **outlived(ended(1, message="boom")))),
        UNKNOWN,
        "the worker ended with exit code 1; its last lines:\nboom",
    ),
    "out of memory, and another container keeps running": (
        WorkerEvidence(JOB, pod("Running", **outlived(ended(137, "OOMKilled")))),
        WorkerLoss.OUT_OF_MEMORY,
        "out of memory: it was killed when its peak reached its limit of 1 GiB",
    ),
    "another container, out of memory": (
        WorkerEvidence(JOB, pod("Failed", **beside(137, "OOMKilled", ended(1)))),
        UNKNOWN,
        "the worker ended with exit code 1",
    ),
    "a webhook": (
        WorkerEvidence(JOB, events=failed_create('admission webhook "policy.lab" denied the request: no hostPath')),
        REFUSED,
        'an admission rule of the cluster refuses it: admission webhook "policy.lab" denied the request: no hostPath',
    ),
    "more than the whole quota": (
        WorkerEvidence(JOB, events=failed_create(QUOTA + "1")),
        REFUSED,
        (
            "the namespace's quota team: requests.cpu=2, used: requests.cpu=3, limited: requests.cpu=1; "
            "it asks for more than the whole of it"
        ),
    ),
    "a quota that wants every amount said": (
        WorkerEvidence(JOB, events=failed_create('pods "p" is forbidden: failed quota: q: must specify limits.memory')),
        REFUSED,
        (
            "the cluster refuses its pod: failed quota: q: must specify limits.memory;"
            " say them in `resources: {cpu: …, memory: …}`"
        ),
    ),
    "no such account": (
        WorkerEvidence(
            JOB,
            events=failed_create(
                'pods "p" is forbidden: error looking up service account ml/x: serviceaccount "x" not found'
            ),
        ),
        REFUSED,
        'the cluster refuses its pod: error looking up service account ml/x: serviceaccount "x" not found',
    ),
}

PENDING: dict[str, tuple[WorkerEvidence, str]] = {
    "no node": (
        WorkerEvidence(JOB, pod("Pending", node="", **unschedulable(NO_CPU + " preemption: 0/3"))),
        "no node can run it: 0/3 nodes are available: 3 Insufficient cpu",
    ),
    "a resource is missing": (
        WorkerEvidence(
            JOB,
            pod("Pending", node="", **unschedulable(NO_CPU)),
            shortage="needs 2 cpu, 1 of 6 free",
        ),
        "needs 2 cpu, 1 of 6 free (0/3 nodes are available: 3 Insufficient cpu)",
    ),
    "a gate": (
        WorkerEvidence(
            JOB,
            pod("Pending", node="", spec=GATED, **unschedulable("", "SchedulingGated")),
        ),
        "waits behind the gate lab",
    ),
    "the scheduler": (WorkerEvidence(JOB, pod("Pending", node="")), "waits for the scheduler"),
    "a first failure of a pull": (
        WorkerEvidence(JOB, pod("Pending", **waits("ErrImagePull", "lab/x:1: not found"))),
        "the image lab/x:1 cannot be pulled: lab/x:1: not found; trying again",
    ),
    "a registry that is away": (
        WorkerEvidence(JOB, pod("Pending", **waits("ImagePullBackOff", REFUSED_CONNECTION)), stuck=10.0),
        (
            'the image lab/x:1 cannot be pulled: failed to do request: Head "http://lab/v2/x/manifests/1": '
            "dial tcp 127.0.0.1:5000: connect: connection refused; trying again"
        ),
    ),
    "a registry that the node does not trust": (
        WorkerEvidence(JOB, pod("Pending", **waits("ErrImagePull", "x509: certificate signed by unknown authority"))),
        (
            "the image lab/x:1 cannot be pulled: x509: certificate signed by unknown authority; the nodes do not know"
            " the authority of the registry's certificate: an administrator gives it to their container runtime (`ca`"
            " in /etc/containerd/certs.d/HOST/hosts.toml); trying again"
        ),
    ),
    "the runtime's image": (
        WorkerEvidence(JOB, pod("Pending", **waits("ErrImagePull", "timeout", "initContainerStatuses"))),
        "the image lab/x:1 cannot be pulled: timeout; trying again",
    ),
    "pulling": (
        WorkerEvidence(
            JOB,
            pod("Pending", **waits("PodInitializing")),
            events=pod_event("Pulling", 'Pulling image "lab/x:1"', warning=False),
        ),
        'pulling image "lab/x:1"',
    ),
    "a volume": (
        WorkerEvidence(JOB, pod("Pending"), events=pod_event("FailedMount", 'secret "x" not found')),
        'cannot be set up on n1: secret "x" not found',
    ),
    "a volume that does not come, with the cause that was noted before": (
        WorkerEvidence(
            JOB,
            pod("Pending"),
            stuck=119.0,
            events=[
                *pod_event("FailedMount", UNMOUNTED.format("creds"), second=2),
                *pod_event("FailedMount", NO_SECRET, second=1),
            ],
        ),
        f"cannot be set up on n1: {NO_SECRET}",
    ),
    "another volume, after one that has come": (
        WorkerEvidence(
            JOB,
            pod("Pending"),
            stuck=1000.0,
            events=[
                *pod_event("FailedMount", UNMOUNTED.format("data"), second=2),
                *pod_event("FailedMount", NO_SECRET, second=1),
            ],
        ),
        f"cannot be set up on n1: {UNMOUNTED.format('data')}",
    ),
    "its own Secret, which the server has not made yet": (
        WorkerEvidence(JOB, pod("Pending"), stuck=1000.0, events=pod_event("FailedMount", 'secret "p" not found')),
        'cannot be set up on n1: secret "p" not found',
    ),
    "an image, after a volume was missing for a moment": (
        WorkerEvidence(
            JOB,
            pod("Pending"),
            events=[
                *pod_event("Pulling", 'Pulling image "lab/x:1"', warning=False, second=2),
                *pod_event("FailedMount", 'secret "x" not found', second=1),
            ],
        ),
        'pulling image "lab/x:1"',
    ),
    "being set up": (WorkerEvidence(JOB, pod("Pending")), "is being set up on n1"),
    "no room in a quota": (
        WorkerEvidence(JOB, events=failed_create(QUOTA + "4")),
        "waits for room in the namespace's quota team: requests.cpu=2, used: requests.cpu=3, limited: requests.cpu=4",
    ),
    "a webhook that is away": (
        WorkerEvidence(
            JOB, events=failed_create('Internal error occurred: failed calling webhook "x": connection refused')
        ),
        'its pod cannot be made now: Internal error occurred: failed calling webhook "x": connection refused',
    ),
    "no pod yet": (WorkerEvidence(JOB), "its pod is being made"),
    "no pod for long": (WorkerEvidence(JOB, stuck=11.0), "its Job has no pod yet, and no event says why"),
    "a queue": (WorkerEvidence(IN_QUEUE), "waits in the queue q"),
    "a queue that has said nothing yet": (kueue_holds(), "waits in the queue q"),
    "a queue without quota left, by its Workload": (
        kueue_holds(
            ("QuotaReserved", "False", "couldn't assign flavors to pod set main: insufficient unused quota for cpu")
        ),
        "waits in the queue q: insufficient unused quota for cpu",
    ),
    "a queue that is stopped": (
        kueue_holds(("QuotaReserved", "False", "LocalQueue q is inactive")),
        "waits in the queue q: LocalQueue q is inactive",
    ),
    "a check before admission": (
        kueue_holds(
            ("QuotaReserved", "True", "Quota reserved in ClusterQueue c"),
            admissionChecks=[{"name": "nodes", "state": "Pending", "message": "asked for machines"}],
        ),
        "waits in the queue q: the check nodes is pending (asked for machines)",
    ),
    "a queue that has let it begin": (
        kueue_holds(("QuotaReserved", "True", "Quota reserved"), ("Admitted", "True", "The workload is admitted")),
        "waits in the queue q",
    ),
    "a queue that gave it up": (
        kueue_holds(("Evicted", "True", "Exceeded the PodsReady timeout"), active=False),
        "waits in the queue q: it was deactivated there (Exceeded the PodsReady timeout)",
    ),
    "a queue whose quota is used up": (
        WorkerEvidence(
            IN_QUEUE, events=[kueue_says("insufficient unused quota for cpu in flavor default, 2 more needed")]
        ),
        "waits in the queue q: insufficient unused quota for cpu in flavor default, 2 more needed",
    ),
}


@pytest.mark.parametrize("case", LOST)
def test_why_a_worker_is_gone(case: str) -> None:
    evidence, loss, words = LOST[case]
    diagnosis = judge(evidence)
    assert (diagnosis.phase, diagnosis.loss, diagnosis.words) == (Phase.GONE, loss, words)


@pytest.mark.parametrize("case", PENDING)
def test_what_a_worker_waits_for(case: str) -> None:
    evidence, words = PENDING[case]
    diagnosis = judge(evidence)
    phase = Phase.QUEUED if "waits in the queue" in words else Phase.PENDING
    assert (diagnosis.phase, diagnosis.words) == (phase, words)


@pytest.mark.parametrize(
    "message",
    [
        'pods "x" is forbidden: status unknown for quota: team, resources: requests.cpu',
        "the server is currently unable to handle the request",
        "Internal error occurred: resource quota evaluation timed out",
        'Post "https://10.0.0.1/api/v1/namespaces/ml/pods": read: connection reset by peer',
        'Post "https://10.0.0.1/api/v1/namespaces/ml/pods": net/http: TLS handshake timeout',
        "rpc error: code = Unavailable desc = transport is closing",
    ],
)
def test_a_cluster_that_is_in_trouble_itself_refuses_no_worker(message: str) -> None:
    diagnosis = judge(WorkerEvidence(JOB, events=failed_create(message)))
    assert (diagnosis.phase, diagnosis.words) == (Phase.PENDING, f"its pod cannot be made now: {message}")


@pytest.mark.parametrize(
    "evidence",
    [
        WorkerEvidence(JOB, pod("Running")),
        WorkerEvidence(JOB, pod("Running", **ended(137, "OOMKilled"))),
        WorkerEvidence(JOB, pod("Running", deleted=True)),
        WorkerEvidence(None, pod("Running", deleted=True), is_terminating=True),
        WorkerEvidence(JOB, pod("Running"), node_trouble="not ready"),
        WorkerEvidence(JOB, pod("Running", deleted=True), pod_deleted=True),
    ],
    ids=[
        "works",
        "killed, no verdict yet",
        "is being deleted",
        "is being ended",
        "on a silent node",
        "no word of the Job",
    ],
)
def test_a_worker_is_not_gone_before_the_verdict(evidence: WorkerEvidence) -> None:
    assert judge(evidence).phase is Phase.RUNNING


def test_our_own_word_to_end_explains_every_end() -> None:
    evidence = WorkerEvidence(JOB, pod("Failed", deleted=True, **ended(143)), is_terminating=True)
    assert judge(evidence).words == "the worker was asked to terminate"
    assert judge(replace(evidence, is_terminating=False)).words == "its pod was deleted"


def killed(at: str, *, limit: bool) -> dict[str, Any]:
    """A pod whose worker the kernel has killed for memory, then."""
    state = {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": at}}
    containers = [{"name": "worker", "resources": {"limits": {"memory": GIB}} if limit else {}}]
    return pod("Failed", spec={"containers": containers}, containerStatuses=[{"name": "worker", "state": state}])


SYSTEM_OOM = NodeOom("n1", "System OOM encountered, victim process: python, pid: 42", "2026-12-02T01:00:04Z")


@pytest.mark.parametrize(
    ("at", "limit", "memory", "loss", "words"),
    [
        (
            "2026-12-02T01:00:03Z",
            True,
            NodeShortage(ooms=[SYSTEM_OOM]),
            WorkerLoss.PLACE,
            "its node n1 ran out of memory",
        ),
        (
            "2026-12-02T01:00:03Z",
            False,
            NodeShortage(ooms=[SYSTEM_OOM]),
            WorkerLoss.PLACE,
            "victim process: python, pid: 42",
        ),
        (
            "2026-12-02T02:00:03Z",
            True,
            NodeShortage(ooms=[SYSTEM_OOM]),
            WorkerLoss.OUT_OF_MEMORY,
            "reached its limit of 1 GiB",
        ),
        ("2026-12-02T01:00:03Z", False, NodeShortage(True), WorkerLoss.PLACE, "ran out of memory and killed it"),
        ("2026-12-02T01:00:03Z", True, NodeShortage(True), WorkerLoss.OUT_OF_MEMORY, "reached its limit of 1 GiB"),
        ("2026-12-02T01:00:03Z", False, NodeShortage(), WorkerLoss.OUT_OF_MEMORY, "its node has no more"),
    ],
)
def test_an_oom_kill_counts_against_the_node_if_the_node_reports_it(
    at: str, limit: bool, memory: NodeShortage, loss: WorkerLoss, words: str
) -> None:
    state = judge(WorkerEvidence(FAILED, killed(at, limit=limit), node_memory=memory))
    assert (state.phase, state.loss) == (Phase.GONE, loss)
    assert words in state.words


def test_an_oom_report_of_a_node_is_parsed_and_other_events_are_not() -> None:
    document = {
        "metadata": {"name": "n1.17"},
        "involvedObject": {"kind": "Node", "name": "n1"},
        "reason": "SystemOOM",
        "message": SYSTEM_OOM.message,
        "lastTimestamp": SYSTEM_OOM.at,
    }
    assert node_oom(document) == SYSTEM_OOM
    assert node_oom({**document, "reason": "Rebooted"}) is None


def test_a_process_that_a_dying_node_kills_is_lost_with_its_node() -> None:
    evidence = WorkerEvidence(FAILED, pod("Failed", **ended(137)), node_trouble="Kubelet stopped posting node status.")
    assert judge(evidence).loss is WorkerLoss.PLACE
    assert judge(evidence).words == (
        "the worker was killed by SIGKILL as its node n1 went away: Kubelet stopped posting node status."
    )
    assert judge(replace(evidence, node_trouble=None)).loss is WorkerLoss.UNKNOWN
    own_end = replace(evidence, pod=pod("Failed", **ended(1)))
    assert judge(own_end).loss is WorkerLoss.UNKNOWN, "an exit code is the worker's own"
