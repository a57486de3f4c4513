"""Objects of a worker in a cluster, compared with golden files. `ORCHESTUNE_WRITE_GOLDEN=1` rewrites them."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.backends.kubernetes.objects import plan
from orchestune.backends.kubernetes.observation.capacity import NodePool
from orchestune.backends.kubernetes.policy.preflight import check
from orchestune.domain.resources.placement import Placement, Volume
from orchestune.domain.resources.resources import Resources
from orchestune.errors import UsageError
from orchestune.ports.backend import WorkerOrder

GOLDEN = Path(__file__).parent / "golden"
DIGEST = "sha256:" + "ab" * 32
CONFIG = KubernetesConfig("lab", "ml", "http://orchestune.ml.svc:8470", f"registry.lab/orchestune/server@{DIGEST}")
ORDER = WorkerOrder(
    worker="01a21224-9798-78f8-96c6-562d7bb027d4",
    experiment="01a21224-0000-7000-8000-000000000001",
    token="a-token",
    slots=1,
    each=Resources(0.5, 2**30),
    placement=Placement(image=f"python@{DIGEST}"),
    handle="sgd-7f3a",
    owner="Ada <ada@lab>",
)
POD = {
    "metadata": {"annotations": {"team": "vision"}, "labels": {"orchestune.dev/worker": "not yours"}},
    "spec": {
        "restartPolicy": "Always",
        "hostNetwork": None,
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "spot", "operator": "Exists"}],
        "containers": [{"name": "worker", "env": [{"name": "NCCL_DEBUG", "value": "INFO"}]}, {"name": "side"}],
        "securityContext": {"runAsUser": 1000},
    },
}
CASES = {
    "usual": (CONFIG, ORDER, plan.ClusterRequirements()),
    "everything": (
        replace(
            CONFIG, pull_secrets=("hub",), gpu_resource="amd.com/gpu", pool_label="lab/pool", user=4242, farewell=60
        ),
        replace(
            ORDER,
            each=Resources(4, 8 * 2**30, 2),
            avoid=frozenset({"old1", "old0"}),
            grace=2.5,
            placement=Placement(
                image=f"python@{DIGEST}",
                pool="a100",
                queue="team-a",
                service_account="trainer",
                priority_class="high",
                shm=2**31,
                volumes=(Volume("/data", claim="datasets", read_only=True), Volume("/tmp", path="/mnt/scratch")),
                pod=POD,
            ),
        ),
        plan.ClusterRequirements(True, NodePool(("gpu7", "old1"), (("lab/team", "vision", "NoSchedule"),))),
    ),
    "image_volume": (CONFIG, ORDER, plan.ClusterRequirements(image_volume=True)),
}


def as_yaml(documents: list[dict[str, Any]]) -> str:
    writer, stream = YAML(), io.StringIO()
    writer.width, writer.explicit_start = 120, True
    writer.indent(mapping=2, sequence=4, offset=2)
    writer.representer.ignore_aliases = lambda _: True
    for document in documents:
        writer.dump(document, stream)
    return stream.getvalue()


@pytest.mark.parametrize("case", CASES)
def test_the_manifests_are_those_of_the_golden_file(case: str) -> None:
    config, order, setting = CASES[case]
    job = plan.job(config, order, setting, ["/the/worker"])
    created_job = {**job, "metadata": {**job["metadata"], "uid": "the-jobs-uid"}}
    text = as_yaml([job, plan.secret(config, order, created_job)])
    file = GOLDEN / f"{case}.yaml"
    if os.environ.get("ORCHESTUNE_WRITE_GOLDEN") == "1":
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()


def test_the_token_stands_in_the_secret_alone() -> None:
    assert ORDER.token not in str(plan.job(CONFIG, ORDER, plan.ClusterRequirements(), ["/the/worker"]))


@pytest.mark.parametrize("handle", ["", "a", "x" * 24 + "-7f3a", "a-name-that-is-longer-than-names-ever-are-7f3a"])
def test_a_name_is_short_enough_for_a_label(handle: str) -> None:
    name = plan.name(replace(ORDER, handle=handle))
    assert len(name) <= 63
    assert name.endswith("-562d7bb027d4")


def test_the_python_is_where_the_setting_says() -> None:
    inside = "/opt/orchestune/runtime"
    assert plan.ClusterRequirements().runtime == "/orchestune"
    assert plan.ClusterRequirements(image_volume=True).runtime == f"/orchestune{inside}"
    copying = plan.template(CONFIG, ORDER, plan.ClusterRequirements(), [])["spec"]["initContainers"][0]["command"]
    assert any(part.startswith(f"{inside}/") for part in copying)


def test_an_experiment_without_an_image_gets_the_clusters() -> None:
    order = replace(ORDER, placement=Placement())
    template = plan.template(
        replace(CONFIG, default_image="python:3"), order, plan.ClusterRequirements(), ["/the/worker"]
    )
    assert template["spec"]["containers"][0]["image"] == "python:3"


def test_nothing_is_restricted_that_the_namespace_does_not_restrict() -> None:
    security = plan.template(CONFIG, ORDER, plan.ClusterRequirements(), [])["spec"]["securityContext"]
    assert security == {"seccompProfile": {"type": "RuntimeDefault"}}


def test_cards_of_a_type_are_looked_for_by_the_label_of_their_nodes() -> None:
    cards = {"key": "nvidia.com/gpu.product", "operator": "In", "values": ["A", "B"]}
    pool = {"key": "orchestune.dev/pool", "operator": "In", "values": ["big"]}

    def terms(order: WorkerOrder, node_pool: NodePool) -> Any:
        spec = plan.template(CONFIG, order, plan.ClusterRequirements(False, node_pool), ["worker"])["spec"]
        return spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]

    by_name = {"key": "metadata.name", "operator": "In", "values": ["old"]}
    assert terms(ORDER, NodePool(products=("A", "B"))) == [{"matchExpressions": [cards]}]
    named = replace(ORDER, placement=replace(ORDER.placement, pool="big"))
    assert terms(named, NodePool(("old",), products=("A", "B"))) == [
        {"matchExpressions": [pool, cards]},
        {"matchExpressions": [cards], "matchFields": [by_name]},
    ]


@pytest.mark.parametrize(
    ("pod", "message"),
    [
        ({"metadata": None}, "`pod.metadata` has to be a mapping, found null"),
        ({"spec": ["hostNetwork"]}, '`pod.spec` has to be a mapping, found \\["hostNetwork"\\]'),
        ({"metadata": {"labels": ["team"]}}, '`pod.metadata.labels` has to be a mapping, found \\["team"\\]'),
    ],
)
def test_a_patch_that_leaves_no_template_is_refused_before_anything_starts(pod: dict[str, Any], message: str) -> None:
    api: Any = None  # is not asked
    with pytest.raises(UsageError, match=message):
        check(api, CONFIG, Placement(image="x", pod=pod))
    check(api, CONFIG, Placement(image="x", pod={"metadata": {"labels": None}, "spec": {}}))


@pytest.mark.parametrize(
    ("spec", "takes"),
    [
        ({"nodeSelector": {"disk": "fast"}}, Resources(0.5, 2**30)),
        (
            {"containers": [{"name": "side", "resources": {"requests": {"cpu": 1, "memory": "1Gi"}}}]},
            Resources(1.5, 2**31),
        ),
        (
            {"initContainers": [{"name": "side", "restartPolicy": "Always", "resources": {"limits": {"cpu": "250m"}}}]},
            Resources(0.75, 2**30),
        ),
        ({"containers": [{"name": "worker", "resources": {"requests": {"cpu": "100m"}}}]}, Resources(0.1, 2**30)),
        ({"containers": [7, {"resources": "none"}], "initContainers": 3, "overhead": [1]}, Resources(0.0)),
    ],
)
def test_a_machine_has_to_have_what_the_whole_pod_requests(spec: dict[str, Any], takes: Resources) -> None:
    each = replace(ORDER.each, gpu_type="a100")
    placement = replace(ORDER.placement, pod={"spec": spec})
    assert plan.total_request(CONFIG, each, placement) == replace(takes, gpu_type="a100")


def test_cores_that_were_not_requested_are_reserved_without_a_limit() -> None:
    order = replace(ORDER, each=CONFIG.needs(Resources(memory=2**30, gpu=2), cores_per_gpu=12))
    pod = plan.job(CONFIG, order, plan.ClusterRequirements(), ["true"])["spec"]["template"]["spec"]
    parts = [pod["containers"][0], *pod.get("initContainers", [])]
    assert [part["resources"]["requests"]["cpu"] for part in parts] == ["24"] * len(parts)
    assert all("cpu" not in part["resources"]["limits"] for part in parts)
    assert pod["containers"][0]["resources"]["limits"] == {"memory": str(2**30), CONFIG.gpu_resource: "2"}
    assert CONFIG.needs(Resources(cpu=3), cores_per_gpu=12) == Resources(cpu=3)
    assert CONFIG.needs(Resources()).cpu == CONFIG.cpu, "one core without GPUs"
