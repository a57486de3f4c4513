"""Detection of image volumes in a cluster, and the fallback after a wrong guess."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from orchestune.backends.kubernetes.backend import KubernetesBackend
from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.backends.kubernetes.objects.runtime_delivery import decide, start_failure, uses_volume
from orchestune.backends.kubernetes.observation.capacity import Node, node
from orchestune.domain.resources.placement import Placement
from orchestune.domain.resources.resources import Resources
from orchestune.errors import Denied, UsageError
from orchestune.ports.backend import Phase, WorkerLoss, WorkerOrder, WorkerStatus
from tests.contract.backend_contract import wait_until

Document = dict[str, Any]
CONFIG = KubernetesConfig("lab", "ml", "http://o:8470", "registry.lab/server:1", default_image="python:3")
ORDER = WorkerOrder("01a21224-9798-78f8-96c6-562d7bb027d4", "e", "a-token", 1, each=Resources(1), placement=Placement())
OLD_CONTAINERD = 'failed to generate spec: failed to mkdir "": mkdir : no such file or directory'
OLD_CRIO = "mount.HostPath is empty"
EMPTY_VOLUME = (
    "failed to create containerd task: OCI runtime create failed: unable to start container process: error during "
    'container init: exec: "/orchestune/opt/orchestune/runtime/py/lib/ld.so": stat /orchestune/opt/orchestune/runtime/'
    "py/lib/ld.so: no such file or directory"
)
NOEXEC = 'exec: "/orchestune/opt/orchestune/runtime/py/lib/ld.so": permission denied'
DROPPED = 'Job.batch "x" is invalid: spec.template.spec.volumes[0]: Required value: must specify a volume type'
POLICY = 'admission webhook "rules.lab" denied the request: volume types allowed are configMap, emptyDir and secret'


def machine(name: str, kubelet: str = "v1.36.3", runtime: str = "containerd://2.4.2") -> Document:
    info = {"kubeletVersion": kubelet, "containerRuntimeVersion": runtime}
    status = {"allocatable": {"cpu": "4"}, "conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": info}
    return {"metadata": {"name": name, "resourceVersion": "1"}, "status": status}


def nodes(*documents: Document) -> list[Node]:
    return [node(document, CONFIG) for document in documents]


@pytest.mark.parametrize(
    ("version", "machines", "why"),
    [
        ("v1.36.3", [machine("a")], ""),
        ("v1.35.0-gke.1", [machine("a", "v1.35.9+k3s1", "containerd://2.1.0")], ""),
        ("v1.35.0", [machine("a"), machine("b", runtime="cri-o://1.33.0")], ""),
        ("v1.36.3", [], ""),
        ("v1.34.9", [machine("a")], "image volumes need Kubernetes 1.35, this is v1.34.9"),
        ("", [machine("a")], "image volumes need Kubernetes 1.35, this is not known"),
        ("v1.36.3", [machine("a"), machine("b", "v1.34.1")], "a kubelet of version 1.35, b has v1.34.1"),
        ("v1.36.3", [machine("b", runtime="containerd://2.0.5")], "containerd 2.1, b has containerd 2.0.5"),
        ("v1.36.3", [machine("b", runtime="cri-o://1.32.4")], "cri-o 1.33, b has cri-o 1.32.4"),
        ("v1.36.3", [machine("b", runtime="docker://29.6.2")], "containerd 2.1 or cri-o 1.33, b has docker"),
    ],
)  # fmt: skip
def test_the_versions_decide(version: str, machines: list[Document], why: str) -> None:
    decision = decide(None, version, nodes(*machines))
    assert decision.volume is not bool(why)
    assert why in decision.why


def test_a_node_where_nothing_is_started_decides_nothing() -> None:
    closed = machine("old", "v1.30.0", "containerd://1.7.1") | {"spec": {"unschedulable": True}}
    assert decide(None, "v1.36.3", nodes(machine("a"), closed)).volume


def test_a_setting_decides_whatever_the_versions_are() -> None:
    assert decide(True, "v1.20.0", nodes(machine("a", "v1.20.0", "docker://1"))).volume
    assert (
        str(decide(False, "v1.36.3", [])) == "a copy by an init container: image volumes are switched off by a setting"
    )


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"waiting": {"reason": "CreateContainerError", "message": OLD_CRIO}}, OLD_CRIO),
        ({"waiting": {"reason": "RunContainerError"}}, "RunContainerError"),
        ({"terminated": {"reason": "StartError", "exitCode": 128, "message": NOEXEC}}, NOEXEC),
        ({"terminated": {"reason": "Error", "exitCode": 1, "message": NOEXEC}}, ""),
        ({"waiting": {"reason": "CreateContainerConfigError", "message": "secret not found"}}, ""),
        ({"running": {}}, ""),
    ],
)
def test_what_a_runtime_said_when_it_could_not_start_the_worker(state: Document, message: str) -> None:
    assert start_failure({"status": {"containerStatuses": [{"name": "worker", "state": state}]}}) == message


class Stream:
    """One watch."""

    def __init__(self) -> None:
        self.queue: queue.Queue[tuple[str, Document] | None] = queue.Queue()

    def __iter__(self) -> Iterator[tuple[str, Document]]:
        while (event := self.queue.get()) is not None:
            yield event

    def hang_up(self) -> None:
        self.queue.put(None)


class FakeApi:
    """An API server with one node, which remembers the Jobs that are made, and refuses what a test wants refused."""

    def __init__(self, version: str = "v1.36.3") -> None:
        self.version = version
        self.refuse: Callable[[Document], None] = lambda job: None
        self.jobs: list[Document] = []
        self._streams: dict[str, Stream] = {}
        self._lock = threading.Lock()

    def call(self, method: str, path: str, body: Any = None, **_: Any) -> Document:
        if path == "/version":
            return {"gitVersion": self.version}
        if method == "POST" and path.endswith("/jobs"):
            self.refuse(body)
            body = {**body, "metadata": {**body["metadata"], "uid": f"uid-{len(self.jobs)}"}}
            self.jobs.append(body)
        return body or {"metadata": {}}

    def pages(self, path: str, query: Mapping[str, object]) -> Iterator[Document]:
        yield {"items": [machine("n1")] if path.endswith("/nodes") else []}

    def watch(self, path: str, query: Mapping[str, object], since: str) -> Stream:
        return self._stream(path)

    def tell(self, kind: str, document: Document) -> None:
        """Let a watch report an object of the namespace."""
        self._stream(f"/api/v1/namespaces/ml/{kind}").queue.put(("ADDED", document))

    def _stream(self, path: str) -> Stream:
        with self._lock:
            return self._streams.setdefault(path, Stream())


@pytest.fixture
def place() -> Iterator[Callable[..., tuple[KubernetesBackend, FakeApi]]]:
    backends: list[KubernetesBackend] = []

    def make(**settings: Any) -> tuple[KubernetesBackend, FakeApi]:
        api = FakeApi()
        backends.append(KubernetesBackend(replace(CONFIG, **settings), api))  # type: ignore[arg-type]
        return backends[-1], api

    yield make
    for backend in backends:
        backend.close()


def pod_of(job: Document, phase: str, **state: Any) -> Document:
    template, name = job["spec"]["template"], f"{job['metadata']['name']}-x"
    metadata = {**template["metadata"], "namespace": "ml", "name": name, "resourceVersion": "7"}
    statuses = [{"name": "worker", "image": "python:3", "state": state}] if state else []
    status = {"phase": phase, "containerStatuses": statuses}
    return {"metadata": metadata, "spec": {**template["spec"], "nodeName": "n1"}, "status": status}


def order(number: int) -> WorkerOrder:
    return replace(ORDER, worker=f"{ORDER.worker[:-1]}{number}")


def eventual_status(backend: KubernetesBackend, number: int, enough: Callable[[WorkerStatus], bool]) -> WorkerStatus:
    statuses: list[WorkerStatus] = []

    def look() -> bool:
        statuses[:] = backend.observe({order(number).worker: {"namespace": "ml", "job": "j"}})
        return enough(statuses[0])

    wait_until(look)
    return statuses[0]


@pytest.mark.parametrize(
    ("phase", "state", "for_all"),
    [
        ("Pending", {"waiting": {"reason": "CreateContainerError", "message": OLD_CONTAINERD}}, True),
        ("Pending", {"waiting": {"reason": "CreateContainerError", "message": OLD_CRIO}}, True),
        ("Failed", {"terminated": {"reason": "StartError", "exitCode": 128, "message": EMPTY_VOLUME}}, False),
        ("Failed", {"terminated": {"reason": "StartError", "exitCode": 128, "message": NOEXEC}}, False),
        (
            "Failed",
            {"terminated": {"reason": "StartError", "exitCode": 128, "message": "a runtime's own words"}},
            False,
        ),
    ],
)
def test_where_a_kubelet_cannot_the_next_pod_gets_a_copy_and_nothing_is_counted(
    place: Callable[..., tuple[KubernetesBackend, FakeApi]], phase: str, state: Document, for_all: bool
) -> None:
    backend, api = place()
    assert backend.notes() == ["the worker's Python comes into pods as an image volume"]
    backend.start(order(1))
    assert uses_volume(api.jobs[0])
    api.tell("pods", pod_of(api.jobs[0], phase, **state))
    assert eventual_status(backend, 1, lambda status: status.phase is Phase.GONE).loss is WorkerLoss.PLACE
    backend.start(order(2))
    assert not uses_volume(api.jobs[1])
    assert api.jobs[1]["spec"]["template"]["spec"]["initContainers"]
    backend.start(replace(order(3), experiment="another"))
    assert uses_volume(api.jobs[2]) is not for_all, "words that may be the experiment's count for it alone"
    assert ("as a copy by an init container: image volumes do not work" in backend.notes()[0]) is for_all


def test_a_pod_of_a_users_own_shape_says_nothing_about_the_pods_of_others(
    place: Callable[..., tuple[KubernetesBackend, FakeApi]],
) -> None:
    backend, api = place()

    def refuse(job: Document) -> None:
        if uses_volume(job) and len(job["spec"]["template"]["spec"].get("initContainers") or ()):
            raise UsageError("spec.template.spec.initContainers[0].image: Required value (volume)")

    api.refuse = refuse
    own_shape = {"spec": {"initContainers": [{"name": "runtime"}]}}
    backend.start(replace(order(1), placement=Placement(pod=own_shape)))
    backend.start(replace(order(2), experiment="another"))
    assert [uses_volume(job) for job in api.jobs] == [False, True]
    assert backend.notes() == ["the worker's Python comes into pods as an image volume"]


REFUSALS = {
    "the namespace": ('pods "x-1" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true', True),
    "a user's container": (
        'pods "x-1" is forbidden: violates PodSecurity "baseline:v1": violates PodSecurity "restricted:", runAsNonRoot',
        False,
    ),
}


@pytest.mark.parametrize(("message", "restricted"), REFUSALS.values(), ids=REFUSALS)
def test_only_the_standard_that_a_namespace_enforces_makes_the_pods_of_all_others_run_without_root(
    place: Callable[..., tuple[KubernetesBackend, FakeApi]], message: str, restricted: bool
) -> None:
    backend, api = place()
    backend.start(order(1))
    job = api.jobs[0]
    job["metadata"]["resourceVersion"] = "7"
    event = {
        "metadata": {"namespace": "ml", "name": "e", "resourceVersion": "8"},
        "involvedObject": {"kind": "Job", "name": job["metadata"]["name"]},
        "reason": "FailedCreate", "type": "Warning", "message": f"Error creating: {message}",
    }  # fmt: skip
    api.tell("events", event)
    loss = eventual_status(backend, 1, lambda sighting: sighting.phase is Phase.GONE).loss
    assert (loss is WorkerLoss.PLACE) is restricted
    backend.start(replace(order(2), experiment="another"))
    assert api.jobs[1]["spec"]["template"]["spec"]["securityContext"].get("runAsNonRoot", False) is restricted


IMAGES = {
    "InvalidImageName": 'Failed to apply default image tag "runAsNonRoot": couldn\'t parse image name',
    "CreateContainerConfigError": "container has runAsNonRoot and image will run as root (container: worker)",
}


@pytest.mark.parametrize(("reason", "message"), IMAGES.items())
def test_what_a_kubelet_says_of_one_image_changes_the_pods_of_no_other_experiment(
    place: Callable[..., tuple[KubernetesBackend, FakeApi]], reason: str, message: str
) -> None:
    backend, api = place()
    backend.start(order(1))
    api.tell("pods", pod_of(api.jobs[0], "Pending", waiting={"reason": reason, "message": message}))
    loss = eventual_status(backend, 1, lambda sighting: sighting.phase is Phase.GONE).loss
    about_root = reason == "CreateContainerConfigError"
    assert loss is (WorkerLoss.PLACE if about_root else WorkerLoss.REFUSED)
    backend.start(order(2))
    backend.start(replace(order(3), experiment="another"))
    non_root = [job["spec"]["template"]["spec"]["securityContext"].get("runAsNonRoot", False) for job in api.jobs[1:]]
    assert non_root == [about_root, False]


@pytest.mark.parametrize("words", [DROPPED, POLICY])
def test_where_the_api_server_takes_no_image_volume_the_same_worker_gets_a_copy(
    place: Callable[..., tuple[KubernetesBackend, FakeApi]], words: str
) -> None:
    backend, api = place()

    def refuse(job: Document) -> None:
        if uses_volume(job):
            raise UsageError(words) if words is DROPPED else Denied(words)

    api.refuse = refuse
    backend.start(order(1))
    assert [uses_volume(job) for job in api.jobs] == [False]
    assert "do not work here" in backend.notes()[0]


def test_a_refusal_that_has_another_cause_is_told_and_nothing_is_learned_from_it(
    place: Callable[..., tuple[KubernetesBackend, FakeApi]],
) -> None:
    backend, api = place()

    def refuse(job: Document) -> None:
        raise UsageError("spec.template.spec.volumes[5].name: Invalid value")

    api.refuse = refuse
    with pytest.raises(UsageError, match=r"volumes\[5\]"):
        backend.start(order(1))
    assert backend.notes() == ["the worker's Python comes into pods as an image volume"]


def test_once_a_pod_has_run_so_only_words_that_name_the_volume_count(
    place: Callable[..., tuple[KubernetesBackend, FakeApi]],
) -> None:
    backend, api = place()
    backend.start(order(1))
    api.tell("pods", pod_of(api.jobs[0], "Running", running={}))
    eventual_status(backend, 1, lambda status: status.phase is Phase.RUNNING and status.node == "n1")
    backend.start(order(2))
    mine = {"reason": "CreateContainerError", "message": "a mount of the user's own"}
    api.tell("pods", pod_of(api.jobs[1], "Pending", waiting=mine))
    assert eventual_status(backend, 2, lambda status: "user's own" in status.reason).phase is Phase.PENDING
    backend.start(order(3))
    assert uses_volume(api.jobs[2])
    api.tell("pods", pod_of(api.jobs[2], "Pending", waiting={"reason": "CreateContainerError", "message": OLD_CRIO}))
    eventual_status(backend, 3, lambda status: status.loss is WorkerLoss.PLACE)


def test_a_mount_that_is_late_is_waited_for(place: Callable[..., tuple[KubernetesBackend, FakeApi]]) -> None:
    backend, api = place()
    backend.start(order(1))
    pod = pod_of(api.jobs[0], "Pending")
    about = {"kind": "Pod", "name": pod["metadata"]["name"]}
    late = {
        "metadata": {"namespace": "ml", "name": "e", "resourceVersion": "8"}, "involvedObject": about,
        "reason": "FailedMount", "type": "Warning", "message": 'MountVolume.SetUp failed for volume "orders"',
    }  # fmt: skip
    api.tell("pods", pod)
    api.tell("events", late)
    assert eventual_status(backend, 1, lambda status: "orders" in status.reason).phase is Phase.PENDING
    assert backend.notes() == ["the worker's Python comes into pods as an image volume"]


def test_where_a_setting_wants_image_volumes_nothing_falls_back(
    place: Callable[..., tuple[KubernetesBackend, FakeApi]],
) -> None:
    backend, api = place(image_volumes=True)
    backend.start(order(1))
    api.tell(
        "pods", pod_of(api.jobs[0], "Failed", terminated={"reason": "StartError", "exitCode": 128, "message": NOEXEC})
    )
    status = eventual_status(backend, 1, lambda status: status.phase is Phase.GONE)
    assert status.loss is not WorkerLoss.PLACE and "could not run" in status.reason
    backend.start(order(2))
    assert uses_volume(api.jobs[1])
