"""Capacity of nodes, its holders, and the reasons why a pod is not scheduled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.backends.kubernetes.objects.labels import of_worker
from orchestune.backends.kubernetes.objects.plan import node_constraints
from orchestune.backends.kubernetes.objects.quantities import requests
from orchestune.backends.kubernetes.observation.capacity import (
    Load,
    Node,
    NodePool,
    cores_per_gpu,
    load,
    machines,
    node,
    node_pool,
    shortage,
    survey,
)
from orchestune.backends.kubernetes.policy.node_admission import admits
from orchestune.backends.kubernetes.policy.preflight import check_gpu_labels, check_resources
from orchestune.domain.resources.allocation import usable
from orchestune.domain.resources.placement import Placement
from orchestune.domain.resources.resources import Capacity, Resources, fits
from orchestune.errors import UsageError
from orchestune.kubeapi.labels import OWN_LABELS

CONFIG = KubernetesConfig("lab", "ml", "http://o", "server:1")
GIB = 2**30


def node_document(
    name: str, *, cpu: str = "4", memory: str = "8Gi", gpu: int = 0, ready: str = "True", **more: Any
) -> Node:
    labels, spec = more.pop("labels", {}), more
    allocatable = {"cpu": cpu, "memory": memory} | ({"nvidia.com/gpu": str(gpu)} if gpu else {})
    condition = {"type": "Ready", "status": ready, "message": "" if ready == "True" else "Kubelet stopped posting"}
    status = {"allocatable": allocatable, "conditions": [condition]}
    return node({"metadata": {"name": name, "labels": labels}, "spec": spec, "status": status}, CONFIG)


def pod(
    holds: dict[str, str],
    node: str = "n1",
    *,
    ours: str = "",
    owner: str = "Job",
    phase: str = "Running",
    config: KubernetesConfig = CONFIG,
) -> Any:
    """`config`: that of the server whose worker it is."""
    labels = of_worker("e", ours, "w", config.url) if ours else {}
    metadata = {"name": "p", "namespace": config.namespace, "labels": labels, "ownerReferences": [{"kind": owner}]}
    containers = [{"name": "c", "resources": {"requests": holds}}]
    return load(
        {"metadata": metadata, "spec": {"nodeName": node, "containers": containers}, "status": {"phase": phase}}, CONFIG
    )


def test_what_others_hold_is_taken_off_and_lent_where_it_may_come_back() -> None:
    loads = [
        pod({"cpu": "500m", "memory": "1Gi"}, owner="DaemonSet"),
        pod({"cpu": "1500m", "memory": "1Gi"}),
        pod({"cpu": "1"}, ours="sgd-7f3a"),
    ]
    (machine,) = machines([node_document("n1")], loads)
    assert (machine.cpu, machine.memory) == (2.0, 6 * GIB)
    assert (machine.whole.cpu, machine.whole.memory) == (3.5, 7 * GIB)


@pytest.mark.parametrize("other", [replace(CONFIG, namespace="team"), replace(CONFIG, url="http://elsewhere")])
def test_workers_of_another_server_are_others(other: KubernetesConfig) -> None:
    loads = [pod({"cpu": "1"}, ours="sgd-7f3a"), pod({"cpu": "2"}, ours="net-1a2b", config=other)]
    (machine,) = machines([node_document("n1")], loads)
    assert (machine.cpu, machine.whole.cpu) == (2.0, 4.0)
    (machine_view,) = survey([node_document("n1")], loads, True)
    assert machine_view.ours.cpu == 1 and machine_view.others is not None and machine_view.others.cpu == 2


def test_what_others_hold_now_refuses_nothing_for_ever() -> None:
    capacity = Capacity(machines([node_document("n1")], [pod({"cpu": "3"})]))
    assert fits(capacity, Resources(4, GIB)) is None
    assert fits(capacity, Resources(5, GIB)) == "a trial needs 5 cpu, n1 has 4"


@pytest.mark.parametrize(
    "unfit",
    [
        node_document("n", ready="Unknown"),
        node_document("n", unschedulable=True),
        node_document("n", taints=[{"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}]),
    ],
    ids=["not ready", "cordoned", "under pressure"],
)
def test_a_node_that_takes_nobody_is_no_machine(unfit: Node) -> None:
    assert machines([unfit], []) == ()
    assert survey([unfit], [], True)[0].trouble


def test_a_node_of_windows_is_no_machine_and_says_so() -> None:
    ready = {"type": "Ready", "status": "True"}
    status = {"allocatable": {"cpu": "8"}, "conditions": [ready], "nodeInfo": {"operatingSystem": "windows"}}
    windows_node = node({"metadata": {"name": "win1"}, "spec": {}, "status": status}, CONFIG)
    assert machines([windows_node], []) == ()
    assert survey([windows_node], [], True)[0].trouble == "runs windows, and trials run on Linux"


def test_a_node_of_another_architecture_than_the_workers_python_is_no_machine_and_says_so() -> None:
    def arm_or_other_node(architecture: str, worker_architecture: str) -> Node:
        ready = {"type": "Ready", "status": "True"}
        info = {"operatingSystem": "linux", "architecture": architecture}
        status = {"allocatable": {"cpu": "8"}, "conditions": [ready], "nodeInfo": info}
        document = {"metadata": {"name": "n1"}, "spec": {}, "status": status}
        return node(document, replace(CONFIG, architecture=worker_architecture))

    assert machines([arm_or_other_node("arm64", "amd64")], []) == ()
    assert (
        survey([arm_or_other_node("arm64", "amd64")], [], True)[0].trouble
        == "is arm64, and the worker's Python is for amd64"
    )
    for architecture, worker_architecture in (("arm64", "arm64"), ("arm64", ""), ("", "arm64")):
        assert len(machines([arm_or_other_node(architecture, worker_architecture)], [])) == 1


def test_a_tainted_node_with_a_pool_is_for_those_who_name_it() -> None:
    spot = node_document(
        "s1", labels={"orchestune.dev/pool": "spot"}, taints=[{"key": "spot", "value": "y", "effect": "NoSchedule"}]
    )
    nodes = [spot, node_document("n1")]
    capacity = Capacity(machines(nodes, []))

    def open_nodes(pool: str | None) -> list[str]:
        tolerations = [{"key": key, "value": value} for key, value, _ in node_pool(nodes, pool, Resources()).taints]
        closed = frozenset(each.name for each in nodes if not admits(each, {"tolerations": tolerations}))
        return [machine.name for machine in usable(capacity, Resources(1), pool, closed)]

    assert (open_nodes(None), open_nodes("spot")) == (["n1"], ["s1"])
    assert node_pool([spot], "spot", Resources()) == NodePool((), (("spot", "y", "NoSchedule"),))


def test_a_node_whose_label_names_no_pool_is_found_by_its_name() -> None:
    nodes = [
        node_document("n1", labels={"orchestune.dev/pool": ""}),
        node_document("n2", labels={"orchestune.dev/pool": "cpu"}),
    ]
    assert [machine.pool for machine in machines(nodes, [])] == ["cpu", "cpu"]
    assert node_pool(nodes, "cpu", Resources()).nodes == ("n1",)


@pytest.mark.parametrize("key", [
    "ToBeDeletedByClusterAutoscaler", "karpenter.sh/disrupted", "aws-node-termination-handler/spot-itn",
    "node.cloudprovider.kubernetes.io/uninitialized", "node.cilium.io/agent-not-ready",
    "cloud.google.com/impending-node-termination",
])  # fmt: skip
def test_nobody_tolerates_that_a_node_of_a_pool_is_about_to_go_or_not_up_yet(key: str) -> None:
    labels, own = {"orchestune.dev/pool": "spot"}, {"key": "spot", "value": "y", "effect": "NoSchedule"}
    taints = [own, {"key": key, "value": "1700000000", "effect": "NoSchedule"}]
    going, stays = node_document("s1", labels=labels, taints=taints), node_document("s2", labels=labels, taints=[own])
    assert [machine.name for machine in machines([going, stays], [])] == ["s2"]
    assert node_pool([going, stays], "spot", Resources()).taints == (("spot", "y", "NoSchedule"),)
    assert node_pool([going], "spot", Resources()).taints == ()
    assert survey([going], [], True)[0].trouble


def test_the_taint_of_cards_keeps_no_pool_apart() -> None:
    cards = node_document("g1", gpu=4, taints=[{"key": "nvidia.com/gpu", "effect": "NoSchedule"}])
    (machine,) = machines([cards], [])
    assert (machine.pool, [card.id for card in machine.gpus]) == ("gpu", ["g1/0", "g1/1", "g1/2", "g1/3"])
    assert node_pool([cards, node_document("n1")], "gpu", Resources()) == NodePool(("g1",), ())


def test_nodes_whose_cards_are_sliced_have_the_taint_of_whole_cards() -> None:
    config = replace(CONFIG, gpu_resource="nvidia.com/gpu.shared")
    taints = [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]
    metadata = {"name": "g1", "labels": {"kubernetes.io/os": "linux"}}
    status = {"allocatable": {"nvidia.com/gpu.shared": "8"}, "conditions": [{"type": "Ready", "status": "True"}]}
    sliced_node = node({"metadata": metadata, "spec": {"taints": taints}, "status": status}, config)

    def spec(each: Resources) -> dict[str, Any]:
        return node_constraints(config, each, Placement(), node_pool([sliced_node], None, each))

    assert sliced_node.open
    assert admits(sliced_node, spec(Resources(gpu=1))) and not admits(sliced_node, spec(Resources(1)))


@pytest.mark.parametrize("label", ["1e400", "nan", "infinity", "forty"])
def test_a_label_that_is_no_amount_says_nothing_and_hides_no_node(label: str) -> None:
    labelled_node = node_document("g1", gpu=1, labels={"nvidia.com/gpu.memory": label})
    assert (labelled_node.has.gpu, labelled_node.has.gpu_memory) == (1, None)


def test_pods_that_are_over_or_nowhere_hold_nothing() -> None:
    assert pod({"cpu": "1"}, phase="Succeeded") is None
    assert pod({"cpu": "1"}, node="") is None


def test_a_pod_holds_its_containers_together_or_its_largest_first_step() -> None:
    containers = [
        {"name": "a", "resources": {"requests": {"cpu": "1"}}},
        {"name": "b", "resources": {"limits": {"cpu": "2"}}},
    ]
    spec: dict[str, Any] = {
        "nodeName": "n1", "containers": containers, "overhead": {"memory": "1Gi"},
        "initContainers": [{"name": "c", "resources": {"requests": {"cpu": "2", "memory": "3Gi"}}}],
    }  # fmt: skip
    pod_load = load({"metadata": {"name": "p"}, "spec": spec, "status": {}}, CONFIG)
    assert pod_load is not None
    assert pod_load.holds == Resources(3.0, 4 * GIB, 0)  # the overhead comes on top of either


def test_a_shortage_says_how_much_is_free_and_who_holds_the_rest() -> None:
    nodes = [node_document("g1", gpu=4), node_document("g2", gpu=4), node_document("n1")]
    loads: list[Load] = [
        pod({"nvidia.com/gpu": "3"}, "g1", ours="sgd-7f3a"),
        pod({"nvidia.com/gpu": "3"}, "g2"),
    ]
    message = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    assert shortage(Resources(1, GIB, 2), message, nodes, loads) == (
        "needs 2 gpu and 2 of 8 are free, at most 1 on one node (g1); sgd-7f3a holds 3, others 3"
    )


def test_the_amounts_of_a_large_cluster_are_written_in_full() -> None:
    nodes = [node_document(f"n{number}") for number in range(2500)]
    loads: list[Load] = [pod({"cpu": "3"}, node.name) for node in nodes]
    assert shortage(Resources(4), "0/2500 nodes are available: 2500 Insufficient cpu.", nodes, loads) == (
        "needs 4 cpu and 2500 of 10000 are free, at most 1 on one node (n0); others hold 7500"
    )


def test_a_shortage_that_the_nodes_do_not_explain_is_left_to_the_schedulers_words() -> None:
    assert (
        shortage(Resources(1), "0/1 nodes are available: 1 node(s) had untolerated taint", [node_document("n1")], [])
        == ""
    )
    assert shortage(Resources(1), "0/1 nodes are available: 1 Insufficient cpu", [node_document("n1")], []) == ""


def test_a_survey_tells_ours_from_others_where_others_are_seen() -> None:
    loads = [pod({"cpu": "1"}, ours="sgd-7f3a"), pod({"cpu": "2"})]
    (visible,), (unknown,) = survey([node_document("n1")], loads, True), survey([node_document("n1")], loads, False)
    assert (visible.ours.cpu, visible.others and visible.others.cpu, visible.trouble) == (1.0, 2.0, "")
    assert unknown.others is None


def test_the_server_itself_counts_as_ours_and_leaves_trials_no_more_room() -> None:
    server = {
        "metadata": {"name": "s", "namespace": CONFIG.namespace, "labels": dict(OWN_LABELS)},
        "spec": {"nodeName": "n1", "containers": [{"resources": {"requests": {"cpu": "1"}}}]},
    }
    held = load(server, CONFIG)
    assert held is not None
    (machine_view,) = survey([node_document("n1")], [held], True)
    assert machine_view.ours.cpu == 1 and machine_view.others is not None and not machine_view.others.cpu
    (machine,) = machines([node_document("n1")], [held])
    assert machine.cpu == (node_document("n1").has.cpu or 0) - 1


A100 = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB", "nvidia.com/gpu.memory": "40960"}
T4 = {"nvidia.com/gpu.product": "Tesla-T4", "nvidia.com/gpu.memory": "15360"}
FLEET = [
    node_document("a1", gpu=4, labels=A100),
    node_document("t1", gpu=2, labels=T4),
    node_document("bare", gpu=2),
    node_document("n1"),
]


def test_labels_say_which_cards_a_node_has() -> None:
    everything = Capacity(machines(FLEET, []))
    each = Resources(gpu=2, gpu_type="a100", gpu_memory=40 * GIB)
    assert [machine.name for machine in usable(everything, each, None)] == ["a1"]
    assert node_pool(FLEET, None, each).products == ("NVIDIA-A100-SXM4-40GB",)
    assert node_pool(FLEET, None, Resources(gpu=1, gpu_memory=10 * GIB)).products == (
        "NVIDIA-A100-SXM4-40GB",
        "Tesla-T4",
    )
    assert node_pool(FLEET, None, Resources(gpu=1)).products == ()


def test_cards_that_no_node_has_are_refused_with_those_that_there_are() -> None:
    busy = [pod({"nvidia.com/gpu": "4"}, node="a1")]
    assert fits(Capacity(machines(FLEET, busy)), Resources(gpu=4, gpu_type="a100")) is None
    assert fits(Capacity(machines(FLEET, busy)), Resources(gpu=3, gpu_type="t4")) == (
        "a trial needs 3 gpu of type t4; a1 has 4 x NVIDIA-A100-SXM4-40GB (40 GiB);"
        " bare has 2 GPUs of unknown type; t1 has 2 x Tesla-T4 (15 GiB)"
    )


def test_what_device_plugins_cannot_give_is_refused_with_what_they_can() -> None:
    with pytest.raises(UsageError, match="is a share of a GPU") as refused:
        check_resources(Resources(gpu=0.25))
    assert "--gpu-resource nvidia.com/gpu.shared" in str(refused.value.hint)
    with pytest.raises(UsageError, match="static CPU manager"):
        check_resources(Resources(cpu=2, pin=True))
    each = Resources(gpu=1, gpu_type="h100")
    check_resources(each)
    with pytest.raises(UsageError, match="no node that is there now is labelled"):
        check_gpu_labels(each, ())
    check_gpu_labels(each, ("NVIDIA-H100-80GB-HBM3",))


def asks(cpu: str, **more: str) -> dict[str, Any]:
    return {"resources": {"requests": {"cpu": cpu}}, **more}


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        ({"containers": [asks("1"), asks("2")], "initContainers": [asks("2"), asks("2")]}, 3),
        ({"containers": [asks("1")], "initContainers": [asks("2"), asks("3")]}, 3),
        ({"containers": [asks("1")], "initContainers": [asks("1", restartPolicy="Always"), asks("3")]}, 4),
        ({"containers": [asks("1")], "initContainers": [asks("3"), asks("1", restartPolicy="Always")]}, 3),
        ({"containers": [asks("3")], "initContainers": [asks("1", restartPolicy="Always")]}, 4),
        ({"containers": [asks("1")], "initContainers": [asks("3")], "overhead": {"cpu": "250m"}}, 3.25),
        ({"containers": [asks("1")], "resources": {"requests": {"cpu": "5"}}}, 5),
        ({"containers": [{"resources": {"limits": {"cpu": "2"}}}]}, 2),
    ],
)
def test_a_pod_holds_what_the_scheduler_sets_aside_for_it(spec: dict[str, Any], cpu: float) -> None:
    assert requests(spec, "nvidia.com/gpu") == Resources(cpu, 0)


def test_the_cores_of_a_gpu_are_its_share_of_the_node_that_has_fewest() -> None:
    nodes = [
        node_document("large", cpu="97", gpu=8, labels={"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB"}),
        node_document("small", cpu="9", gpu=4, labels={"nvidia.com/gpu.product": "Tesla-T4"}),
        node_document("away", cpu="3", gpu=2, ready="False"),
        node_document("none", cpu="64"),
    ]
    assert cores_per_gpu(nodes, Resources(gpu=1, gpu_type="a100")) == 12
    assert cores_per_gpu(nodes, Resources(gpu=1)) == 2
    assert cores_per_gpu(nodes[3:], Resources(gpu=1)) == 0
