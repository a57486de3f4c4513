"""Planned faults: tests plan them, the front asks for them at each call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.testbeds.aws.refusals import Cut, Refused
from tests.testbeds.aws.wire import Call

Choice = Callable[[Call], bool]


@dataclass
class Fault:
    """Happens at the calls that `at` chooses, `times` times; before the service does its work, or after."""

    at: Choice
    error: Refused | Cut
    times: int = 1
    after: bool = False
    then: Callable[[], None] | None = None
    """what else happens at that moment"""


@dataclass
class Faults:
    """The plan."""

    planned: list[Fault] = field(default_factory=list)
    dead: bool = False
    """nothing is answered any more: the caller's machine is off the network"""

    def plan(self, fault: Fault) -> Fault:
        self.planned.append(fault)
        return fault

    def before(self, call: Call) -> None:
        if self.dead:
            raise Cut
        self._look(call, after=False)

    def after(self, call: Call) -> None:
        self._look(call, after=True)

    def _look(self, call: Call, after: bool) -> None:
        for fault in self.planned:
            if fault.after is after and fault.times and fault.at(call):
                fault.times -= 1
                if fault.then:
                    fault.then()
                raise fault.error

    def throttle(self, operation: str, times: int = 1) -> Fault:
        """This operation is asked too often for a while, in the words of its service."""
        return self.plan(Fault(named(operation), throttled(operation), times))

    def refuse(self, operation: str, code: str, message: str, times: int = 1, status: int = 400) -> Fault:
        return self.plan(Fault(named(operation), Refused(code, message, status), times))

    def die_at(self, number: int, *, after: bool = False) -> Fault:
        """The network goes away for good at the call with this number, before or after it took effect."""
        return self.die_where(lambda call: call.number == number, after=after)

    def die_where(self, at: Choice, *, after: bool = True) -> Fault:
        """Plan the death of the process at the first call that `at` chooses."""

        def die() -> None:
            self.dead = True

        return self.plan(Fault(at, Cut(), after=after, then=die))

    def clear(self) -> None:
        self.planned.clear()
        self.dead = False


def named(operation: str) -> Choice:
    """Calls of `service:Operation`."""
    return lambda call: call.name == operation


def throttled(operation: str) -> Refused:
    """Build the throttling error of the service of an operation: services use four different codes."""
    service = operation.partition(":")[0]
    if service == "ec2":
        return Refused("RequestLimitExceeded", "Request limit exceeded.", 503)
    if service == "s3":
        return Refused("SlowDown", "Please reduce your request rate.", 503)
    if service in ("iam", "sts", "autoscaling", "elb", "elbv2"):
        return Refused("Throttling", "Rate exceeded", 400)
    if service == "eks":
        return Refused("ThrottlingException", "Rate exceeded", 429)
    return Refused("ThrottlingException", "Rate exceeded", 400)
