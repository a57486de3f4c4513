"""An editor's kubeconfig reaches neither the server's objects nor the nodes, and works with what an owner allows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestune.kubeapi.labels import SERVERS, WORKERS, selector
from tests.kubernetes.lab import Lab, bind, kubeconfig_of
from tests.testbeds.kubernetes.access import Access
from tests.testbeds.registry import Registry
from tests.testbeds.waiting import until

pytestmark = pytest.mark.timeout(900)
ATTACKS: list[tuple[dict[str, Any], str]] = [
    ({"service_account": "orchestune-server"}, "service_account"),
    ({"volumes": [{"claim": "orchestune-data", "mount": "/mnt"}]}, "volumes[0].claim"),
    ({"volumes": [{"path": "/", "mount": "/host"}]}, "volumes[0].path"),
    ({"pod": {"spec": {"volumes": [{"name": "k", "secret": {"secretName": "orchestune-server"}}]}}}, "secretName"),
    ({"pod": {"spec": {"automountServiceAccountToken": True}}}, "pod.spec.automountServiceAccountToken"),
    ({"pod": {"spec": {"hostPID": True}}}, "pod.spec.hostPID"),
    ({"pod": {"spec": {"containers": [{"name": "worker", "securityContext": {"privileged": True}}]}}}, "privileged"),
]
SIDECAR = {"name": "side", "image": "", "command": ["sh", "-c", "sleep 3600"], "restartPolicy": "Always"}
WORKER, SERVER = (
    f"app.kubernetes.io/part-of=orchestune,app.kubernetes.io/component={each}" for each in ("worker", "server")
)
PRINT_RIGHTS = (
    "ls /var/run/secrets/kubernetes.io 2>/dev/null && exit 1; grep CapEff /proc/self/status; cat /data/hello;"
    " echo score={x}"
)


@pytest.fixture
def owner(kubernetes: Access, namespace: str, registry: Registry, server_image: str) -> Iterator[Lab]:
    """A connected cluster, as its administrator."""
    with Lab(kubernetes, namespace, registry) as lab:
        lab.connect("--server-image", server_image)
        yield lab
        lab.run("destroy", "--yes", "--stop", "--abandon", expect=None)


@pytest.fixture
def editor(owner: Lab, tmp_path: Path) -> Iterator[Lab]:
    """A colleague with the Role of editors and nothing else."""
    kubeconfig = kubeconfig_of(owner.cluster, "eve", owner.namespace, tmp_path / "eve")
    bind(owner.cluster, owner.namespace, "eve", "editor")
    with Lab(owner.cluster, owner.namespace, owner.registry, kubeconfig) as lab:
        lab.connect()
        yield lab


def attack(editor: Lab, shell: str, *options: str, **keys: Any) -> str:
    """Run an experiment that has to be refused, and return what the command line says."""
    folder = editor.experiment(shell, budget=1, **keys)
    answer = editor.home.run("run", "--cluster", editor.name, *options, cwd=folder, expect=None)
    assert answer.returncode == 2, answer.stdout + answer.stderr
    return answer.stderr


@pytest.mark.long  # 220 s; the rules themselves are tested in tests/security/test_pods.py
def test_an_editor_gets_no_further_than_the_owner_allows(owner: Lab, editor: Lab, shell: str) -> None:
    for keys, key in ATTACKS:
        for options in (("--detach",), ("--dry-run",)):
            assert key in attack(editor, shell, *options, **keys), keys
    assert editor.home.json("status", "--cluster", editor.name) == []
    assert not owner.cluster.json("get", "jobs", "-n", owner.namespace)["items"]

    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    head = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "datasets"}}
    owner.cluster.apply({**head, "spec": claim}, namespace=owner.namespace)
    volumes = [{"claim": "datasets", "mount": "/data"}]
    message = attack(editor, shell, "--detach", volumes=volumes)
    assert f"orchestune cluster connect -n {owner.name} --allow claim:datasets" in message
    assert editor.connect("--allow", "claim:datasets", expect=None).returncode != 0, "an editor may not allow it"

    owner.connect("--allow", "claim:datasets", "--allow", "capability:SYS_PTRACE")
    assert "experiments may also use capability:SYS_PTRACE, claim:datasets" in owner.run("status").stdout
    added = {"name": "worker", "securityContext": {"capabilities": {"add": ["SYS_PTRACE"]}}}
    pod = {"spec": {"containers": [added], "initContainers": [{**SIDECAR, "image": shell}]}}
    folder = editor.experiment(
        shell, run=f"echo hello > /data/hello; {PRINT_RIGHTS}", budget=1, parallelism=1, volumes=volumes, pod=pod
    )
    editor.home.run("run", "--cluster", editor.name, cwd=folder)
    [status] = editor.home.json("status", "--cluster", editor.name)
    assert status["counts"]["completed"] == 1
    for keys, key in ATTACKS:
        assert key in attack(editor, shell, "--detach", **keys), "nothing else was allowed"

    owner.connect("--disallow", "claim:datasets")
    assert "volumes[0].claim" in attack(editor, shell, "--detach", volumes=volumes)


LABELS = {"team": "vision", "user.orchestune.dev/team": "vision"}
LABELLED = {"pod": {"metadata": {"labels": LABELS}}}
STUBBORN = "trap '' TERM; echo begun; sleep 3600 & while :; do wait; done"


def pods(lab: Lab, labels: Mapping[str, str]) -> set[str]:
    """The names of the pods with these labels, also of terminating ones."""
    pod_list = lab.cluster.json("get", "pods", "-n", lab.namespace, "-l", selector(labels))["items"]
    return {pod["metadata"]["name"] for pod in pod_list}


def store_allow_list(lab: Lab, *allow: str) -> None:
    """Store an allow-list as `cluster connect` does, before it changes the Deployment."""
    place = ("configmap", "orchestune-config", "-n", lab.namespace)
    settings = json.loads(lab.cluster.json("get", *place)["data"]["kubernetes.json"])
    patch = {"data": {"kubernetes.json": json.dumps({**settings, "allow": allow})}}
    lab.cluster.kubectl("patch", *place, "--type=merge", "-p", json.dumps(patch))


def start(editor: Lab, shell: str, **keys: Any) -> str:
    """Start an experiment whose trial ignores SIGTERM; its handle, once the trial runs."""
    folder = editor.experiment(shell, run=STUBBORN, budget=1, parallelism=1, keep=[], grace=2, **keys)
    handle = editor.home.run("run", "--cluster", editor.name, "--detach", cwd=folder).stdout.strip()
    until("the trial to run", lambda: "begun" in editor.home.run("logs", handle, expect=None).stdout)
    return handle


def status(editor: Lab, handle: str, desired: str) -> dict[str, Any] | None:
    """Return the experiment's status if users and guards want it in that state."""
    document: dict[str, Any] = editor.home.json("status", handle)
    return document if document["desired"] == desired else None


