"""IAM where moto says yes too early: a role is known everywhere only after a while; tags of everything."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.models import SERVICE_NAME_CONVERSION, AWSManagedPolicy

from tests.testbeds.aws import cloud
from tests.testbeds.aws.identities import ACCOUNT
from tests.testbeds.aws.refusals import Refused
from tests.testbeds.aws.wire import Call
from tests.testbeds.aws.world import World

MOST = 10_240
"""characters of the policies of a role's own"""
SERVICE_NAME_CONVERSION["spot"] = "EC2Spot"


class Iam:
    """Rules for roles."""

    def __init__(self, world: World) -> None:
        self._world = world

    def handler(self, call: Call) -> Callable[[Call], dict[str, Any]] | None:
        return None

    def before(self, call: Call) -> None:
        if call.operation == "CreateRole" and call.parameters["RoleName"].startswith("AWSServiceRoleFor"):
            raise Refused("InvalidInput", "Service-linked roles have names of their own")
        if call.operation == "CreateServiceLinkedRole":
            path = f"/aws-service-role/{call.parameters['AWSServiceName']}/"
            for role in cloud.backend("iam", "aws").get_roles():
                if role.path == path:
                    text = (
                        f"Service role name {role.name} has been taken in this account, please try a different suffix."
                    )
                    raise Refused("InvalidInput", text)
        if call.operation == "PutRolePolicy":
            _fits(call.parameters)
        if call.operation == "AttachRolePolicy":
            _bring(call.parameters["PolicyArn"])

    def after(self, call: Call, result: dict[str, Any]) -> dict[str, Any] | None:
        if call.operation == "CreateRole":
            self._world.unsure_roles[result["Role"]["Arn"]] = self._world.behaviour.role_lag
        if call.operation == "DeleteRole":
            for arn in [one for one in self._world.unsure_roles if one.endswith(f"/{call.parameters['RoleName']}")]:
                del self._world.unsure_roles[arn]
        return None


def _fits(parameters: dict[str, Any]) -> None:
    """All policies of a role's own have one limit together, in which white space does not count."""
    role = next((one for one in cloud.backend("iam", "aws").get_roles() if one.name == parameters["RoleName"]), None)
    policies = {**(role.policies if role else {}), parameters["PolicyName"]: parameters["PolicyDocument"]}
    if sum(len("".join(text.split())) for text in policies.values()) > MOST:
        text = f"Maximum policy size of {MOST} bytes exceeded for role {parameters['RoleName']}"
        raise Refused("LimitExceeded", text, 409)


def _bring(arn: str) -> None:
    """Make a policy of AWS known to moto, which otherwise reads all thousand of them for each empty account."""
    policies = cloud.backend("iam", "aws").managed_policies
    name, document = _policies().get(arn.removeprefix("arn:aws:iam::aws:policy/"), ("", None))
    if document is not None and arn not in policies:
        policies[arn] = AWSManagedPolicy.from_data(name, ACCOUNT, "aws", document)


@cache
def _policies() -> dict[str, tuple[str, Any]]:
    """AWS' own policies by path and name."""
    data: dict[str, Any] = json.loads(aws_managed_policies_data)
    return {f"{policy['Path'].lstrip('/')}{name}": (name, policy) for name, policy in data.items()}
