"""What a team sees of a cluster that its members share, and of one that a member has destroyed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes.lab import Lab, bind, kubeconfig_of
from tests.testbeds.kubernetes.access import Access
from tests.testbeds.registry import Registry
from tests.testbeds.waiting import until

pytestmark = pytest.mark.timeout(900)
RECORD = "configmaps,roles,rolebindings"


@pytest.fixture
def lab(kubernetes: Access, namespace: str, registry: Registry) -> Iterator[Lab]:
    with Lab(kubernetes, namespace, registry) as new_lab:
        yield new_lab
        new_lab.run("destroy", "--yes", "--stop", "--abandon", "--to", "local", expect=None)


def test_a_shared_cluster_explains_few_places_and_its_end_leaves_colleagues_the_way_to_their_results(
    lab: Lab, server_image: str, shell: str, tmp_path: Path
) -> None:
    lab.connect("--registry", lab.registry.address, "--server-image", server_image)
    folder = lab.experiment(shell, budget=1)
    lab.home.run("run", "--cluster", lab.name, cwd=folder)
    kubeconfig = kubeconfig_of(lab.cluster, "editor", lab.namespace, tmp_path / "editor")
    bind(lab.cluster, lab.namespace, "editor", "editor")
    with Lab(lab.cluster, lab.namespace, lab.registry, kubeconfig) as colleague:
        colleague.connect()
        long = colleague.experiment(
            shell, run="echo here; sleep 1000", budget=500, parallelism=500, resources={"cpu": 1, "memory": "64Mi"}
        )
        colleague.home.run("run", "--cluster", lab.name, "--detach", cwd=long)
        handle = colleague.home.json("status", "--cluster", lab.name)[0]["handle"]

        def why() -> str:
            reason = colleague.home.json("status", handle, "--cluster", lab.name)["reason"]
            return reason["message"] if reason else ""

        expected = r"\d+ of 500 run: each needs 1 cpu and \S+ of \d+ are free.*; \S+:editor holds \d+"
        until("few places to be explained", lambda: re.match(expected, why()), describe=why)

        def pods() -> set[str]:
            workers = colleague.home.json("status", handle, "--cluster", lab.name)["workers"]
            return {worker["objects"].get("pod", "") for worker in workers}

        def names() -> set[str]:
            return set(lab.cluster.kubectl("get", "pods", "-n", lab.namespace, "-o", "name").split())

        until("pods to be named", lambda: pods() and {f"pod/{name}" for name in pods()} <= names(), describe=pods)

        def logs() -> str:
            return colleague.home.run("logs", handle, "--prefix", "node,pod", "--cluster", lab.name).stdout

        until(
            "lines with nodes and pods",
            lambda: re.search(r"^w\d+ +\w+\d orchestune-\S+ +\d+ │ here", logs(), re.MULTILINE),
        )
        assert re.search(
            r"WORKER +NODE +POD +STATE", colleague.home.run("status", handle, "--cluster", lab.name).stdout
        )

        refused = lab.run("destroy", "--yes", "--stop", expect=None)
        assert refused.returncode == 2 and "has experiments of 2 users" in refused.stderr
        archive = tmp_path / "archive"
        lab.run("destroy", "--yes", "--stop", "--to", str(archive))
        records = lab.cluster.kubectl(
            "get", RECORD, "-n", lab.namespace, "-l", "app.kubernetes.io/component=archive", "-o", "name"
        )
        assert [line.rpartition("/")[2] for line in records.split()] == ["orchestune-archive"] * 3
        assert len(lab.ours()) == 3, "nothing else is left"
        refused = colleague.home.run("status", "--cluster", lab.name, expect=None)
        assert refused.returncode == 2 and f"its records and files are in {archive}" in refused.stderr
        assert "was destroyed by ada" in colleague.home.run("cluster", "list").stderr
        colleague.home.run("import", str(archive), "--trust-unverified")
        assert handle in {status["handle"] for status in colleague.home.json("status", "--cluster", "local")}
