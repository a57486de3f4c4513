"""Why the server does not come up, from what the cluster shows of it."""

from __future__ import annotations

from typing import Any

import pytest

from orchestune.clusters.existing import plan, rollout
from orchestune.clusters.existing.config import SERVER, ConnectionSettings
from orchestune.errors import Unreachable
from orchestune.kubeapi.labels import SERVERS
from tests.unit.clusters.world import World

LAB = ConnectionSettings("lab", "ml", server_image="registry.lab/server@sha256:" + "ab" * 32)


def deployment(*, ready: int = 0, conditions: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    document = plan.server(LAB)[-1]
    assert document["kind"] == "Deployment"
    document["metadata"] |= {"generation": 3, "resourceVersion": "7"}
    status = {"observedGeneration": 3, "replicas": 1, "updatedReplicas": 1, "readyReplicas": ready}
    return document | {"status": status | {"conditions": conditions or []}}


def pod(**status: Any) -> dict[str, Any]:
    metadata = {"name": "server-1", "namespace": "ml", "uid": "pod-1", "labels": SERVERS, "creationTimestamp": "2"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status}


def container(restarts: int = 0, **states: Any) -> dict[str, Any]:
    return pod(containerStatuses=[{"name": "server", "image": "x", "restartCount": restarts, "ready": False, **states}])


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return container(state={"waiting": {"reason": reason, "message": message}})


def event(uid: str, message: str) -> dict[str, Any]:
    metadata = {"name": f"event-{uid}", "namespace": "ml"}
    body = {"type": "Warning", "message": message, "involvedObject": {"uid": uid}}
    return {"apiVersion": "v1", "kind": "Event", "metadata": metadata, **body}


def claim(phase: str) -> dict[str, Any]:
    document = plan.volume_claim(LAB.with_changes({"storage_class": "slow"}))
    document["metadata"]["uid"] = "claim-1"
    return document | {"status": {"phase": phase}}


UNSCHEDULED = pod(
    conditions=[{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available: too few cpu"}]
)
QUOTA = [{"type": "ReplicaFailure", "status": "True", "message": 'pods "x" is forbidden: exceeded quota: small'}]
ADMISSION = [{"type": "ReplicaFailure", "status": "True", "message": "violates PodSecurity: runAsNonRoot"}]
DEAD = {"lastState": {"terminated": {"exitCode": 2, "reason": "Error"}}, "state": {"waiting": {"reason": "x"}}}
KILLED = {"lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}


@pytest.mark.parametrize(
    ("documents", "message", "hopeless"),
    [
        ([deployment(conditions=QUOTA)], "the namespace's quota forbids the pod: exceeded quota: small", True),
        ([deployment(conditions=ADMISSION)], "refuses the pod: violates PodSecurity", True),
        ([deployment()], "the pod is being created", False),
        (
            [deployment(), UNSCHEDULED, claim("Bound")],
            "no node can take the pod: 0/3 nodes are available: too few cpu",
            False,
        ),
        ([deployment(), UNSCHEDULED], "there is no claim orchestune-data in the namespace ml", False),
        (
            [deployment(), UNSCHEDULED, claim("Pending"), event("claim-1", "no space left")],
            "the claim orchestune-data of the storage class slow is pending: no space left",
            False,
        ),
        ([deployment(), waiting("ErrImagePull", "not found")], "cannot be pulled: not found", False),
        ([deployment(), waiting("ImagePullBackOff", "not found")], "cannot be pulled: not found", True),
        (
            [deployment(), waiting("ErrImagePull", "http: server gave HTTP response to HTTPS client")],
            "HTTPS client; the registry has no TLS, and the nodes expect it: an administrator tells their container",
            False,
        ),
        ([deployment(), waiting("CreateContainerConfigError", "no secret")], "cannot create the container: no", False),
        ([deployment(), container(1, **DEAD)], "exited (exit code 2); the end of its log:\n  bad flag", False),
        ([deployment(), container(3, **DEAD)], "the server exited (exit code 2)", True),
        ([deployment(), container(1, **KILLED)], "the server exited (out of memory)", False),
        ([deployment(), pod(), event("pod-1", "volume is busy")], "the server is starting: volume is busy", False),
        ([deployment(), pod()], "the server is starting", False),
    ],
)
def test_each_reason_is_told_in_words(documents: list[dict[str, Any]], message: str, hopeless: bool) -> None:
    world = World(*documents, logs="bad flag\n")
    state = rollout.state(world.api, LAB, world.get("apps/v1", "Deployment", SERVER, "ml"))
    assert message in state[0]
    assert state[1] == hopeless


@pytest.mark.parametrize(
    ("log", "note"),
    [
        (
            '{"message": "waiting for the database: the store is away: no route"}\n',
            ": waiting for the database: the store",
        ),
        ("a WARNING server: waiting for the database: away\nINFO server: the database is available\n", ""),
        ("INFO server: serving\n", ""),
    ],
)
def test_a_server_that_waits_for_its_database_says_so(log: str, note: str) -> None:
    world = World(deployment(), container(state={"running": {}}), logs=log)
    why, hopeless = rollout.state(world.api, LAB, world.get("apps/v1", "Deployment", SERVER, "ml"))
    assert why.startswith(f"the server is starting{note}") and (note or why == "the server is starting")
    assert not hopeless


def test_what_kept_a_pod_from_a_machine_that_it_has_by_now_is_not_told() -> None:
    past = event("pod-1", "0/3 nodes are available") | {"reason": "FailedScheduling"}
    world = World(deployment(), pod(), past)
    assert rollout.state(world.api, LAB, world.get("apps/v1", "Deployment", SERVER, "ml")) == (
        "the server is starting", False,
    )  # fmt: skip


def test_waiting_ends_when_the_newest_form_runs_alone() -> None:
    world = World(deployment(ready=1))
    rollout.wait(world.api, LAB, lambda text: None)
    old = deployment(ready=1)
    old["status"]["observedGeneration"] = 2
    assert not rollout.is_ready(old)


def test_waiting_says_what_it_waits_for_once_and_gives_up_in_time() -> None:
    world, messages, now = World(deployment(), UNSCHEDULED, claim("Bound")), list[str](), [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    with pytest.raises(rollout.RolloutFailed, match="too few cpu"):
        rollout.wait(world.api, LAB, messages.append, seconds=10, clock=lambda: now[0], sleep=sleep)
    assert len(messages) == 1


def test_what_can_never_run_ends_the_waiting_within_seconds() -> None:
    world, now = World(deployment(), waiting("InvalidImageName")), [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    with pytest.raises(rollout.RolloutFailed, match="cannot be pulled"):
        rollout.wait(world.api, LAB, lambda text: None, clock=lambda: now[0], sleep=sleep)
    assert 1 < now[0] < 10


def test_a_refusal_of_an_earlier_try_makes_the_cluster_try_again_and_does_not_count() -> None:
    world = World(deployment(conditions=QUOTA))

    def controller(seconds: float) -> None:
        world.put(deployment(ready=1))

    rollout.wait(world.api, LAB, lambda text: None, sleep=controller)
    assert world.patched == ["/apis/apps/v1/namespaces/ml/deployments/orchestune-server"]


def test_an_image_that_could_not_be_pulled_is_tried_again_by_a_new_pod_and_the_old_one_does_not_count() -> None:
    world, now = World(deployment(), waiting("ImagePullBackOff", "unknown authority")), [0.0]

    def controller(seconds: float) -> None:
        now[0] += seconds
        if now[0] > 60:
            world.put(deployment(ready=1))

    rollout.wait(world.api, LAB, lambda text: None, clock=lambda: now[0], sleep=controller)
    assert world.patched == ["/apis/apps/v1/namespaces/ml/deployments/orchestune-server"]


def test_an_api_server_that_is_away_for_a_moment_is_waited_for() -> None:
    class Away(World):
        answers = 0

        def get(self, *where: Any) -> dict[str, Any] | None:
            self.answers += 1
            if self.answers < 3:
                raise Unreachable("away")
            return super().get(*where)

    rollout.wait(Away(deployment(ready=1)).api, LAB, lambda text: None, sleep=lambda seconds: None)
