"""A cluster at AWS from the first command to the last: the fake's EKS hands out a real Kubernetes.

Its API server asks the fake who has a token, as that of EKS asks AWS; so the login that the command line signs counts.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests

from orchestune.clusters.aws.names import NAMESPACE, SERVER_ACCOUNT
from orchestune.kubeapi.eks import Presigned
from tests.testbeds.aws import agent
from tests.testbeds.aws.fake import REGION, Fake
from tests.testbeds.aws.identities import Identity
from tests.testbeds.home import Home
from tests.testbeds.kubernetes.cluster import Cluster, cluster
from tests.testbeds.registry import Registry
from tests.testbeds.server_image import server_image_in, shared_folder
from tests.testbeds.waiting import until

pytestmark = [pytest.mark.timeout(900), pytest.mark.kubernetes]
NAME = "orchestrate-cluster"
ARCHIVE = "team-archive"
POOLS = {"cpu1": "cpu", "cpu2": "old", "gpu1": "gpu"}
MACHINE = {"instance_type": "c4.xlarge", "min_nodes": 1, "max_nodes": 1}
SMALL = {"cpu": 0.1, "memory": "64Mi"}
CHECKPOINTING = """
cd $ORCHESTUNE_CHECKPOINT_DIR
first=$(cat step 2>/dev/null || echo 0)
step=$first
while [ $first = 0 ] || [ $step -lt $((first + 3)) ]; do
  step=$((step + 1)); echo $step > step; echo "step $step after $first"; sleep 0.2
done
echo score={x}
"""
"""which ends only if it resumes from a checkpoint"""


@pytest.fixture
def aws() -> Iterator[Fake]:
    with Fake("0.0.0.0") as running:
        yield running
        assert not running.broken, "\n".join(running.broken)


@pytest.fixture
def eks(aws: Fake, registry: Registry) -> Iterator[Cluster]:
    """A real control plane as the only one that the fake hands out."""
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


@dataclasses.dataclass
class Files:
    """The cluster file of a user."""

    home: Home
    shell: str

    def cluster(self, *pools: str, **more: Any) -> str:
        """A cluster file with these pools beside `cpu` and `gpu`."""
        document = {
            "cloud_provider": "aws", "cluster_name": NAME, "region": REGION, "cpu": MACHINE,
            "gpu": {"instance_type": "p3.8xlarge", "min_nodes": 1, "max_nodes": 1},
            "images": {"autoscaler": self.shell, "device_plugin": self.shell}, **more,
        }  # fmt: skip
        if pools:
            document["pools"] = dict.fromkeys(pools, MACHINE)
        return self._write("cluster.yml", document)

    def experiment(self, name: str, **more: Any) -> Path:
        """A folder with an experiment in it."""
        self._write(f"{name}/experiment.yml", {
            "name": name, "image": self.shell, "metrics": {"score": "maximize"}, "resources": SMALL,
            "parameters": {"x": {"type": "float", "min": 0, "max": 1}}, **more,
        })  # fmt: skip
        return Path(self.home.folder, name)

    def _write(self, name: str, document: Mapping[str, Any]) -> str:
        file = Path(self.home.folder, name)
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(document))
        return str(file)


@pytest.fixture
def files(home: Home, shell: str) -> Files:
    return Files(home, shell)


def status_of(eks: Cluster, aws: Fake, who: Identity) -> int:
    """Return the API server's answer to the login that the command line signs for an identity."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in aws.environment(who).items():
            patch.setenv(name, value)
        headers = dict(Presigned({"cluster": NAME, "region": REGION}).headers())
    authority = str(eks.folder / "pki/ca.crt")
    return requests.get(f"{eks.network.server}/api/v1/nodes", headers=headers, verify=authority, timeout=60).status_code


def only(eks: Cluster, *nodes: str) -> None:
    """New pods go to these nodes alone."""
    for node in POOLS:
        eks.kubectl("uncordon" if node in nodes else "cordon", node)


@pytest.mark.long
def test_a_cluster_at_aws_is_made_runs_an_experiment_loses_a_pool_and_goes_with_everything_kept(
    aws: Fake, eks: Cluster, home: Home, files: Files, server_image_here: str
) -> None:
    before = aws.inventory()
    only(eks, "cpu2")  # the server and what begins now stand on the machine that goes
    file = files.cluster("old")
    home.run("cluster", "create", "-f", file, "--yes", "--server-image", server_image_here, timeout=600)
    assert aws.inventory()["cluster"] == {NAME} and eks.exists("deployment/orchestune-server", "-n", "orchestune")

    stranger = aws.world.identities.add("mallory")
    assert status_of(eks, aws, aws.user) == 200 and status_of(eks, aws, stranger) == 401
    forged = dataclasses.replace(aws.user, secret="guessed")
    assert status_of(eks, aws, forged) == 401

    folder = files.experiment("shell", run="echo trying {x}; echo score={x}", budget=4, parallelism=2)
    home.run("run", "--cluster", NAME, cwd=folder, timeout=600)
    # a process of its own: boto3 finds its credentials in that of the process alone
    [status] = json.loads(home.run("status", "--cluster", NAME, "--json").stdout)
    assert status["counts"]["completed"] == 4
    logs = home.run("logs", status["handle"], "--cluster", NAME).stdout
    assert logs.count("trying") == 4

    _lose_a_pool(aws, eks, home, files)

    home.run("cluster", "destroy", "-n", NAME, "--yes", timeout=600)
    assert aws.inventory() == before
    assert not eks.exists("namespace/orchestune") or not eks.exists("deployment/orchestune-server", "-n", "orchestune")
    assert sorted(home.run("logs", status["handle"]).stdout.splitlines()) == sorted(logs.splitlines())


