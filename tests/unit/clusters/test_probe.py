"""When an image counts as pulled, from statuses as API servers show them."""

from __future__ import annotations

import copy
from typing import Any, cast

import pytest

from orchestune.backends.kubernetes.objects.quantities import amount
from orchestune.backends.kubernetes.observation.capacity import Node
from orchestune.backends.kubernetes.policy.node_admission import admits
from orchestune.clusters.existing import probe
from orchestune.clusters.existing.client import ContextClient
from orchestune.clusters.existing.config import ConnectionSettings
from orchestune.clusters.existing.probe import ProbeTarget
from orchestune.domain.resources.resources import Resources

LAB = ConnectionSettings("lab", "ml", server_image="registry.lab/server@sha256:1", registry="registry.lab")
SAMPLE = "registry.lab/orchestune/test@sha256:2"
LINUX = {"kubernetes.io/os": "linux"}
PULL_FAILED = {"waiting": {"reason": "ImagePullBackOff", "message": "certificate signed by unknown authority"}}


class Showing:
    """An API server that shows one state after the other of the pod that was made."""

    def __init__(self, *states: dict[str, Any]) -> None:
        self.states = list(states)
        self.made: list[dict[str, Any]] = []
        self.deleted = 0

    def get(self, *_: Any) -> dict[str, Any] | None:
        if not self.made:
            return None
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        status = {"phase": "Pending", "containerStatuses": [{"name": "look", "image": SAMPLE, "state": state}]}
        return {**copy.deepcopy(self.made[-1]), "status": status} | {"spec": {"nodeName": "n1"}}

    def create(self, document: dict[str, Any]) -> None:
        self.made.append(document)

    def delete(self, document: dict[str, Any]) -> bool:
        self.deleted += 1
        return True


def test_a_quota_of_the_namespace_finds_all_the_limits_that_it_counts() -> None:
    (container,) = probe.pod(LAB, ProbeTarget("cpu"), "0-cpu")["spec"]["containers"]
    assert set(container["resources"]["limits"]) == set(container["resources"]["requests"]) == {"cpu", "memory"}


@pytest.mark.parametrize("effect", ["NoSchedule", "NoExecute"])
def test_a_pool_is_tried_whatever_its_nodes_are_tainted_with(effect: str) -> None:
    spec = probe.pod(LAB, ProbeTarget("slow", ("n1",)), "0-slow")["spec"]
    node = Node("n1", "slow", Resources(), True, True, "", True, (("team", "vision", effect),), labels=LINUX)
    assert admits(node, spec)


def pull(api: Showing) -> probe.ProbeResult:
    moments = iter(range(1000))
    clock = lambda: float(next(moments))
    return probe.pull(
        cast(ContextClient, api), LAB, ProbeTarget("cpu"), "0-cpu", SAMPLE, clock=clock, sleep=lambda _: None
    )


@pytest.mark.parametrize(
    "state",
    [
        {"terminated": {"reason": "StartError", "exitCode": 128}},
        {"waiting": {"reason": "CreateContainerError", "message": "no such file"}},
        {"waiting": {"reason": "RunContainerError", "message": "no such file"}},
    ],
    ids=["containerd", "CRI-O", "an older Docker"],
)
def test_a_container_that_cannot_run_has_its_image(state: dict[str, Any]) -> None:
    api = Showing({"waiting": {"reason": "ContainerCreating"}}, state)
    outcome = pull(api)
    assert (outcome.failure, outcome.node) == ("", "n1")
    [probe_pod] = api.made
    [container] = probe_pod["spec"]["containers"]
    assert (container["image"], container["imagePullPolicy"]) == (SAMPLE, "Always")
    assert api.deleted == 2, "what an earlier test left, and this one"


def test_an_image_that_does_not_come_is_told_with_what_to_do() -> None:
    outcome = pull(Showing({"waiting": {"reason": "ErrImagePull", "message": "…"}}, PULL_FAILED))
    assert outcome.failure.startswith(f"the image {SAMPLE} cannot be pulled: certificate signed by unknown authority")
    assert "the nodes do not know the authority" in outcome.failure


def test_a_node_that_says_nothing_is_not_waited_for_for_ever() -> None:
    assert pull(Showing({"waiting": {"reason": "ContainerCreating"}})).failure == "it did not start in time"


def test_a_pod_that_is_tried_keeps_to_what_a_limit_range_may_ask_for() -> None:
    [container] = probe.pod(LAB, ProbeTarget("cpu"), "0")["spec"]["containers"]
    requests, limits = container["resources"]["requests"], container["resources"]["limits"]
    for key, least in (("cpu", 0.05), ("memory", 2**26)):
        requested, most = amount(requests[key]), amount(limits[key])
        assert least <= requested and most / requested <= 4
