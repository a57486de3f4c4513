"""The documented policy against what calls take: enough, no more, and each missing permission is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestune.clusters.aws import rights
from orchestune.clusters.aws.client import Aws
from orchestune.errors import Denied
from tests.integration.aws import life
from tests.testbeds.aws.actions import Need
from tests.testbeds.aws.fake import REGION, Fake
from tests.testbeds.aws.wire import Call

RECORDED: list[Call] = []
"""of one whole life, in this process"""
PUSHED = set(rights.PUSHING.actions)
"""for the registry, which is not of this fake"""
UNTAKEN = {
    "ecr:GetAuthorizationToken": "pushing images, which is not the provisioner's",
    "eks:DeleteAccessEntry": "somebody gets another role",
    "eks:DeleteAddon": "an add-on that failed",
    "eks:ListClusters": "`cluster list`",
    "ec2:ModifyVpcEndpoint": "a route table that somebody has removed",
    "ec2:ReplaceRoute": "a gateway that somebody has removed",
    "lambda:UpdateFunctionCode": "clusters that another version has made",
    "s3:AbortMultipartUpload": "uploads that were broken off",
    "s3:DeleteObjectVersion": "buckets in which somebody has switched versions on",
    "servicequotas:GetAWSDefaultServiceQuota": "quotas that the account has never changed",
    "sts:GetCallerIdentity": "everybody may; it stands there for who reads the policy",
}
"""actions that are granted and not taken here, and why they are granted"""


def recorded(aws: Fake) -> list[Call]:
    if not RECORDED:
        RECORDED.extend(life.lived(aws))
    return RECORDED


def actions() -> set[str]:
    return {action for statement in rights.policy()["Statement"] for action in statement["Action"]}


def test_the_documented_policy_is_enough_for_a_whole_life(aws: Fake) -> None:
    aws.user.policy = rights.policy()
    for call in life.lived(aws):
        if call.parameters.get("Bucket") == life.ARCHIVE:
            continue  # the user's own, which the policy does not include; without the permission an error says so
        assert "Denied" not in call.outcome and "Unauthorized" not in call.outcome, (call, call.needs)


def test_no_action_is_in_the_policy_that_nothing_takes(aws: Fake) -> None:
    actions_used = {need.action for call in recorded(aws) for need in call.needs}
    assert actions() - PUSHED - actions_used == set(UNTAKEN)


@pytest.mark.parametrize("action", sorted(actions() - PUSHED - set(UNTAKEN)))
def test_a_permission_that_lacks_is_told_by_its_name(aws: Fake, action: str) -> None:
    call = next(call for call in recorded(aws) if any(need.action == action for need in call.needs))
    number = len(aws.journal)
    aws.behaviour.denied = {action}
    with pytest.raises(Denied) as caught:
        Aws(REGION).call(call.service, call.operation, call.parameters, about="a thing")
    assert action in caught.value.message and "a thing" in caught.value.message and caught.value.hint
    aws.behaviour.denied = set()
    assert [one.name for one in aws.journal[number:]] == [call.name], "a denial is not tried again"


def test_ec2_that_does_not_say_which_permission_lacks_is_made_to(aws: Fake) -> None:
    aws.behaviour.terse, aws.behaviour.denied = True, {"ec2:CreateVpc"}
    with pytest.raises(Denied, match="ec2:CreateVpc"):
        Aws(REGION).call("ec2", "CreateVpc", {"CidrBlock": "10.0.0.0/16"}, about="network demo")


def test_no_policy_has_a_star_without_a_reason_beside_it(aws: Fake) -> None:
    policies = [rights.policy()]
    policies += [
        json.loads(call.parameters["PolicyDocument"]) for call in recorded(aws) if call.operation == "PutRolePolicy"
    ]
    for statement in (one for policy in policies for one in policy["Statement"]):
        assert not any("*" in action for action in _many(statement["Action"])), statement
        if "*" in _many(statement["Resource"]):
            assert "Condition" in statement or len(statement.get("Sid", "")) > 10, statement


def _many(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def test_what_calls_take_is_what_the_table_says(aws: Fake) -> None:
    for call in recorded(aws):
        actions_needed = {need.action for need in call.needs if isinstance(need, Need)}
        assert actions_needed <= set(rights.of(call.service, call.operation).actions) | {"sts:GetCallerIdentity"}, (
            call.name
        )