def _lose_a_pool(aws: Fake, eks: Cluster, home: Home, files: Files) -> None:
    """`update` drains the machine of a trial, and of the server; the trial resumes on another node at no cost."""
    every = {"every": "60s"}
    folder = files.experiment("long", run=CHECKPOINTING, checkpoint=every, budget=1, parallelism=1, grace="20s")
    handle = home.run("run", "--detach", "--cluster", NAME, cwd=folder).stdout.strip()

    def log_tail() -> str:
        return home.run("logs", handle, "--cluster", NAME, expect=None).stdout

    until("the trial to run", lambda: "step 5 after 0" in log_tail(), 300, log_tail)
    only(eks, "cpu1", "cpu2", "gpu1")
    result = home.run("cluster", "update", "-f", files.cluster(), "--yes", timeout=600)
    assert "removed  pool old" in result.stderr, result.stderr
    assert aws.inventory()["node group"] == {f"{NAME}/cpu", f"{NAME}/gpu"}
    pods_of_node = eks.json("get", "pods", "-A", "--field-selector=spec.nodeName=cpu2")["items"]
    assert [
        pod["metadata"]["name"] for pod in pods_of_node if pod["metadata"]["ownerReferences"][0]["kind"] != "DaemonSet"
    ] == []
    eks.lose_node("cpu2")
    eks.kubectl("delete", "node", "cpu2")
    home.run("wait", handle, "--cluster", NAME, timeout=600)
    [trial] = json.loads(home.run("trials", handle, "--cluster", NAME, "--json").stdout)
    first, second = trial["attempts"]
    assert (first["state"], second["state"]) == ("preempted", "succeeded"), trial
    assert second["resumed_from"]["attempt"] == first["id"] and (first["node"], second["node"]) == ("cpu2", "cpu1")
    [status] = [
        one for one in json.loads(home.run("status", "--cluster", NAME, "--json").stdout) if one["handle"] == handle
    ]
    assert status["state"] == "completed" and status["counts"]["failed"] == 0


@pytest.mark.long
def test_a_cluster_at_aws_that_nobody_uses_keeps_its_records_and_destroys_itself(
    aws: Fake, eks: Cluster, home: Home, files: Files, server_image_here: str
) -> None:
    """Its server gets its role by pod identity, with the token of the account that it really runs as."""
    with aws.quietly() as backend:
        backend("s3", "aws").create_bucket(ARCHIVE, REGION)
    before = aws.inventory()
    address = f"http://{eks.host_address}:{aws.port}"
    for node in eks.machines.values():
        rule = ["-d", agent.ADDRESS, "-p", "tcp", "--dport", "80", "-j", "DNAT", "--to-destination", address[7:]]
        node.run("iptables", "-t", "nat", "-A", "PREROUTING", *rule)
    eks.apply(*agent.admission(SERVER_ACCOUNT, NAMESPACE, {"AWS_ENDPOINT_URL": address, "AWS_REGION": REGION}))
    idle = {"scale_down": "10m", "destroy": "10m", "archive": f"s3://{ARCHIVE}/vision"}
    file = files.cluster(idle=idle)
    home.run("cluster", "create", "-f", file, "--yes", "--server-image", server_image_here, timeout=600)
    folder = files.experiment("shell", run="echo trying {x}; echo score={x}", budget=4, parallelism=2)
    home.run("run", "--cluster", NAME, cwd=folder, timeout=600)
    [status] = json.loads(home.run("status", "--cluster", NAME, "--json").stdout)
    assert "destroys itself" in home.run("cluster", "status", "-n", NAME).stdout

    _hurry(eks)
    server_log = lambda: eks.kubectl("logs", "-n", NAMESPACE, "deployment/orchestune-server", "--tail=50")
    until("the function to be called", lambda: aws.functions.invoked, 300, server_log)
    [run] = aws.functions.join(300)
    assert run.code == 0 and run.said.splitlines()[0] == "removed", run.said
    assert aws.inventory() == before
    told_of = home.run("cluster", "status", "-n", NAME, expect=2)
    assert f"`orchestune import s3://{ARCHIVE}/vision` has its records" in told_of.stderr
    result = home.run("cluster", "destroy", "-n", NAME, "--yes", timeout=600)
    assert all(line.endswith("nothing left") for line in result.stdout.splitlines()[:-1]), result.stdout
    home.run("import", f"s3://{ARCHIVE}/vision", "--trust-unverified")
    [experiment] = json.loads(home.run("status", "--json").stdout)
    assert experiment["id"] == status["id"] and experiment["counts"]["completed"] == 4
    assert home.run("logs", experiment["handle"]).stdout.count("trying") == 4


def _hurry(eks: Cluster) -> None:
    """Ten minutes without work are over after one second."""
    [settings] = [one for one in eks.json("get", "configmaps", "-n", NAMESPACE)["items"]
                  if "retirement.json" in one.get("data", {})]  # fmt: skip
    plan = json.dumps(json.loads(settings["data"]["retirement.json"]) | {"after": 1.0})
    name = settings["metadata"]["name"]
    eks.kubectl("patch", "configmap", name, "-n", NAMESPACE, "-p", json.dumps({"data": {"retirement.json": plan}}))
    eks.kubectl("rollout", "restart", "deployment/orchestune-server", "-n", NAMESPACE)
