"""An editor's kubeconfig reaches neither the server's objects nor the nodes, and works with what an owner allows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.lab import Lab, bind, kubeconfig_of
from tests.testbeds.kubernetes.access import Access
from tests.testbeds.registry import Registry

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
LOOK = (
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
        shell, run=f"echo hello > /data/hello; {LOOK}", budget=1, parallelism=1, volumes=volumes, pod=pod
    )
    editor.home.run("run", "--cluster", editor.name, cwd=folder)
    [status] = editor.home.json("status", "--cluster", editor.name)
    assert status["counts"]["completed"] == 1
    for keys, key in ATTACKS:
        assert key in attack(editor, shell, "--detach", **keys), "nothing else was allowed"

    owner.connect("--disallow", "claim:datasets")
    assert "volumes[0].claim" in attack(editor, shell, "--detach", volumes=volumes)
