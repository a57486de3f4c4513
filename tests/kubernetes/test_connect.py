"""The server comes into a real cluster, is used, and goes; interrupted, repeated, refused."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from orchestune.images.registries import registry as registries
from orchestune.images.registries.reference import Reference, parse
from orchestune.images.registries.registry import open_registry
from tests.kubernetes.lab import Lab, wait_until_gone
from tests.testbeds.kubernetes.access import Access
from tests.testbeds.registry import Registry
from tests.testbeds.waiting import until

pytestmark = pytest.mark.timeout(600)
MISSING = "sha256:" + "0" * 64


@pytest.fixture
def lab(kubernetes: Access, namespace: str, registry: Registry) -> Iterator[Lab]:
    kubernetes.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    with Lab(kubernetes, namespace, registry) as new_lab:
        yield new_lab
        new_lab.run("destroy", "--yes", "--stop", "--abandon", expect=None)


def answers(lab: Lab, experiment: str) -> dict[str, Any]:
    """Return a user's view of an experiment without its location; the owner of an imported one is a claim."""
    home = lab.home
    status = home.json("status", experiment)
    return {
        "status": {key: status[key] for key in ("id", "handle", "state", "counts", "budget", "labels")},
        "best": home.json("best", experiment),
        "trials": home.json("trials", experiment),
        "logs": sorted(home.run("logs", experiment).stdout.splitlines()),
    }


def test_connect_run_look_destroy_and_everything_answers_as_before(lab: Lab, shell: str) -> None:
    lab.connect("--registry", lab.registry.address)
    assert lab.connect().stdout == f"{lab.name}: connected as owner, server {version(lab)}\n"
    lab.home.run("cluster", "use", lab.name)
    folder = lab.experiment(shell)
    lab.home.run("run", cwd=folder)
    handle = lab.home.json("status", cwd=folder)[0]["handle"]
    before = answers(lab, handle)
    assert before["status"]["counts"]["completed"] == 6
    assert any("trying" in line for line in before["logs"])

    machines = lab.json("status")["machines"]
    assert {machine["name"] for machine in machines} >= {"cpu1", "cpu2", "gpu1"}
    assert all(machine["others"] is not None for machine in machines)

    lab.run("destroy", "--yes")
    wait_until_gone(lab)
    assert lab.home.json("cluster", "list")[0]["name"] == "local"
    assert answers(lab, handle) == before
    lab.home.run("get", f"{handle}/1", "-o", str(folder / "got"))
    assert [file.read_text() for file in (folder / "got").rglob("note.txt")] == ["kept\n"]


def version(lab: Lab) -> str:
    version_text: str = next(item for item in lab.home.json("cluster", "list") if item["name"] == lab.name)["version"]
    return version_text


def exists(lab: Lab, name: str, *, no: bool = False) -> bool:
    """Return True if the object does (not) exist."""
    return lab.cluster.exists(name, "-n", lab.namespace) is not no


def kill_once(process: subprocess.Popen[str], what: str, look: Callable[[], bool]) -> None:
    until(what, look)
    process.kill()
    process.communicate()


@pytest.mark.long
def test_connect_and_destroy_that_were_killed_at_each_step_are_completed_by_the_same_command(
    lab: Lab, server_image: str, shell: str
) -> None:
    for step in ("serviceaccount/orchestune-worker", "configmap/orchestune-config", "deployment/orchestune-server"):
        with lab.home.start(
            "cluster", "connect", "-n", lab.name, "--namespace", lab.namespace, "--server-image", server_image
        ) as process:
            kill_once(process, f"{step} to be there", partial(exists, lab, step))
    lab.connect("--server-image", server_image)
    assert lab.json("status")["cluster"] == lab.name

    folder = lab.experiment(shell, budget=2)
    lab.home.run("run", "--cluster", lab.name, cwd=folder)
    for step in ("deployment/orchestune-server", "service/orchestune", "role/orchestune-server"):
        command = ("cluster", "destroy", "-n", lab.name, "--namespace", lab.namespace, "--yes")
        with lab.home.start(*command) as process:
            kill_once(process, f"{step} to go", partial(exists, lab, step, no=True))
    lab.run("destroy", "--namespace", lab.namespace, "--yes")
    wait_until_gone(lab)
    statuses = lab.home.json("status", "--cluster", "local")
    assert [item["counts"]["completed"] for item in statuses] == [2]


def test_two_administrators_who_connect_a_namespace_at_the_same_time_get_one_server_with_the_settings_of_both(
    lab: Lab, server_image: str
) -> None:
    with Lab(lab.cluster, lab.namespace, lab.registry) as other:
        begun = [
            each.home.start("cluster", "connect", "-n", each.name, "--namespace", each.namespace,
                            "--server-image", server_image, "--allow", allow)
            for each, allow in ((lab, "claim:ada"), (other, "claim:bob"))
        ]  # fmt: skip
        ended = [(*process.communicate(), process.returncode) for process in begun]
        assert [code for _, _, code in ended] == [0, 0], ended
        for each in (lab, other):
            assert each.connect().stdout == f"{each.name}: connected as owner, server {version(each)}\n"
            assert "experiments may also use claim:ada, claim:bob" in each.run("status").stdout


def test_destroy_refuses_while_something_runs_and_stops_it_where_that_is_said(
    lab: Lab, server_image: str, shell: str
) -> None:
    lab.connect("--server-image", server_image)
    folder = lab.experiment(shell, run="sleep 1000; echo score={x}")
    lab.home.run("run", "--cluster", lab.name, "--detach", cwd=folder)
    refused = lab.run("destroy", "--yes", expect=None)
    assert refused.returncode == 2 and "is still running" in refused.stderr
    assert "deployment.apps/orchestune-server" in lab.ours()
    lab.run("destroy", "--yes", "--stop")
    wait_until_gone(lab)
    assert [item["state"] for item in lab.home.json("status", "--cluster", "local")] == ["stopped"]


