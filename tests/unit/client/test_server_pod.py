"""Which pod is the server, and why none is."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from orchestune.client.tunnels.server_pod import STUCK_SECONDS, choose, is_stuck, why
from tests.unit.client.fake_api_server import pod


def named(name: str, created: str = "2026-01-31T12:00:00Z", *, going: bool = False, **status: Any) -> dict[str, Any]:
    document = pod(name, **status)
    document["metadata"]["creationTimestamp"] = created
    if going:
        document["metadata"]["deletionTimestamp"] = created
    return document


def container(state: dict[str, Any], last: dict[str, Any] | None = None, restarts: int = 0) -> list[dict[str, Any]]:
    return [
        {"name": "server", "image": "lab/server:1", "restartCount": restarts, "state": state, "lastState": last or {}}
    ]


def test_a_ready_pod_goes_before_a_newer_one_that_is_not_and_one_that_goes_away_is_never_taken() -> None:
    pods = [
        named("going", "2026-03-01T00:00:00Z", going=True),
        named("starting", "2026-02-01T00:00:00Z", ready=False),
        named("ready", "2026-01-01T00:00:00Z"),
    ]
    assert (choose(pods) or {})["metadata"]["name"] == "ready"
    assert (choose(pods[:2]) or {})["metadata"]["name"] == "starting"
    assert choose(pods[:1]) is None


@pytest.mark.parametrize(
    ("pods", "reason"),
    [
        ([], "it has no pod"),
        ([named("a", going=True)], "its pod a is terminating, and has no replacement yet"),
        (
            [named("a", phase="Running", containerStatuses=container(
                {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
                {"terminated": {"exitCode": 1, "reason": "Error"}}, 3))],
            "its pod a is down: its container server ended with exit code 1, 3 restarts so far",
        ),
        (
            [named("a", phase="Running", containerStatuses=container(
                {"waiting": {"reason": "CrashLoopBackOff"}},
                {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}, 1))],
            "its pod a is down: its container server ended with OOMKilled, 1 restarts so far",
        ),
        (
            [named("a", phase="Pending", containerStatuses=container(
                {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image lab/server:1"}}))],
            "its pod a is pending: ImagePullBackOff: Back-off pulling image lab/server:1",
        ),
        (
            [named("a", phase="Pending", containerStatuses=container({"waiting": {"reason": "ContainerCreating"}}))],
            "its pod a is pending: it is starting",
        ),
        (
            [named("a", phase="Failed", reason="Evicted", message="The node was low on resource: memory.",
                   containerStatuses=[])],
            "its pod a is failed: The node was low on resource: memory.",
        ),
        ([named("a", phase="Pending", containerStatuses=[])], "its pod a is pending"),
    ],
)  # fmt: skip
def test_why_no_pod_can_be_connected_to(pods: list[dict[str, Any]], reason: str) -> None:
    assert choose(pods) is None
    assert why(pods) == reason


def test_a_pod_whose_end_its_node_does_not_confirm_names_the_node() -> None:
    pods = [named("a", going=True), named("b", phase="Pending", containerStatuses=[])]
    ends = datetime.fromisoformat(pods[0]["metadata"]["deletionTimestamp"]).timestamp()
    assert not is_stuck(pods, ends + STUCK_SECONDS) and why(pods, ends) == "its pod b is pending"
    assert is_stuck(pods, ends + STUCK_SECONDS + 1)
    assert why(pods, ends + STUCK_SECONDS + 1).startswith("node node-1 is probably lost and holds the server's disk")