def test_a_label_of_pods_needs_an_allowance_and_its_experiments_end_when_that_is_taken_back(
    owner: Lab, editor: Lab, shell: str
) -> None:
    message = attack(editor, shell, "--detach", **LABELLED)
    assert "pod.metadata.labels.team" in message and f"-n {owner.name} --allow label:team" in message
    owner.connect("--allow", "label:team")
    labelled, honest = start(editor, shell, **LABELLED), start(editor, shell)
    [pod] = pods(owner, LABELS)
    [other] = pods(owner, WORKERS) - {pod}

    servers = pods(owner, SERVERS)
    store_allow_list(owner)
    assert "pod.metadata.labels.team" in attack(editor, shell, "--detach", **LABELLED)
    assert pods(owner, SERVERS) == servers, "a server that runs on has refused it"

    owner.connect("--disallow", "label:team")
    paused = until("the experiment to be paused", lambda: status(editor, labelled, "paused"))
    assert "pod.metadata.labels.team" in paused["reason"]["message"]
    until("its pod to go", lambda: pod not in pods(owner, WORKERS))
    assert pods(owner, WORKERS) == {other} and status(editor, honest, "running")
    refused = editor.home.run("resume", labelled, expect=None)
    assert refused.returncode == 2 and "--allow label:team" in refused.stderr

    owner.connect("--allow", "label:team")
    editor.home.run("resume", labelled)
    until("a pod with the label", lambda: pods(owner, LABELS))
    assert status(editor, labelled, "running") and other in pods(owner, WORKERS)