def test_what_keeps_the_server_from_starting_is_told_and_the_same_command_goes_on(lab: Lab, server_image: str) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "tiny"}, "spec": {"hard": {"pods": "0"}}}
    lab.cluster.apply(quota, namespace=lab.namespace)
    failed = lab.connect("--server-image", server_image, expect=1)
    assert "the namespace's quota forbids the pod: exceeded quota: tiny" in failed.stderr
    lab.cluster.kubectl("delete", "resourcequota", "tiny", "-n", lab.namespace)
    failed = lab.connect("--server-image", f"{lab.registry.address}/nothing@{MISSING}", expect=1)
    assert "cannot be pulled" in failed.stderr
    lab.connect("--server-image", server_image)


def test_a_secret_that_is_not_there_is_asked_for_before_anything_is_changed(lab: Lab, server_image: str) -> None:
    for option in ("--env-secret", "--pull-secret"):
        refused = lab.connect("--server-image", server_image, option, "nothing", expect=2)
        assert f"there is no Secret nothing in the namespace {lab.namespace}, which {option} names" in refused.stderr
    assert lab.ours() == []


def test_what_is_not_ours_is_neither_taken_over_nor_removed(lab: Lab, server_image: str) -> None:
    theirs = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "orchestune"},
        "spec": {"ports": [{"port": 1}]},
    }
    lab.cluster.apply(theirs, namespace=lab.namespace)
    refused = lab.connect("--server-image", server_image, expect=2)
    assert "the Service orchestune exists already and is not ours" in refused.stderr
    lab.run("destroy", "--yes", "--abandon")
    wait_until_gone(lab)
    assert lab.cluster.exists("service/orchestune", "-n", lab.namespace)


def test_every_part_of_a_cluster_is_tried_and_found_well(lab: Lab, server_image: str) -> None:
    counted = {"requests.cpu": "8", "requests.memory": "8Gi", "limits.cpu": "8", "limits.memory": "8Gi"}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "all"}, "spec": {"hard": counted}}
    lab.cluster.apply(quota, namespace=lab.namespace)  # from here on, what says nothing of these is refused
    counted_now = ("get", "resourcequota", "all", "-n", lab.namespace)
    until("the quota to be counted", lambda: "used" in lab.cluster.json(*counted_now)["status"])
    lab.connect("--server-image", server_image, "--registry", lab.registry.address)
    checks = lab.json("test")
    assert {finding["name"] for finding in checks} == {
        "cluster", "rights", "deploying", "server", "store", "overview", "registry", "building", "pods",
        "pod in cpu", "pod in gpu", "pull in cpu", "pull in gpu",
    }  # fmt: skip
    assert [finding for finding in checks if finding["state"] == "error"] == []
    test_pods = lab.cluster.json("get", "pods", "-n", lab.namespace, "-l", "app.kubernetes.io/component=test")["items"]
    assert [pod for pod in test_pods if "deletionTimestamp" not in pod["metadata"]] == []


def test_an_upgrade_keeps_data_and_no_other_command_does_it(
    lab: Lab, registry: Registry, server_image: str, shell: str
) -> None:
    lab.connect("--server-image", server_image)
    folder = lab.experiment(shell, budget=2)
    lab.home.run("run", "--cluster", lab.name, cwd=folder)
    lab.home.run("cluster", "use", lab.name)
    handle = lab.home.json("status", cwd=folder)[0]["handle"]
    before = answers(lab, handle)
    as_if_deployed_by(lab, "0.0.1")
    assert "connected as owner" in lab.connect().stdout
    refused = lab.connect("--gpu-resource", "amd.com/gpu", expect=None)
    assert refused.returncode != 0 and f"`orchestune cluster upgrade -n {lab.name}` first" in refused.stderr
    assert running_image(lab) == server_image
    with open_registry(registry.address) as place:
        other = elsewhere(place, server_image, "testbed/server-again")
    assert "upgraded from 0.0.1 to" in lab.run("upgrade", "--server-image", other).stderr
    assert running_image(lab) == other
    assert "with the same image: nothing changed" in lab.run("upgrade", "--server-image", other).stderr
    assert answers(lab, handle) == before
    lab.connect("--gpu-resource", "amd.com/gpu")
    assert answers(lab, handle) == before


def elsewhere(place: registries.Registry, image: str, repository: str) -> str:
    """Push the same image to another repository: another image for the cluster, whose layers are reused."""
    own = parse(image)
    manifest = place.manifest(own.repository, own.version)
    for blob in (manifest.document["config"], *manifest.document["layers"]):
        mount = {"mount": blob["digest"], "from": own.repository}
        place.call("POST", f"{repository}/blobs/uploads/", repository, push=True, params=mount).raise_for_status()
    return str(Reference(own.registry, repository, None, place.put_manifest(repository, "1", manifest)))


def as_if_deployed_by(lab: Lab, version: str) -> None:
    """Make the deployed server look as if another version of the command line had deployed it."""
    config_map = lab.cluster.json("get", "configmap", "orchestune-config", "-n", lab.namespace)
    document = json.loads(config_map["data"]["connection.json"]) | {"version": version}
    patch = {"data": {"connection.json": json.dumps(document)}}
    lab.cluster.kubectl(
        "patch", "configmap", "orchestune-config", "-n", lab.namespace, "--type=merge", "-p", json.dumps(patch)
    )


def running_image(lab: Lab) -> str:
    pod = lab.cluster.json("get", "deployment", "orchestune-server", "-n", lab.namespace)["spec"]["template"]["spec"]
    image: str = pod["containers"][0]["image"]
    return image
