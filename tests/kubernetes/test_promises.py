"""Promises on a real cluster under faults: exact budgets, several users, GPUs beside CPUs."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from orchestune.client.address import resolver
from orchestune.client.api import Client
from orchestune.controllers.warm_pool import WARM_SECONDS
from tests.kubernetes.lab import Lab, bind, kubeconfig_of
from tests.testbeds.home import Home
from tests.testbeds.kubernetes.access import Access
from tests.testbeds.kubernetes.cluster import Cluster
from tests.testbeds.machine import Broken
from tests.testbeds.registry import Registry
from tests.testbeds.waiting import until
from tests.unit.cli.conftest import Terminal, plain

pytestmark = pytest.mark.timeout(900)
WORKERS = "app.kubernetes.io/component=worker"
SERVER = "app.kubernetes.io/component=server"
NAP = "for i in 1 2 3 4 5 6; do echo step $i; sleep 0.5; done; echo score={x}"


@contextmanager
def connected(kubernetes: Access, namespace: str, registry: Registry, server_image: str) -> Iterator[Lab]:
    """A namespace with the server in it."""
    with Lab(kubernetes, namespace, registry) as new_lab:
        new_lab.connect("--server-image", server_image)
        new_lab.home.run("cluster", "use", new_lab.name)
        yield new_lab
        client(new_lab).close()
        new_lab.run("destroy", "--yes", "--stop", "--abandon", expect=None)


@pytest.fixture(scope="module")
def lab(kubernetes: Access, shared_namespace: str, registry: Registry, server_image: str) -> Iterator[Lab]:
    """For the tests that leave nothing which would harm the next one."""
    with connected(kubernetes, shared_namespace, registry, server_image) as new_lab:
        yield new_lab


@pytest.fixture
def own_lab(kubernetes: Access, namespace: str, registry: Registry, server_image: str) -> Iterator[Lab]:
    """For those that harm it."""
    with connected(kubernetes, namespace, registry, server_image) as new_lab:
        yield new_lab


def launch(lab: Lab, image: str, **keys: Any) -> str:
    """Start an experiment; its handle."""
    return lab.home.run("run", "--detach", cwd=lab.experiment(image, **keys)).stdout.strip()


def pods(lab: Lab, selector: str) -> list[dict[str, Any]]:
    """The pods that are not about to go."""
    pod_list: list[dict[str, Any]] = lab.cluster.json("get", "pods", "-n", lab.namespace, "-l", selector)["items"]
    return [pod for pod in pod_list if "deletionTimestamp" not in pod["metadata"]]


def running(lab: Lab, selector: str = WORKERS) -> list[dict[str, Any]]:
    """Return the pods whose containers run."""
    return [pod for pod in pods(lab, selector) if pod["status"]["phase"] == "Running"]


def status(lab: Lab, handle: str) -> dict[str, Any]:
    """The experiment's status, by one client that stays connected, and waits where the server is just coming back."""
    return dict(client(lab).experiment(handle))


@cache
def client(lab: Lab) -> Client:
    """A client like that of the command line, without a new process for each look."""
    return Client.connect(resolver(lab.home.env, lab.name), retry_seconds=300)


def ended(lab: Lab, handle: str) -> dict[str, Any]:
    """Its status once it is over."""
    until(
        f"{handle} to end",
        lambda: status(lab, handle)["state"] in ("completed", "failed", "stopped"),
        600,
        lambda: json.dumps(status(lab, handle), indent=1) + lab.cluster.kubectl("get", "pods", "-n", lab.namespace),
    )
    return status(lab, handle)


def assert_exact(lab: Lab, handle: str, budget: int, parallelism: int) -> None:
    """Each trial is there once and finished; by the events there were never more live leases than allowed."""
    final_status = ended(lab, handle)
    counts = final_status["counts"]
    assert counts["completed"] + counts["failed"] == budget, final_status
    assert counts["failed"] == 0, [t["reason"] for t in lab.home.json("trials", handle) if t["state"] == "failed"]
    trials = lab.home.json("trials", handle)
    assert [trial["number"] for trial in trials] == list(range(1, budget + 1))
    moments: list[tuple[str, int]] = []
    for trial in trials:
        assert [a["state"] for a in trial["attempts"]].count("succeeded") == 1
        moments += [(a["started_at"], 1) for a in trial["attempts"] if a["started_at"] and a["state"] == "succeeded"]
        moments += [(a["finished_at"], -1) for a in trial["attempts"] if a["started_at"] and a["state"] == "succeeded"]
    live = peak = 0
    for _, step in sorted(moments):
        live += step
        peak = max(peak, live)
    assert peak <= parallelism


