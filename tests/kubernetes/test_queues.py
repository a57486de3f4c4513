"""Experiments in queues of a real Kueue: admitted by quota, pending with a reason, preempted at no cost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes import test_promises as promises
from tests.testbeds.kubernetes.cluster import Cluster
from tests.testbeds.kubernetes.kueue import GROUP, kueue, queue
from tests.testbeds.registry import Registry
from tests.testbeds.server import FIRST_TAKES_LONG, Lab
from tests.testbeds.waiting import until
from tests.testbeds.workers import Images

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]
WORKLOADS = f"workloads.{GROUP}"


@pytest.fixture(scope="module")
def queueing(kubernetes: Any) -> Iterator[Cluster]:
    """The run's own cluster with Kueue in it. Never a developer's own."""
    if not isinstance(kubernetes, Cluster):
        pytest.skip("Kueue is put into the run's own cluster only")
    with kueue(kubernetes):
        yield kubernetes


@pytest.fixture
def lab(queueing: Cluster, namespace: str, worker_images: Images, tmp_path: Path) -> Iterator[Lab]:
    """A server on this host, and a queue for a single worker."""
    queueing.apply(*queue(namespace, namespace, cpu="150m", memory="1Gi"))
    allow = [f"priority-class:{namespace}-{kind}" for kind in ("low", "high")]
    with Lab(queueing, namespace, worker_images, tmp_path, allow=allow) as new_lab:
        yield new_lab
    queueing.kubectl("delete", f"clusterqueues.{GROUP}", namespace, "--wait=false")


def words(lab: Lab, handle: str) -> str:
    """Return the status of an experiment and its workers."""
    status = lab.status(handle)
    return json.dumps([status["reason"], status["workers"]])


def at_work(lab: Lab, handle: str) -> int:
    """Pods that have been made and are not over."""
    return sum(pod["status"]["phase"] in ("Pending", "Running") for pod in lab.pods(handle))


def nothing_left(lab: Lab) -> None:
    """Neither of ours nor of what Kueue makes of it."""

    def remaining() -> str:
        return lab.leftovers() + lab.cluster.kubectl("get", WORKLOADS, "-n", lab.namespace, "-o", "name")

    until("everything to be gone", lambda: not remaining(), describe=remaining)


def test_workers_are_let_in_one_by_one_and_say_what_they_wait_for(lab: Lab) -> None:
    handle = lab.run(budget=4, parallelism=3, queue=lab.namespace, env={"SECONDS_EACH": "4"})
    waits = f"waits in the queue {lab.namespace}: insufficient unused quota for cpu in flavor default"
    counts = [0]

    def has_reason() -> bool:
        counts.append(at_work(lab, handle))
        return waits in words(lab, handle)

    until("the reason", has_reason, 120, lambda: lab.diagnostics(handle))

    def over() -> bool:
        counts.append(at_work(lab, handle))
        return bool(lab.status(handle)["state"] == "completed")

    until("the experiment to end", over, 300, lambda: lab.diagnostics(handle))
    assert lab.status(handle)["counts"]["completed"] == 4
    assert max(counts) == 1, "the quota is for one"
    nothing_left(lab)


def test_what_is_preempted_in_its_queue_costs_nothing_and_waits_again(lab: Lab) -> None:
    names = [f"{lab.namespace}-{kind}" for kind in ("low", "high")]
    lab.cluster.apply(
        *(
            {
                "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
                "value": value, "preemptionPolicy": "Never",
            }
            for name, value in zip(names, (10, 1000), strict=True)
        )
    )  # fmt: skip
    try:
        in_queue: dict[str, Any] = {"queue": lab.namespace, "budget": 1}
        low = lab.run(FIRST_TAKES_LONG, **in_queue, priority_class=names[0])
        lab.wait_running(low)
        high = lab.run(**in_queue, priority_class=names[1], env={"SECONDS_EACH": "10"})
        until(
            "the reason of the preempted", lambda: "gave the place to others (prioritization" in words(lab, low), 120,
            lambda: lab.diagnostics(low),
        )  # fmt: skip
        assert lab.wait(high)["counts"]["completed"] == 1
        counts = lab.wait(low)["counts"]
        assert (counts["completed"], counts["failed"]) == (1, 0)
        assert [attempt["state"] for attempt in lab.trial(low)["attempts"]] == ["preempted", "succeeded"]
        nothing_left(lab)
    finally:
        lab.cluster.kubectl("delete", "priorityclass", *names)


def test_a_queue_that_is_stopped_says_so_and_one_that_is_not_there_is_refused(lab: Lab) -> None:
    refused = lab.ask(queue="elsewhere", expect=2)
    assert "the cluster has no LocalQueue elsewhere here" in refused.stdout + refused.stderr
    stop = ("patch", f"localqueues.{GROUP}", lab.namespace, "-n", lab.namespace, "--type=merge", "-p")
    lab.cluster.kubectl(*stop, '{"spec": {"stopPolicy": "Hold"}}')
    handle = lab.run(budget=1, queue=lab.namespace)
    waits = f"waits in the queue {lab.namespace}: LocalQueue {lab.namespace} is inactive"
    until("the reason", lambda: waits in words(lab, handle), 120, lambda: lab.diagnostics(handle))
    lab.cluster.kubectl(*stop, '{"spec": {"stopPolicy": "None"}}')
    assert lab.wait(handle)["counts"]["completed"] == 1
    nothing_left(lab)


def test_what_waits_in_a_queue_goes_when_it_is_stopped(lab: Lab) -> None:
    handle = lab.run(budget=4, parallelism=2, queue=lab.namespace, env={"SECONDS_EACH": "600"})
    until(
        "one to wait", lambda: "insufficient unused quota" in words(lab, handle), 120, lambda: lab.diagnostics(handle)
    )
    lab.home.run("stop", handle)
    nothing_left(lab)


def test_the_server_in_the_cluster_says_what_a_queue_waits_for(
    queueing: Cluster, namespace: str, registry: Registry, server_image: str, shell: str
) -> None:
    queueing.apply(*queue(namespace, namespace, cpu="150m", memory="1Gi"))
    with promises.connected(queueing, namespace, registry, server_image) as lab:
        small = {"cpu": "100m", "memory": "64Mi"}
        handle = promises.launch(
            lab, shell, budget=3, parallelism=2, queue=namespace, resources=small, run="sleep 4; echo score={x}"
        )
        waits = f"waits in the queue {namespace}: insufficient unused quota for cpu in flavor default"

        def reason_text() -> str:
            return json.dumps(promises.status(lab, handle)["workers"])

        until("the reason", lambda: waits in reason_text(), 120, reason_text)
        promises.assert_exact(lab, handle, 3, 1)
    queueing.kubectl("delete", f"clusterqueues.{GROUP}", namespace, "--wait=false")
