"""State of an account beyond moto's resources, and the settings of the fake's clouds that a test may change."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.testbeds.aws import cloud
from tests.testbeds.aws.faults import Faults
from tests.testbeds.aws.identities import ACCOUNT, Identities, Identity
from tests.testbeds.aws.refusals import Refused
from tests.testbeds.aws.wire import Call

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Behaviour:
    """Speed and limits of this cloud."""

    polls: int = 2
    """looks at a resource until it is what it was asked to become"""
    role_lag: int = 1
    """how often EKS cannot assume a role that was just made"""
    policy_lag: int = 2
    """how many calls of a role are judged by the rights that it had before"""
    runtimes: tuple[str, ...] = ("python3.12", "python3.13", "python3.14")
    """what Lambda runs here of what its model lists"""
    read_lag: int = 0
    """how many calls of EC2 do not see a resource that was just made"""
    quotas: dict[str, float] = field(default_factory=lambda: {"L-1216C47A": 640.0, "L-417A185B": 256.0,
                                                              "L-DB2E81BA": 256.0})  # fmt: skip
    """vCPUs by the code of the quota"""
    no_capacity: set[tuple[str, str]] = field(default_factory=set)
    """pairs of instance type and zone in which no machine is to be had"""
    denied: set[str] = field(default_factory=set)
    """actions denied to all, regardless of the policies"""
    terse: bool = False
    """EC2 does not name the permission that lacks"""
    runs: bool = True
    """whether functions that are called run"""
    registry: str = ""
    """where the images of repositories really are; empty: nowhere"""
    endpoint: str = ""
    """where the API servers of clusters are; empty for one that is nowhere"""
    authority: str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg=="
    """the certificate of their authority, base64"""


@dataclass
class Becoming:
    """A document whose state changes after some looks."""

    document: dict[str, Any]
    left: int = 0
    then: Callable[[], None] | None = None

    def begin(self, status: str, polls: int, then: Callable[[], None]) -> None:
        self.document["status"], self.left, self.then = status, polls, then

    def look(self) -> None:
        """One look passes."""
        if self.then is None:
            return
        self.left -= 1
        if self.left <= 0:
            then, self.then = self.then, None
            then()

    def settle(self, status: str) -> Callable[[], None]:
        """The change that gives it `status`."""

        def become() -> None:
            self.document["status"] = status

        return become


@dataclass
class World:
    """Everything behind the front."""

    behaviour: Behaviour = field(default_factory=Behaviour)
    faults: Faults = field(default_factory=Faults)
    identities: Identities = field(default_factory=Identities)
    caller: Identity | None = None
    """who makes the call that is being answered"""
    unsure_roles: dict[str, int] = field(default_factory=dict)
    """how often each role will not be assumed yet, by ARN"""
    unseen: dict[str, int] = field(default_factory=dict)
    """how many more calls of EC2 do not see each resource, by id"""
    service_roles: set[str] = field(default_factory=set)
    """the service-linked roles that the account has"""
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 1 << 30)))

    @property
    def now(self) -> datetime:
        return EPOCH

    def number(self) -> int:
        return next(self.numbers)

    def identifier(self) -> str:
        """Eight hexadecimal digits and more, as the ids of EKS' resources have them."""
        return f"{self.number():08x}-0000-4000-8000-{self.number():012x}"

    def role(self, arn: str) -> Any | None:
        """moto's role by its ARN."""
        return next((role for role in cloud.backend("iam", "aws").get_roles() if role.arn == arn), None)

    def take_on(self, arn: str, name: str) -> Identity:
        """Short-lived credentials of a role for a service, which may what the role's own policies say."""
        role = self.role(arn)
        assert role is not None, f"there is no role {arn}"
        identity = self.identities.take_on(role.name, name, _own(role))
        identity.role, identity.late = arn, self.behaviour.policy_lag
        return identity

    def policy_of(self, who: Identity) -> dict[str, Any] | None:
        """Return the rights of an identity at this call.

        Rights that a role got or lost count some calls later. Refused once the role is gone.
        """
        if not who.role:
            return who.policy
        role = self.role(who.role)
        now = None if role is None else _own(role)
        if now != who.policy and who.late:
            who.late -= 1
            return who.policy
        if now is None:
            raise Refused("InvalidClientTokenId", "The security token included in the request is invalid.", 403)
        who.policy, who.late = now, self.behaviour.policy_lag
        return now

    def principal_exists(self, arn: str) -> bool:
        users = {identity.arn for identity in self.identities.known.values()}
        return arn in users or self.role(arn) is not None or not arn.startswith(f"arn:aws:iam::{ACCOUNT}:")


def _own(role: Any) -> dict[str, Any]:
    statements = [one for text in role.policies.values() for one in json.loads(text)["Statement"]]
    return {"Version": "2012-10-17", "Statement": statements}


def arn(call: Call, rest: str) -> str:
    """An ARN of EKS in this call's region."""
    return f"arn:aws:eks:{call.region}:{ACCOUNT}:{rest}"