class Faults:
    """The faults, one after the other."""

    def __init__(self, lab: Lab, cluster: Cluster, seed: int) -> None:
        self.lab, self.cluster, self.random = lab, cluster, random.Random(seed)
        self.done: list[str] = []

    def worker_killed(self) -> None:
        """The main process of a worker's container dies at once."""
        pod = self._any()
        if pod is None or pod["spec"]["nodeName"] in self.dark:
            return
        identity = pod["status"]["containerStatuses"][0].get("containerID", "").rpartition("/")[2]
        if identity:
            try:
                self.cluster.ctr(pod["spec"]["nodeName"], "tasks", "kill", "--signal", "SIGKILL", identity)
            except Broken:
                return  # it ended meanwhile
            self.done.append("worker killed")

    def pod_deleted(self) -> None:
        """Delete a pod with its grace period."""
        self._delete("--wait=false")

    def pod_deleted_by_force(self) -> None:
        """Delete a pod without a grace period."""
        self._delete("--grace-period=0", "--force")

    def server_deleted(self) -> None:
        """The server's pod goes, and comes again."""
        self.lab.cluster.kubectl("delete", "pod", "-n", self.lab.namespace, "-l", SERVER, "--wait=false")
        self.done.append("server deleted")

    def node_lost(self) -> None:
        """The plug of a node is pulled that has workers and is not the server's."""
        servers = {pod["spec"].get("nodeName") for pod in pods(self.lab, SERVER)}
        nodes = {pod["spec"]["nodeName"] for pod in running(self.lab)} - servers - {"gpu1"}
        if nodes:
            self.cluster.lose_node(min(nodes))
            self.done.append(f"{min(nodes)} lost")

    @property
    def dark(self) -> set[str]:
        """The nodes that were lost."""
        return {fault.split()[0] for fault in self.done if fault.endswith(" lost")}

    def _delete(self, *how: str) -> None:
        pod = self._any()
        if pod is not None:
            name = pod["metadata"]["name"]
            self.lab.cluster.kubectl("delete", "pod", name, "-n", self.lab.namespace, "--ignore-not-found", *how)
            self.done.append("pod deleted")

    def _any(self) -> dict[str, Any] | None:
        candidates = running(self.lab)
        return self.random.choice(candidates) if candidates else None


def inject(lab: Lab, handles: list[str], faults: list[Callable[[], None]], pause: float) -> None:
    """One fault after the other while something runs."""
    for fault in faults:
        if _all_over(lab, handles):
            return
        until("a worker to run", lambda: bool(running(lab)) or _all_over(lab, handles))
        fault()
        time.sleep(pause)  # the pace of the faults, not a wait for something


def once(lab: Lab, handles: list[str], faults: Faults, fault: Callable[[], None]) -> None:
    """Return when the fault has struck: what it was meant for may end just before, and then it has to try again."""
    before = len(faults.done)

    def struck() -> bool:
        assert not _all_over(lab, handles), f"everything was over after {faults.done}"
        fault()
        return len(faults.done) > before

    until(f"{fault.__name__} to strike", struck, describe=lambda: faults.done)


def _all_over(lab: Lab, handles: list[str]) -> bool:
    return all(status(lab, handle)["state"] == "completed" for handle in handles)


def test_the_budget_of_three_experiments_is_exact_whatever_is_killed(
    own_lab: Lab, own_kubernetes: Cluster, shell: str
) -> None:
    small = {"cpu": "100m", "memory": "64Mi"}
    handles = [
        launch(own_lab, shell, name=name, run=NAP, budget=15, parallelism=3, resources=small)
        for name in ("one", "two", "three")
    ]
    faults = Faults(own_lab, own_kubernetes, seed=1)
    for fault in (faults.worker_killed, faults.node_lost, faults.server_deleted):
        once(own_lab, handles, faults, fault)
    more = [faults.pod_deleted, faults.pod_deleted_by_force, faults.worker_killed, faults.server_deleted]
    inject(own_lab, handles, more, pause=2.0)
    for handle in handles:
        assert_exact(own_lab, handle, 15, 3)
    until("workers to go", lambda: not [pod for pod in running(own_lab) if pod["spec"]["nodeName"] not in faults.dark])


