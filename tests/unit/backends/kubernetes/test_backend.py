"""Many workers that wait in a cluster, seen at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from orchestune.backends.kubernetes.backend import KubernetesBackend
from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.backends.kubernetes.objects import plan
from orchestune.backends.kubernetes.objects.labels import SERVER, of_worker
from orchestune.backends.kubernetes.observation import capacity
from orchestune.backends.kubernetes.planning import DryRunPlanner
from orchestune.domain.resources.placement import Placement
from orchestune.domain.resources.resources import Resources
from orchestune.errors import TemporaryError
from orchestune.ports.backend import Phase, WorkerLoss, WorkerOrder

Document = dict[str, Any]


class Cluster:
    """An API server whose objects are there, and do not change."""

    def __init__(self, **kinds: list[Document]) -> None:
        self.kinds = kinds
        self.ending = threading.Event()
        self.deleted: list[str] = []
        self.graces: dict[str, object] = {}
        """path of a deleted object → the grace period that was sent"""

    def delete_object(self, path: str, options: Mapping[str, object]) -> bool:
        self.deleted.append(path)
        self.graces[path] = options.get("gracePeriodSeconds")
        return True

    def pages(self, path: str, query: Mapping[str, object]) -> Iterator[Document]:
        ours = "labelSelector" in query
        resources = self.kinds.get(path.rpartition("/")[2], [])
        yield {"items": [each for each in resources if each["metadata"].get("labels") or not ours]}

    def watch(self, path: str, query: Mapping[str, object], since: str) -> Cluster:
        return self

    def __iter__(self) -> Iterator[tuple[str, Document]]:
        self.ending.wait()
        return iter(())

    def hang_up(self) -> None:
        self.ending.set()


def pod(name: str, cpu: str, worker: str = "", node: str | None = None) -> Document:
    condition = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: 1 Insufficient cpu."}
    return {
        "metadata": {
            "name": name,
            "namespace": "ml",
            "labels": of_worker("e", "sgd-7f3a", worker, "http://o") if worker else {},
        },
        "spec": {"nodeName": node, "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]},
        "status": {"phase": "Pending" if worker else "Running", "conditions": [condition] if worker else []},
    }


def test_what_many_workers_wait_for_is_computed_once_for_each_size(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = {"type": "Ready", "status": "True"}
    node = {"metadata": {"name": "n1"}, "status": {"allocatable": {"cpu": "8"}, "conditions": [ready]}}
    waiting = [pod(f"p{number}", "4" if number % 2 else "6", f"w{number}") for number in range(20)]
    cluster = Cluster(nodes=[node], pods=[*waiting, pod("other", "5", node="n1")])
    computed = []
    genuine = capacity.shortage

    def shortage(*args: Any) -> str:
        computed.append(args)
        return genuine(*args)

    monkeypatch.setattr(capacity, "shortage", shortage)
    backend = KubernetesBackend(KubernetesConfig("lab", "ml", "http://o", "o:1"), cluster)  # type: ignore[arg-type]
    try:
        statuses = backend.observe({f"w{number}": {} for number in range(20)})
    finally:
        backend.close()
    assert {sighting.phase for sighting in statuses} == {Phase.PENDING}
    assert statuses[1].reason.startswith("needs 4 cpu and 3 of 8 are free; others hold 5")
    assert statuses[2].reason.startswith("needs 6 cpu and 3 of 8 are free; others hold 5")
    assert len(computed) == 2


def test_of_two_servers_in_a_namespace_each_sweeps_its_own_workers_alone() -> None:
    labels = {"a": of_worker("e", "sgd-7f3a", "a", "http://one"), "b": of_worker("f", "net-1a2b", "b", "http://two")}
    unnamed = {key: value for key, value in of_worker("g", "old-3c4d", "c", "").items() if key != SERVER}
    metas = [
        {"name": name, "namespace": "ml", "uid": name, "labels": each}
        for name, each in [*labels.items(), ("c", unnamed)]
    ]
    leaving = {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}
    cluster = Cluster(
        jobs=[{"metadata": meta, "spec": {}} for meta in metas],
        pods=[{"metadata": {**metas[1], **leaving}, "spec": {"nodeName": "gone"}, "status": {"phase": "Running"}}],
    )
    backend = KubernetesBackend(KubernetesConfig("lab", "ml", "http://one", "o:1"), cluster)  # type: ignore[arg-type]
    try:
        backend.capacity()  # the nodes are seen: that of the pod is gone
        backend.sweep(frozenset())
    finally:
        backend.close()
    assert cluster.deleted == ["/apis/batch/v1/namespaces/ml/jobs/a", "/apis/batch/v1/namespaces/ml/jobs/c"]


@pytest.mark.parametrize(("own", "sent"), [(3600, 10), (5, 5)])
def test_containers_that_outlive_their_worker_end_soon_whatever_grace_their_pod_has(own: int, sent: int) -> None:
    """A pod whose worker had drained ran on for an hour, with capabilities that had been revoked."""
    labels = of_worker("e", "sgd-7f3a", "a", "http://one")
    meta = {"name": "a", "namespace": "ml", "uid": "a", "labels": labels}
    pod_meta = {**meta, "name": "a-1", "ownerReferences": [{"kind": "Job", "name": "a"}]}
    spec = {"nodeName": "n", "terminationGracePeriodSeconds": own}
    cluster = Cluster(
        jobs=[{"metadata": meta, "spec": {}}],
        pods=[{"metadata": pod_meta, "spec": spec, "status": {"phase": "Running"}}],
    )
    backend = KubernetesBackend(KubernetesConfig("lab", "ml", "http://one", "o:1"), cluster)  # type: ignore[arg-type]
    try:
        backend.capacity()
        backend.sweep(frozenset())
    finally:
        backend.close()
    pod, job = "/api/v1/namespaces/ml/pods/a-1", "/apis/batch/v1/namespaces/ml/jobs/a"
    assert cluster.deleted[:2] == [pod, job] and cluster.graces[pod] == sent


def node(name: str, *taints: tuple[str, str], **labels: str) -> Document:
    """`taints`: keys and values."""
    node_taints = [{"key": key, "value": value, "effect": "NoSchedule"} for key, value in taints]
    labels = {"kubernetes.io/os": "linux", **{key.replace("_", "/"): value for key, value in labels.items()}}
    status = {"allocatable": {"cpu": "8", "nvidia.com/gpu": "4"}, "conditions": [{"type": "Ready", "status": "True"}]}
    return {"metadata": {"name": name, "labels": labels}, "spec": {"taints": node_taints}, "status": status}


SPOT = ("cloud/spot", "yes")
FLEET = [
    node("plain"),
    node("cards", ("nvidia.com/gpu", "present")),
    node("spot", SPOT, zone="b"),
    node("vision", ("orchestune.dev/pool", "vision"), **{"orchestune.dev_pool": "vision"}),
    node("own", SPOT, **{"orchestune.dev_pool": "own"}),
]


def tolerating(**toleration: str) -> Placement:
    return Placement(pod={"spec": {"tolerations": [toleration]}})


@pytest.mark.parametrize(
    ("each", "placement", "open_to_it"),
    [
        (Resources(1), Placement(), {"plain"}),
        (Resources(1, gpu=1), Placement(), {"plain", "cards"}),
        (Resources(1), Placement(pool="vision"), {"plain", "vision"}),
        (Resources(1), Placement(pool="own"), {"plain", "spot", "own"}),  # the pool itself is known by its label
        (Resources(1), tolerating(key="cloud/spot", value="yes"), {"plain", "spot", "own"}),
        (Resources(1), tolerating(key="cloud/spot", operator="Exists", effect="NoSchedule"), {"plain", "spot", "own"}),
        (Resources(1), tolerating(key="cloud/spot", value="no"), {"plain"}),
        (Resources(1), tolerating(key="cloud/spot", operator="Exists", effect="NoExecute"), {"plain"}),
        (Resources(1), tolerating(operator="Exists"), {"plain", "cards", "spot", "vision", "own"}),
        (Resources(1), Placement(pod={"spec": {"nodeSelector": {"zone": "b"}}}), set()),
        (Resources(1), Placement(pod={"spec": {"tolerations": "odd", "nodeSelector": ["odd"]}}), {"plain"}),
    ],
)
def test_a_node_is_open_to_whom_its_taints_and_its_labels_let_in(
    each: Resources, placement: Placement, open_to_it: set[str]
) -> None:
    backend = KubernetesBackend(KubernetesConfig("lab", "ml", "http://o", "o:1"), Cluster(nodes=FLEET))  # type: ignore[arg-type]
    try:
        names = {machine.name for machine in backend.capacity().machines}
        assert names == {"plain", "cards", "spot", "vision", "own"}
        assert names - backend.infeasible_nodes(each, placement) == open_to_it
    finally:
        backend.close()


def test_a_cordoned_node_is_told_since_trials_may_run_there_yet() -> None:
    cordoned = node("old")
    cordoned["spec"]["unschedulable"] = True
    cluster = Cluster(nodes=[cordoned, node("new")])
    backend = KubernetesBackend(KubernetesConfig("lab", "ml", "http://o", "o:1"), cluster)  # type: ignore[arg-type]
    try:
        cluster_capacity = backend.capacity()
    finally:
        backend.close()
    assert [machine.name for machine in cluster_capacity.machines] == ["new"]
    assert cluster_capacity.unschedulable == {"old"}


class Full(Cluster):
    """An API server that takes no more Jobs for now."""

    def __init__(self, **kinds: list[Document]) -> None:
        super().__init__(**kinds)
        self.full = True
        self.asked: list[str] = []
        self.created: list[Document] = []

    def call(self, method: str, path: str, body: Document | None = None) -> Document:
        if method == "GET":
            return {"metadata": {}, "items": self.kinds.get(path.rpartition("/")[2], [])}
        self.asked.append(path.rpartition("/")[2])
        if self.full:
            raise TemporaryError("a quota of the namespace has no room")
        assert body is not None
        self.created.append(body)
        return {**body, "metadata": {**body["metadata"], "uid": "1"}}


@pytest.mark.parametrize(
    "placement", [Placement(image="x"), Placement(image="x", pool="own"), Placement(image="x", pool="cpu")]
)
def test_a_start_sends_the_job_that_server_and_client_have_planned(placement: Placement) -> None:
    cluster, config = Full(nodes=FLEET), KubernetesConfig("lab", "ml", "http://o", "o:1")
    cluster.full = False
    order = WorkerOrder("w-1", "e", "t", 1, each=Resources(1, gpu=1), placement=placement, handle="sgd-7f3a")
    backend = KubernetesBackend(config, cluster)  # type: ignore[arg-type]
    try:
        planned = backend.plan(order)
        assert not cluster.created
        backend.start(order)
    finally:
        backend.close()
    assert list(planned.objects) == cluster.created[:1]
    assert DryRunPlanner(config, cluster).plan(order) == planned  # type: ignore[arg-type]


def test_a_worker_whose_job_could_not_be_made_is_started_as_soon_as_it_can_be() -> None:
    cluster, order = Full(), WorkerOrder("w-1", "e", "t", 1, placement=Placement(image="x"), handle="sgd-7f3a")
    backend = KubernetesBackend(KubernetesConfig("lab", "ml", "http://o", "o:1"), cluster)  # type: ignore[arg-type]
    try:
        with pytest.raises(TemporaryError):
            backend.start(order)
        assert [sighting.phase for sighting in backend.observe({"w-1": {}})] == [Phase.GONE]
        cluster.full = False
        assert backend.start(order) == {"namespace": "ml", "job": "orchestune-sgd-7f3a-w1"}
    finally:
        backend.close()
    assert cluster.asked == ["jobs", "jobs", "secrets"]


@pytest.mark.parametrize(
    ("pool", "avoid", "node_names", "is_gone"),
    [
        ("cpu", set(), ["n1"], False),
        ("cpu", set(), ["n1", "n2"], True),
        ("cpu", {"n2"}, ["n1", "n2"], False),
        (None, set(), ["n1", "n2"], False),
        ("gpu", set(), ["n1", "n2"], False),
    ],
)
def test_a_worker_that_waits_for_the_nodes_of_its_pool_is_made_anew_once_there_are_others(
    pool: str | None, avoid: set[str], node_names: list[str], is_gone: bool
) -> None:
    config, each = KubernetesConfig("lab", "ml", "http://o", "o:1"), Resources(1)
    order = WorkerOrder(
        "w", "e", "t", 1, each=each, placement=Placement(image="x", pool=pool), handle="sgd-7f3a",
        avoid=frozenset(avoid),
    )  # fmt: skip
    ready = {"allocatable": {"cpu": "8"}, "conditions": [{"type": "Ready", "status": "True"}]}
    nodes = {name: {"metadata": {"name": name}, "spec": {}, "status": ready} for name in ("n1", "n2")}
    node_pool = capacity.node_pool([capacity.node(nodes["n1"], config)], pool, each)
    template = plan.template(config, order, plan.ClusterRequirements(node_pool=node_pool), [])
    waiting = pod("p", "1", "w")
    waiting["spec"] = {**template["spec"], "nodeName": None}
    cluster = Cluster(nodes=[nodes[name] for name in node_names], pods=[waiting])
    backend = KubernetesBackend(config, cluster)  # type: ignore[arg-type]
    try:
        backend.capacity()
        [status] = backend.observe({"w": {"namespace": "ml", "job": "j"}})
    finally:
        backend.close()
    assert (status.phase is Phase.GONE) is is_gone
    assert not is_gone or (status.loss is WorkerLoss.PLACE and "(n2)" in status.reason)
