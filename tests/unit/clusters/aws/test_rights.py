"""The policy of the documentation: no more than is called, and no star without a reason."""

from __future__ import annotations

import json
from pathlib import Path

import botocore.session
import pytest

from orchestune.clusters.aws import rights
from orchestune.clusters.aws.names import Names
from orchestune.clusters.aws.requests import teardown
from orchestune.clusters.aws.requests.roles import roles
from tests.unit.clusters.aws import specs


def test_every_right_is_about_a_call_that_there_is() -> None:
    session = botocore.session.get_session()
    for service, operation in rights.RIGHTS:
        assert operation in session.get_service_model(service).operation_names, f"{service}:{operation}"


def test_every_right_is_used_by_the_code() -> None:
    folder = Path(rights.__file__).parent
    code = "".join(path.read_text() for path in folder.rglob("*.py") if path.name != "rights.py")
    assert "get_authorization_token" in (folder.parents[1] / "images/registries/ecr.py").read_text()
    unused = [key for key in rights.RIGHTS if f'"{key[1]}"' not in code]
    assert unused == [("ecr", "GetAuthorizationToken")]


def test_a_call_without_a_right_cannot_be_made() -> None:
    with pytest.raises(KeyError):
        rights.of("iam", "CreateUser")


def test_a_star_stands_only_where_calls_know_no_resources_or_kubernetes_has_made_something() -> None:
    for right in rights.RIGHTS.values():
        for grant in right.grants:
            if grant.on == rights.EVERYTHING:
                reasons = ("has no resource level", "that Kubernetes left", "starts from a launch template")
                assert any(reason in grant.why for reason in reasons), grant


def test_no_action_is_a_pattern_and_what_removes_asks_for_our_tag_or_our_path() -> None:
    for right in rights.RIGHTS.values():
        for grant in right.grants:
            assert not any("*" in action for action in grant.actions)
            if any(action.startswith("ec2:Delete") for action in grant.actions):
                assert grant.condition in ("ours", "guard") or "Kubernetes left" in grant.why, grant


def test_the_parts_of_the_policy_are_each_within_what_iam_takes_and_are_all_of_it() -> None:
    document, parts = rights.policy(), rights.parts()
    assert len({statement["Sid"] for statement in document["Statement"]}) == len(document["Statement"])
    assert [statement for part in parts for statement in part["Statement"]] == document["Statement"]
    sizes = [len(json.dumps(part, separators=(",", ":"))) for part in parts]
    assert max(sizes) <= 6144 and len(sizes) <= 3, sizes


def test_roles_of_the_cluster_may_no_more_than_their_part() -> None:
    spec = specs.spec(specs.FULL_FILE)
    for role in roles(spec, specs.names(spec)):
        for statement in role.own.get("Statement", ()):
            stars = statement["Resource"] == "*"
            assert not stars or "Condition" in statement or statement["Sid"] == "LookingKnowsNoResources", role.part


def test_the_policy_of_the_function_that_removes_a_cluster_is_within_what_iam_takes_however_long_the_name() -> None:
    text = json.dumps(teardown.policy(Names("a" * 40, "ap-southeast-1", "1" * 12)), separators=(",", ":"))
    assert len(text) < 10_240