@pytest.mark.long
def test_the_budget_is_exact_through_minutes_of_faults_in_the_control_plane_too(
    own_lab: Lab, own_kubernetes: Cluster, shell: str
) -> None:
    small = {"cpu": "100m", "memory": "64Mi"}
    handles = [
        launch(own_lab, shell, name=name, run=NAP, budget=120, parallelism=4, resources=small)
        for name in ("one", "two", "three")
    ]
    faults = Faults(own_lab, own_kubernetes, seed=2)

    def without(program: str, node: str | None = None) -> Callable[[], None]:
        def fault() -> None:
            own_kubernetes.stop(program, node)
            time.sleep(20)
            own_kubernetes.start(program, node)
            faults.done.append(f"{program} stopped")

        return fault

    plan = [
        faults.worker_killed, faults.pod_deleted, without("kube-apiserver"), faults.pod_deleted_by_force,
        faults.server_deleted, without("kubelet", "cpu1"), faults.worker_killed, without("kube-controller-manager"),
        faults.node_lost, faults.pod_deleted, own_kubernetes.heal, own_lab.registry.stop, faults.worker_killed,
        own_lab.registry.start, without("kubelet", "cpu2"), faults.server_deleted, without("kube-scheduler"),
    ]  # fmt: skip
    inject(own_lab, handles, plan * 3, pause=3.0)
    own_kubernetes.heal()
    for handle in handles:
        assert_exact(own_lab, handle, 120, 4)


def test_two_users_see_and_drive_the_same_experiments_and_a_viewer_only_looks(
    lab: Lab, kubernetes: Access, shell: str, tmp_path: Path
) -> None:
    handle = launch(lab, shell, run="sleep 600; echo score={x}", budget=5)
    until("trials to run", lambda: status(lab, handle)["counts"]["running"] == 2)
    homes: dict[str, Home] = {}
    try:
        for who in ("editor", "viewer"):
            kubeconfig = kubeconfig_of(kubernetes, f"user-{who}", lab.namespace, tmp_path / f"{who}.kubeconfig")
            bind(kubernetes, lab.namespace, f"user-{who}", who)
            homes[who] = Home(KUBECONFIG=str(kubeconfig), USER=who)
            homes[who].run("cluster", "connect", "-n", lab.name, "--namespace", lab.namespace)
            homes[who].run("cluster", "use", lab.name)
            assert homes[who].json("status", handle)["id"] == status(lab, handle)["id"]
        refused = homes["viewer"].run("stop", handle, expect=2)
        assert "is a viewer of this server (expected an editor)" in refused.stderr
        assert status(lab, handle)["desired"] == "running"
        folder = lab.experiment(shell)
        refused = homes["viewer"].run("run", cwd=folder, expect=2)
        assert "is a viewer of this server (expected an editor)" in refused.stderr
        homes["editor"].run("pause", handle)
        assert status(lab, handle)["desired"] == "paused"
        homes["editor"].run("stop", handle)
        assert homes["viewer"].json("status", handle)["desired"] == "stopped"
        ended(lab, handle)
        until("pods to go", lambda: not pods(lab, WORKERS))
    finally:
        for home in homes.values():
            home.close()


def test_experiments_with_and_without_gpus_run_side_by_side(lab: Lab, shell: str) -> None:
    plain = launch(lab, shell, name="plain", run=NAP, budget=12, parallelism=40, resources={"cpu": "500m"})
    until("CPU trials to run", lambda: status(lab, plain)["counts"]["running"] > 0)
    resources = {"cpu": "100m", "gpu": 2}
    pairs = launch(lab, shell, name="pairs", run="sleep 10; echo score=1", budget=2, parallelism=2, resources=resources)
    until("two pairs of cards to be in use", lambda: status(lab, pairs)["counts"]["running"] == 2)
    nodes = {worker["node"] for worker in status(lab, pairs)["workers"] if worker["node"]}
    assert nodes == {"gpu1"}
    assert {worker["node"] for worker in status(lab, plain)["workers"] if worker["node"]} <= {"cpu1", "cpu2"}
    four = launch(lab, shell, name="four", run=NAP, budget=1, parallelism=1, resources={"cpu": "100m", "gpu": 4})
    for handle, budget in ((plain, 12), (pairs, 2), (four, 1)):
        assert ended(lab, handle)["counts"]["completed"] == budget


