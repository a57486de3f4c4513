"""Two at once: one works, the other one reports it; a dead process blocks no other."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from orchestune.clusters.aws.cluster_lock import HEARTBEAT_TAG, HOLDER_TAG, ClusterLock
from orchestune.clusters.aws.names import TAG, Names
from orchestune.errors import Conflict
from tests.unit.clusters.aws.answers import Answers, refusal

NAMES = Names("lab", "eu-central-1", "123456789012")


class Role:
    """The role of the control plane with its tags."""

    def __init__(self, tags: dict[str, str] | None) -> None:
        self.tags = tags

    def aws(self) -> Answers:
        return Answers(iam__GetRole=self._get, iam__TagRole=self._tag, iam__UntagRole=self._untag)

    def _get(self, request: Mapping[str, Any]) -> Any:
        if self.tags is None:
            return refusal("GetRole", "NoSuchEntity")
        return {"Role": {"Tags": [{"Key": key, "Value": value} for key, value in self.tags.items()]}}

    def _tag(self, request: Mapping[str, Any]) -> Any:
        assert self.tags is not None
        self.tags |= {tag["Key"]: tag["Value"] for tag in request["Tags"]}
        return {}

    def _untag(self, request: Mapping[str, Any]) -> Any:
        assert self.tags is not None
        for key in request["TagKeys"]:
            self.tags.pop(key, None)
        return {}


def test_a_role_that_is_not_there_is_not_claimed() -> None:
    assert ClusterLock(Role(None).aws(), NAMES).acquire() is False


def test_a_claim_is_marked_kept_alive_and_taken_back() -> None:
    role = Role({TAG: "lab"})
    aws = role.aws()
    with ClusterLock(aws, NAMES) as lock:
        assert lock.acquire() is True
        assert role.tags is not None
        assert role.tags[HOLDER_TAG] == lock.holder
        before = role.tags[HEARTBEAT_TAG]
        lock.heartbeat()
        assert role.tags[HEARTBEAT_TAG] == before
        aws.now += 6
        lock.heartbeat()
        assert role.tags[HEARTBEAT_TAG] != before
    assert role.tags == {TAG: "lab"}


def test_whoever_comes_second_says_who_is_at_work_as_soon_as_that_one_shows_it() -> None:
    role = Role({TAG: "lab", HOLDER_TAG: "ada@elsewhere 12 7f3a2b", HEARTBEAT_TAG: "4"})
    aws = role.aws()
    aws.meanwhile = [lambda: None, lambda: role.tags.update({HEARTBEAT_TAG: "5"}) if role.tags else None]
    with pytest.raises(Conflict, match="is being created or changed by ada@elsewhere 12"):
        ClusterLock(aws, NAMES).acquire()
    assert role.tags is not None
    assert role.tags[HOLDER_TAG].startswith("ada@")


def test_who_shows_no_life_for_a_minute_has_died_and_is_followed() -> None:
    role = Role({TAG: "lab", HOLDER_TAG: "ada@elsewhere 12 7f3a2b", HEARTBEAT_TAG: "4"})
    lock = ClusterLock(role.aws(), NAMES)
    assert lock.acquire() is True
    assert role.tags is not None
    assert role.tags[HOLDER_TAG] == lock.holder


def test_a_process_of_this_machine_that_is_no_more_is_followed_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    role = Role({TAG: "lab", HOLDER_TAG: f"ada@{socket.gethostname()} {int(done.stdout)} 7f3a2b", HEARTBEAT_TAG: "4"})
    aws = role.aws()
    assert ClusterLock(aws, NAMES).acquire() is True
    assert aws.now == 0


def test_a_process_of_this_machine_that_lives_is_waited_for() -> None:
    role = Role({TAG: "lab", HOLDER_TAG: f"ada@{socket.gethostname()} {os.getpid()} 7f3a2b", HEARTBEAT_TAG: "4"})
    aws = role.aws()
    aws.meanwhile = [lambda: role.tags.update({HEARTBEAT_TAG: "5"}) if role.tags else None]
    with pytest.raises(Conflict):
        ClusterLock(aws, NAMES).acquire()


def test_a_role_of_that_name_that_is_not_ours_is_left_alone() -> None:
    role = Role({"team": "other"})
    with pytest.raises(Conflict, match="is not ours"):
        ClusterLock(role.aws(), NAMES).acquire()
    assert role.tags == {"team": "other"}
