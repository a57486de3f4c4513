"""A provisioner of AWS on a clock that only its own waiting moves, and what tests ask of clusters made by it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.provisioner import AwsProvisioner
from orchestune.domain.clusters.cluster import ClusterSpec, CompletedStep, Pool, ProvisioningEvent, TeardownSettings
from tests.testbeds.aws.fake import REGION, Fake
from tests.testbeds.aws.fixtures import Died
from tests.testbeds.aws.wire import Call

NAME = "orchestrate-cluster"
CPU = Pool("cpu", ("c4.xlarge",), 1, 4, key="cpu")
GPU = Pool("gpu", ("p3.8xlarge",), 0, 4, gpu=True, key="gpu")
SPEC = ClusterSpec(
    "aws", NAME, (CPU, GPU), region=REGION, bucket=True,
    images={"autoscaler": "example.org/autoscaler:v1", "device_plugin": "example.org/plugin:v1"},
)  # fmt: skip
"""the paper's file, with a bucket"""
RETIRING = dataclasses.replace(SPEC, retirement=TeardownSettings(8 * 3600.0, "s3://team-archive/vision"))
"""the same, which destroys itself when it is idle"""
READING_PREFIXES = "Describe", "List", "Get", "Head"


@dataclass
class Clock:
    """A clock that advances only when a caller sleeps."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class RecordedEvents:
    """Collects the events that a user sees."""

    events: list[ProvisioningEvent] = field(default_factory=list)

    def __call__(self, event: ProvisioningEvent) -> None:
        self.events.append(event)

    def ended(self, *what: CompletedStep) -> list[str]:
        """Return the resources of the events of these kinds, in order."""
        return [event.resource.title for event in self.events if event.what in what]


class Time(Protocol):
    """The clock and the waiting of a provisioner."""

    def __call__(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


def provisioner(clock: Time | None = None) -> AwsProvisioner:
    """As a new process would have it."""
    clock = clock or Clock()
    return AwsProvisioner(Aws(REGION, clock=clock, sleep=clock.sleep))


def create(spec: ClusterSpec = SPEC, clock: Time | None = None) -> RecordedEvents:
    """Make it."""
    events = RecordedEvents()
    provisioner(clock).apply(spec, events)
    return events


def destroy(name: str = NAME, clock: Time | None = None) -> RecordedEvents:
    """Remove it, and have the provider's word that nothing is left."""
    events = RecordedEvents()
    cluster_provisioner = provisioner(clock)
    cluster_provisioner.destroy(name, events)
    proof = cluster_provisioner.prove(name)
    assert not proof.left, proof.left
    return events


def with_pools(*pools: Pool, **changes: Any) -> ClusterSpec:
    """Return the same cluster with other pools."""
    return dataclasses.replace(SPEC, pools=pools or SPEC.pools, **changes)


def counted(inventory: Mapping[str, set[str]]) -> dict[str, int]:
    """Return the number of resources of each kind: comparable between two runs that assigned other ids."""
    return {kind: len(names) for kind, names in inventory.items()}


def changes(call: Call) -> bool:
    """Return True if a call changes something."""
    return not call.operation.startswith(READING_PREFIXES)


def die_again_and_again(aws: Fake, do: Callable[[], object]) -> int:
    """Do it in processes that die at every change, one after the other, until it is done; how many died.

    Each change is once the last thing that a process asked for. What AWS has after a process that died right after a
    change is what it has after one that died right before the next, and calls that only look leave AWS as it was: so
    every point is passed at which an interruption leaves something of its own.
    """
    done: set[str] = set()
    for deaths in range(400):
        fresh: set[str] = set()

        aws.faults.die_where(_new_change(done, fresh))
        try:
            do()
        except Died:
            done |= fresh
        else:
            return deaths
        finally:
            aws.faults.clear()
    raise AssertionError(f"not done after {deaths} processes")


def _new_change(done: set[str], fresh: set[str]) -> Callable[[Call], bool]:
    def chosen(call: Call) -> bool:
        if not changes(call) or call.name in _MARKS or _written(call) in done:
            return False
        fresh.add(_written(call))
        return True

    return chosen


_MARKS = "iam:TagRole", "iam:UntagRole"
"""by which processes show each other that they live"""


def _written(call: Call) -> str:
    parameters = {key: value for key, value in call.parameters.items() if not key.lower().endswith("token")}
    return f"{call.name} {sorted(parameters.items(), key=lambda item: item[0])}"