def handles(lab: Lab) -> list[str]:
    return [status_document["handle"] for status_document in lab.home.json("status")]


def test_more_than_any_node_has_is_refused_at_once_with_the_largest_named(lab: Lab, shell: str) -> None:
    folder, before = lab.experiment(shell, resources={"gpu": 5}), handles(lab)
    refused = lab.home.run("run", "--detach", cwd=folder, expect=2)
    assert "a trial needs 5 gpu, the largest machine, gpu1, has 4" in refused.stderr
    assert handles(lab) == before


def test_no_pod_is_handed_over_where_a_role_is_proved_and_no_name(lab: Lab, shell: str) -> None:
    home = lab.home
    folder = lab.experiment(shell, name="cold", run="hostname; echo score={x}", keep=[], budget=1, parallelism=1)
    outputs = [home.run("test", "--cluster", lab.name, cwd=folder).stdout for _ in range(2)]
    assert not any("on a warm worker" in text for text in outputs), outputs
    until("the pods to go, for none of which another test waits", lambda: not pods(lab, WORKERS), WARM_SECONDS + 120)


def test_changed_code_is_tried_and_taken_by_the_same_worker_and_a_trial_is_opened_in_a_pod(
    lab: Lab, shell: str
) -> None:
    home = lab.home
    folder = lab.experiment(shell, run="sh train.sh {x}", keep=[], budget=3, parallelism=1)
    train = folder / "train.sh"
    train.write_text("echo old code of trial $ORCHESTUNE_TRIAL; sleep 30; echo score=$1\n")  # longer than `try` takes
    handle = home.run("run", "--detach", cwd=folder).stdout.strip()
    until("the first trial to run", lambda: status(lab, handle)["counts"]["running"] == 1, 120)
    train.write_text("echo new code of trial $ORCHESTUNE_TRIAL; echo score=$1\n")
    home.run("try", "--into", handle, "--untried", cwd=folder)
    assert_exact(lab, handle, 3, 1)
    trials = home.json("trials", handle)
    assert [trial["bundle"] == trials[0]["bundle"] for trial in trials] == [True, False, False]
    assert len({attempt["worker"] for trial in trials for attempt in trial["attempts"]}) == 1
    assert "new code of trial 3" in home.run("logs", f"{handle}/3").stdout
    output = home.run("try", f"{handle}/1", cwd=folder).stdout
    assert "new code of trial 1" in output and "metric   score" in output
    printed = home.run("shell", f"{handle}/1", "--", "{run}").stdout.splitlines()
    assert printed == ["old code of trial 1", f"score={trials[0]['parameters']['x']!r}"]
    with closing(Terminal(["shell", f"{handle}/3"], home.env)) as screen:
        screen.wait_for(r"[#$] $", 120)
        screen.press("hostname; exit 4\r")
        assert screen.end() == 4
        assert "orchestune-shell-" in plain(screen.screen)


def test_stop_leaves_nothing_of_the_experiment(lab: Lab, shell: str) -> None:
    handle = launch(lab, shell, run="trap '' TERM; sleep 600; echo score={x}", grace="1s", budget=5)
    until("trials to run", lambda: status(lab, handle)["counts"]["running"] == 2)
    identity = status(lab, handle)["id"]
    lab.home.run("stop", handle)

    def remaining() -> str:
        what = ("pods,jobs,secrets", "-n", lab.namespace, "-l", f"orchestune.dev/experiment={identity}", "-o", "name")
        return lab.cluster.kubectl("get", *what)

    until("pods, jobs and secrets to go", lambda: not remaining(), describe=remaining)
    assert ended(lab, handle)["state"] == "stopped"
