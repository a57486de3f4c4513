"""Real experiments in real pods, driven by the command line through a server on this host."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.testbeds.kubernetes.access import GPU
from tests.testbeds.kubernetes.cluster import Cluster
from tests.testbeds.kubernetes.node import PAUSE_IMAGE
from tests.testbeds.server import FIRST_TAKES_LONG, Lab
from tests.testbeds.waiting import until
from tests.testbeds.workers import Images

pytestmark = pytest.mark.timeout(600)
SLOW: dict[str, Any] = {"env": {"SECONDS_EACH": "600"}}
CHECKPOINTING = """
import os, signal, sys, time
folder = os.environ["ORCHESTUNE_CHECKPOINT_DIR"]
seen = os.path.join(folder, "seen")
if os.path.exists(seen):
    print("went on from", open(seen).read())
    print("loss=1")
    sys.exit()
def stop(number, frame):
    open(seen, "w").write("a checkpoint")
    sys.exit(1)
signal.signal(signal.SIGTERM, stop)
print("loss=5 step=1", flush=True)
time.sleep(600)
"""


def test_an_experiment_runs_to_its_end_and_leaves_nothing(lab: Lab) -> None:
    handle = lab.run(budget=6, parallelism=2)
    status = lab.wait(handle)
    assert status["counts"]["completed"] == 6
    nodes = {node["metadata"]["name"] for node in lab.cluster.json("get", "nodes")["items"]}
    assert {worker["node"] for worker in status["workers"] if worker["succeeded"]} <= nodes
    until("everything to be gone", lambda: not lab.leftovers(), describe=lab.leftovers)


def test_an_image_without_python_and_with_a_read_only_root_is_as_good(lab: Lab) -> None:
    pod = {"spec": {"containers": [{"name": "worker", "securityContext": {"readOnlyRootFilesystem": True}}]}}
    handle = lab.run(run="echo user $(id -u); echo loss=$ORCHESTUNE_PARAM_X", image=lab.images.busybox, pod=pod)
    assert lab.wait(handle)["counts"]["completed"] == 2
    assert "user 65534" in lab.home.run("logs", handle).stdout


def test_where_root_is_forbidden_trials_run_as_somebody_else(own_lab: Lab) -> None:
    own_lab.cluster.kubectl("label", "namespace", own_lab.namespace, "pod-security.kubernetes.io/enforce=restricted")
    handle = own_lab.run()
    assert own_lab.wait(handle)["counts"]["completed"] == 2
    assert "user 65534" in own_lab.home.run("logs", handle).stdout


def test_an_image_that_is_not_there_pauses_the_experiment_with_its_name(lab: Lab) -> None:
    missing = lab.images.python.partition("@")[0] + "@sha256:" + "0" * 64
    handle = lab.run(image=missing)
    reason = lab.wait(handle, "paused")["reason"]
    assert reason["code"] == "workers_fail"
    assert f"the image {missing} cannot be pulled" in reason["message"]
    assert "not found" in reason["message"]
    lab.home.run("stop", handle)


def test_a_trial_that_takes_more_than_its_memory_fails_for_it(lab: Lab) -> None:
    handle = lab.run("x = bytearray(500_000_000); print('loss=1')", budget=1)
    lab.wait(handle, "failed", "paused", "completed")
    reason = lab.trial(handle)["reason"]
    assert reason["code"] == "out_of_memory"
    assert "its memory limit of 64 MiB" in reason["message"]
    assert "its peak" in reason["message"]


def test_a_trial_that_was_killed_for_memory_gets_a_pod_with_more(lab: Lab) -> None:
    retry = {"oom": 2, "memory_factor": 4}
    handle = lab.run("x = bytearray(100_000_000); print('loss=1')", budget=1, retry=retry)
    counts = lab.wait(handle)["counts"]
    assert (counts["completed"], counts["failed"]) == (1, 0)
    first, second = lab.trial(handle)["attempts"]
    assert (first["state"], first["reason"]["code"]) == ("failed", "out_of_memory")
    assert (second["state"], second["raised_memory_bytes"]) == ("succeeded", 256 * 2**20)
    output = lab.home.run("trials", f"{handle}/1").stdout
    assert "retried with 256 MiB" in output
    assert "memory raised to 256 MiB after an earlier attempt ran out of memory" in output
    until("everything to be gone", lambda: not lab.leftovers(), describe=lab.leftovers)


def test_trials_with_gpus_get_them_and_others_leave_their_node_alone(lab: Lab) -> None:
    with_gpus = lab.run(resources={"cpu": 0.1, "memory": "64Mi", "gpu": 2}, budget=1)
    without = lab.run(budget=4, parallelism=4)
    assert {worker["node"] for worker in lab.wait(with_gpus)["workers"]} == {"gpu1"}
    assert "gpu1" not in {worker["node"] for worker in lab.wait(without)["workers"]}


def test_more_than_any_node_has_is_refused_at_once_with_the_largest_node(lab: Lab) -> None:
    result = lab.ask(resources={"gpu": 64}, expect=2)
    assert "this can never run: a trial needs 64 gpu, the largest machine, gpu1, has 4" in result.stdout + result.stderr


def test_who_holds_what_is_missing_is_told(lab: Lab) -> None:
    holding = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "holder"},
        "spec": {
            "containers": [{
                "name": "main", "image": lab.images.busybox, "command": ["sleep", "3600"],
                "resources": {"limits": {GPU: "3"}},
            }],
        },
    }  # fmt: skip
    lab.cluster.apply(holding, namespace=lab.namespace)
    until("the holder to run", lambda: lab.cluster.pod_phase(lab.namespace, "holder") == "Running")
    handle = lab.run(resources={"cpu": 0.1, "memory": "64Mi", "gpu": 2}, budget=1)
    until(
        "the reason",
        lambda: "waits for" in json.dumps(lab.status(handle)["reason"]),
        describe=lambda: lab.diagnostics(handle),
    )
    lab.cluster.kubectl("delete", "pod", "holder", "-n", lab.namespace, "--force", "--grace-period=0")
    assert lab.wait(handle)["counts"]["completed"] == 1


def test_a_pod_that_is_killed_costs_a_trial_nothing(lab: Lab) -> None:
    handle = lab.run(FIRST_TAKES_LONG, budget=1)
    name = lab.wait_running(handle)
    lab.cluster.kubectl("delete", "pod", name, "-n", lab.namespace, "--force", "--grace-period=0")
    assert lab.wait(handle)["counts"] == {
        "queued": 0, "running": 0, "completed": 1, "failed": 0, "pruned": 0, "cancelled": 0,
    }  # fmt: skip
    assert lab.trial(handle)["attempts"][0]["state"] in ("preempted", "lost")


def test_a_drained_trial_goes_on_elsewhere_from_its_checkpoint(lab: Lab) -> None:
    handle = lab.run(CHECKPOINTING, budget=1, checkpoint={"every": "60s"})
    name = lab.wait_running(handle)
    until("the trial's first words", lambda: "loss=5" in lab.home.look("logs", handle))
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": lab.namespace}}
    path = f"/api/v1/namespaces/{lab.namespace}/pods/{name}/eviction"
    lab.cluster.kubectl("create", "--raw", path, "-f", "-", text=json.dumps(eviction))
    assert lab.wait(handle)["counts"]["completed"] == 1
    first, second = lab.trial(handle)["attempts"]
    assert (first["state"], second["state"]) == ("preempted", "succeeded")
    assert second["resumed_from"]["attempt"] == first["id"]
    assert "went on from a checkpoint" in lab.home.run("logs", handle).stdout


def test_when_a_node_is_drained_its_trial_goes_on_elsewhere_from_its_checkpoint(
    own_kubernetes: Cluster, namespace: str, worker_images: Images, tmp_path: Path
) -> None:
    with Lab(own_kubernetes, namespace, worker_images, tmp_path) as lab:
        handle = lab.run(CHECKPOINTING, budget=1, checkpoint={"every": "60s"})
        name = lab.wait_running(handle)
        until("the trial's first words", lambda: "loss=5" in lab.home.look("logs", handle))
        node = own_kubernetes.json("get", "pod", "-n", namespace, name)["spec"]["nodeName"]
        own_kubernetes.apply(_bystander(node), namespace=namespace)
        own_kubernetes.drain(node)
        field_selector = f"--field-selector=spec.nodeName={node}"
        assert own_kubernetes.kubectl("get", "pods", "-A", field_selector, "-o", "name") == "", (
            "all of its pods were evicted"
        )
        assert lab.wait(handle)["counts"]["completed"] == 1
        first, second = lab.trial(handle)["attempts"]
        assert (first["state"], second["state"]) == ("preempted", "succeeded")
        assert second["resumed_from"]["attempt"] == first["id"]
        assert second["node"] != node
        assert "went on from a checkpoint" in lab.home.run("logs", handle).stdout


def _bystander(node: str) -> dict[str, Any]:
    """Another user's pod on a node."""
    container = {"name": "main", "image": PAUSE_IMAGE, "imagePullPolicy": "Never"}
    spec = {"nodeName": node, "containers": [container], "terminationGracePeriodSeconds": 1}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bystander"}, "spec": spec}


