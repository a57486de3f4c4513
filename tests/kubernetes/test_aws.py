"""A cluster at AWS from the first command to the last: the fake's EKS hands out a real Kubernetes.

Its API server asks the fake who has a token, as that of EKS asks AWS; so the login that the command line signs counts.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from orchestune.kubeapi.eks import Presigned
from tests.testbeds.aws.fake import REGION, Fake
from tests.testbeds.aws.identities import Identity
from tests.testbeds.home import Home
from tests.testbeds.kubernetes.cluster import Cluster, cluster
from tests.testbeds.registry import Registry
from tests.testbeds.server_image import server_image_in, shared_folder

pytestmark = [pytest.mark.timeout(900), pytest.mark.kubernetes]
NAME = "orchestrate-cluster"
POOLS = {"cpu1": "cpu", "cpu2": "cpu", "gpu1": "gpu"}


@pytest.fixture
def aws() -> Iterator[Fake]:
    with Fake("0.0.0.0") as running:
        yield running
        assert not running.broken, "\n".join(running.broken)


@pytest.fixture
def eks(aws: Fake, registry: Registry) -> Iterator[Cluster]:
    """What the fake gives out as its only control plane."""
    with cluster(registry, reviewer=aws.port) as running:
        aws.behaviour.endpoint = running.network.server
        aws.behaviour.authority = base64.b64encode((running.folder / "pki/ca.crt").read_bytes()).decode()
        aws.behaviour.registry, aws.behaviour.polls = registry.address, 1
        for node, pool in POOLS.items():
            labels = f"eks.amazonaws.com/nodegroup={pool}", f"orchestune.dev/pool={pool}"
            running.kubectl("label", "node", node, *labels)
        yield running


@pytest.fixture
def home(aws: Fake) -> Iterator[Home]:
    with Home(USER="ada", KUBECONFIG="/nonexistent", **aws.environment()) as mine:
        yield mine


@pytest.fixture
def server_image_here(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The server's image by digest."""
    return server_image_in(registry.address, shared_folder(tmp_path_factory))


def status_of(eks: Cluster, aws: Fake, who: Identity) -> int:
    """What the API server answers to the login that our command line signs for somebody."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in aws.environment(who).items():
            patch.setenv(name, value)
        headers = dict(Presigned({"cluster": NAME, "region": REGION}).headers())
    authority = str(eks.folder / "pki/ca.crt")
    return requests.get(f"{eks.network.server}/api/v1/nodes", headers=headers, verify=authority, timeout=60).status_code


def test_a_cluster_at_aws_is_made_runs_an_experiment_and_goes_with_everything_kept(
    aws: Fake, eks: Cluster, home: Home, shell: str, server_image_here: str
) -> None:
    before = aws.inventory()
    file = Path(home.folder, "cluster.yml")
    file.write_text(json.dumps({
        "cloud_provider": "aws", "cluster_name": NAME, "region": REGION,
        "cpu": {"instance_type": "c4.xlarge", "min_nodes": 2, "max_nodes": 2},
        "gpu": {"instance_type": "p3.8xlarge", "min_nodes": 1, "max_nodes": 1},
        "images": {"autoscaler": shell, "device_plugin": shell},
    }))  # fmt: skip
    home.run("cluster", "create", "-f", str(file), "--yes", "--server-image", server_image_here, timeout=600)
    assert aws.inventory()["cluster"] == {NAME} and eks.exists("deployment/orchestune-server", "-n", "orchestune")

    stranger = aws.world.identities.add("mallory")
    assert status_of(eks, aws, aws.user) == 200 and status_of(eks, aws, stranger) == 401
    forged = dataclasses.replace(aws.user, secret="guessed")
    assert status_of(eks, aws, forged) == 401

    folder = Path(home.folder, "project")
    folder.mkdir()
    (folder / "experiment.yml").write_text(json.dumps({
        "name": "shell", "image": shell, "run": "echo trying {x}; echo score={x}", "metrics": {"score": "maximize"},
        "parameters": {"x": {"type": "float", "min": 0, "max": 1}}, "budget": 4, "parallelism": 2,
        "resources": {"cpu": 0.1, "memory": "64Mi"},
    }))  # fmt: skip
    home.run("run", "--cluster", NAME, cwd=folder, timeout=600)
    # a process of its own: boto3 finds its credentials in that of the process alone
    [found] = json.loads(home.run("status", "--cluster", NAME, "--json").stdout)
    assert found["counts"]["completed"] == 4
    logs = home.run("logs", found["handle"], "--cluster", NAME).stdout
    assert logs.count("trying") == 4

    home.run("cluster", "destroy", "-n", NAME, "--yes", timeout=600)
    assert aws.inventory() == before
    assert not eks.exists("namespace/orchestune") or not eks.exists("deployment/orchestune-server", "-n", "orchestune")
    assert sorted(home.run("logs", found["handle"]).stdout.splitlines()) == sorted(logs.splitlines())
