"""A dry run shows the Job that a cluster of Kubernetes would get, by that cluster's own configuration."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestune.client.clusters import Clusters
from tests.unit.cli.conftest import Result
from tests.unit.client.fake_api_server import FakeApiServer

EXPERIMENT = """\
name: Small model
image: registry.lab/model:1
run: python model.py
parameters: {alpha: 0.0..1.0}
metrics: {accuracy: maximize}
budget: 4
resources: {cpu: 2, gpu: 1}
pool: a100
"""
CONFIG = {
    "cluster": "lab",
    "namespace": "ml",
    "url": "http://orchestune.ml.svc:8470",
    "runtime_image": "registry.lab/server@sha256:1",
    "memory": 2**30,
}


NODE = {
    "metadata": {"name": "g1", "labels": {"orchestune.dev/pool": "a100", "kubernetes.io/os": "linux"}},
    "spec": {},
    "status": {
        "allocatable": {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "4"},
        "conditions": [{"type": "Ready", "status": "True"}],
    },
}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApiServer]:
    """A cluster that is connected, and a project that is the current folder."""
    monkeypatch.delenv("ORCHESTUNE_SERVER", raising=False)
    monkeypatch.setenv("ORCHESTUNE_HOME", str(tmp_path / "home"))
    os.mkdir(tmp_path / "home")
    (tmp_path / "experiment.yml").write_text(EXPERIMENT)
    monkeypatch.chdir(tmp_path)
    with FakeApiServer(1) as api:
        api.objects["/api/v1/namespaces/ml/configmaps/orchestune-config"] = {
            "data": {"kubernetes.json": json.dumps(CONFIG)}
        }
        api.objects["/api/v1/namespaces/ml"] = {"metadata": {}}
        api.objects["/api/v1/nodes"] = {"items": [NODE]}
        Clusters(tmp_path / "home").add(api.cluster(tmp_path, user="ada"))
        yield api


@pytest.mark.parametrize("level", ["restricted", "baseline"])
def test_the_job_of_a_worker_is_shown_and_nothing_is_created(
    lab: FakeApiServer, tmp_path: Path, cli: Callable[..., Result], level: str
) -> None:
    lab.objects["/api/v1/namespaces/ml"]["metadata"]["labels"] = {"pod-security.kubernetes.io/enforce": level}
    [job] = json.loads(cli("run", "--cluster", "lab", "--dry-run", "--json").out)["objects"]
    output = cli("run", "--cluster", "lab", "--dry-run").out
    (tmp_path / "experiment.yml").write_text(EXPERIMENT + "install: pip install numpy\n")
    built = cli("run", "--cluster", "lab", "--dry-run").out
    assert {line.split()[0] for line in lab.asked} == {"GET"}
    assert job["kind"] == "Job"
    assert job["metadata"]["namespace"] == "ml"
    pod = job["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "registry.lab/model:1"
    assert pod["containers"][0]["resources"]["limits"] == {"cpu": "2", "memory": str(2**30), "nvidia.com/gpu": "1"}
    assert bool(pod["securityContext"].get("runAsNonRoot")) == (level == "restricted")
    assert "where      lab, namespace ml" in output
    assert "image: registry.lab/model:1" in output
    assert "image: (known once it is built)" in built and "registry.lab/model:1, with pip install numpy" in built


def test_the_job_tolerates_what_the_nodes_of_its_pool_are_tainted_with(
    lab: FakeApiServer, cli: Callable[..., Result]
) -> None:
    taints = [{"key": "team", "value": "vision", "effect": "NoSchedule"}]
    lab.objects["/api/v1/nodes"] = {"items": [{**NODE, "spec": {"taints": taints}}]}
    [job] = json.loads(cli("run", "--cluster", "lab", "--dry-run", "--json").out)["objects"]
    assert {"operator": "Equal", **taints[0]} in job["spec"]["template"]["spec"]["tolerations"]


def test_the_nodes_of_the_cluster_tell_what_can_never_run_unless_the_user_may_not_list_them(
    lab: FakeApiServer, cli: Callable[..., Result]
) -> None:
    refused = cli("run", "--cluster", "lab", "--dry-run", "--set", "resources.cpu=9")
    assert refused.code == 2 and "this can never run: a trial needs 9 cpu" in refused.err
    lab.forbidden.append("/nodes")
    result = cli("run", "--cluster", "lab", "--dry-run", "--json")
    assert result.code == 0
    assert any(note.startswith("not checked: only the server knows") for note in json.loads(result.out)["notes"])


@pytest.mark.parametrize(
    ("pod", "message"),
    [
        ("{spec: null}", "`pod.spec` has to be a mapping, found null"),
        ("{metadata: null}", "`pod.metadata` has to be a mapping, found null"),
        ("{metadata: {labels: x}}", "`pod.metadata.labels` has to be a mapping"),
        ("{status: {}}", "merged into a pod template, which has no key status"),
    ],
)
def test_a_pod_that_the_server_would_refuse_is_told_in_its_words(
    pod: str, message: str, lab: FakeApiServer, tmp_path: Path, cli: Callable[..., Result]
) -> None:
    (tmp_path / "experiment.yml").write_text(EXPERIMENT + f"pod: {pod}\n")
    result = cli("run", "--cluster", "lab", "--dry-run")
    assert (result.code, result.out) == (2, "") and message in result.err


def test_cores_that_no_file_requests_are_reserved_without_a_limit_and_the_plan_says_so(
    lab: FakeApiServer, cli: Callable[..., Result]
) -> None:
    result = json.loads(cli("run", "--cluster", "lab", "--dry-run", "--json", "--set", "resources.cpu=null").out)
    resources = result["objects"][0]["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert (resources["requests"]["cpu"], "cpu" in resources["limits"]) == ("1", False), "7 of 8 cores for 4 GPUs"
    assert any("1 cpu requested for each trial (assumed" in note for note in result["notes"])
    requested = json.loads(cli("run", "--cluster", "lab", "--dry-run", "--json").out)
    assert not any("assumed" in note for note in requested["notes"])