def test_a_server_that_is_killed_finds_its_workers_again(own_lab: Lab) -> None:
    handle = own_lab.run(budget=2, env={"SECONDS_EACH": "4"})
    name = own_lab.wait_running(handle)
    own_lab.kill()
    own_lab.start()
    assert own_lab.wait(handle)["counts"]["completed"] == 2
    assert [attempt["state"] for attempt in own_lab.trial(handle)["attempts"]] == ["succeeded"]
    assert {worker["name"] for worker in own_lab.status(handle)["workers"]} == {"w1"}
    assert name


def test_a_server_that_was_killed_in_the_middle_of_a_stop_leaves_nothing(own_lab: Lab) -> None:
    handle = own_lab.run(**SLOW)
    own_lab.wait_running(handle)
    stopping = own_lab.home.start("stop", handle)
    own_lab.kill(signal.SIGKILL)
    stopping.communicate()
    own_lab.start()
    own_lab.home.run("stop", handle)
    until("everything to be gone", lambda: not own_lab.leftovers(), describe=own_lab.leftovers)
    until("the experiment to be stopped", lambda: own_lab.status(handle)["state"] == "stopped")


def test_what_nobody_knows_of_is_swept_and_what_is_not_ours_stays(own_lab: Lab) -> None:
    handle = own_lab.run(**SLOW)
    name = own_lab.wait_running(handle)
    own_lab.cluster.kubectl("create", "configmap", "foreign", "-n", own_lab.namespace)
    own_lab.kill()
    for file in (own_lab.folder / "state").glob("orchestune.db*"):
        file.unlink()
    own_lab.start()
    until("everything to be gone", lambda: not own_lab.leftovers(), describe=own_lab.leftovers)
    assert own_lab.cluster.exists("configmap", "foreign", "-n", own_lab.namespace)
    assert not own_lab.cluster.exists("pod", name, "-n", own_lab.namespace)


def test_secrets_live_in_the_cluster_and_go_with_the_experiment(own_lab: Lab) -> None:
    own_lab.home.env["API_KEY"] = "swordfish"
    handle = own_lab.run("import os; print('loss=%d' % len(os.environ['API_KEY']))", secrets=["API_KEY"], budget=1)
    assert own_lab.wait(handle)["best"][0]["metrics"]["loss"]["value"] == len("swordfish")
    secrets = ["secrets", "-n", own_lab.namespace, "-l", "app.kubernetes.io/component=secret"]
    assert own_lab.cluster.exists(*secrets)
    assert "swordfish" not in "".join(
        file.read_text(errors="replace") for file in (own_lab.folder / "state").rglob("*") if file.is_file()
    )
    own_lab.home.run("delete", handle, "--purge", "--yes")
    until("the secret to be gone", lambda: not own_lab.cluster.exists(*secrets))


def test_what_a_quota_does_not_let_in_waits_and_says_so(own_lab: Lab) -> None:
    quota = {
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"},
        "spec": {"hard": {"requests.cpu": "150m"}},
    }  # fmt: skip
    own_lab.cluster.apply(quota, namespace=own_lab.namespace)
    handle = own_lab.run(budget=3, parallelism=3, env={"SECONDS_EACH": "3"})
    words = "waits for room in the namespace's quota team: requests.cpu=100m"
    until(
        "the reason",
        lambda: words in json.dumps(own_lab.status(handle)["workers"]),
        describe=lambda: own_lab.diagnostics(handle),
    )
    assert own_lab.wait(handle)["counts"]["completed"] == 3
    until("everything to be gone", lambda: not own_lab.leftovers(), describe=own_lab.leftovers)


def test_a_worker_whose_queue_takes_its_place_back_costs_nothing(lab: Lab) -> None:
    handle = lab.run(FIRST_TAKES_LONG, budget=1)
    job = lab.wait_running(handle).rpartition("-")[0]
    lab.cluster.kubectl("patch", "job", job, "-n", lab.namespace, "-p", '{"spec": {"suspend": true}}')
    assert lab.wait(handle)["counts"]["completed"] == 1
    assert [attempt["state"] for attempt in lab.trial(handle)["attempts"]] == ["preempted", "succeeded"]
