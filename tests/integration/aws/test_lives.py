"""A cluster's whole life at the fake of AWS: made, made again, interrupted anywhere, removed."""

from __future__ import annotations

import dataclasses

import pytest

from orchestune.domain.clusters.cluster import CompletedStep, NetworkSpec
from tests.integration.aws import life, plain, stage
from tests.testbeds.aws.fake import Fake
from tests.testbeds.aws.faults import Fault, throttled
from tests.testbeds.aws.refusals import Cut
from tests.testbeds.aws.wire import Call

CHANGED = dataclasses.replace(
    stage.RETIRING,
    pools=(dataclasses.replace(stage.CPU, min_nodes=2), life.BIG),
    network=NetworkSpec(allow=("203.0.113.0/24",)),
)
"""another size, a pool that comes and one that goes, another endpoint, and an idle cluster destroys itself"""
COMPLETE = {"cluster": 1, "node group": 2, "add-on": 5, "bucket": 1, "NAT gateway": 1, "instance": 1}


def complete(aws: Fake) -> dict[str, int]:
    """Return the resources of the kinds that a whole cluster has."""
    counts = stage.counted(aws.inventory())
    assert {kind: counts[kind] for kind in COMPLETE} == COMPLETE
    return counts


def test_a_cluster_is_made_and_removed_and_only_what_was_there_before_is_left(aws: Fake) -> None:
    _, subnets = plain.network()
    other = plain.role("somebody-elses", "ec2.amazonaws.com")
    plain.client("ec2").create_network_interface(SubnetId=subnets[0])
    plain.client("ecr").create_repository(repositoryName="somebody/else")
    before = aws.inventory()
    stage.create()
    complete(aws)
    events = stage.destroy()
    assert aws.inventory() == before and aws.world.role(other)
    assert any("control plane" in one for one in events.ended(CompletedStep.REMOVED))


def test_a_second_create_finds_everything_and_makes_nothing(aws: Fake) -> None:
    first = stage.create()
    inventory = aws.inventory()
    second = stage.create()
    assert aws.inventory() == inventory
    assert not second.ended(CompletedStep.MADE) and set(second.ended(CompletedStep.FOUND)) == set(
        first.ended(CompletedStep.MADE)
    )


@pytest.mark.parametrize("after", [True, False], ids=["after", "before"])
def test_connections_that_break_at_every_request_before_or_after_it_took_effect_make_nothing_twice(
    aws: Fake, after: bool
) -> None:
    before = aws.inventory()
    stage.create()
    expected = complete(aws)
    stage.destroy()
    lost: set[tuple[str, str]] = set()

    def first_time(call: Call) -> bool:
        parameters = {key: value for key, value in call.parameters.items() if not key.lower().endswith("token")}
        key = (call.name, repr(sorted(parameters.items(), key=lambda item: item[0])))
        new = key not in lost
        lost.add(key)
        return new

    aws.faults.plan(Fault(first_time, Cut(), times=10_000, after=after))
    stage.create()
    assert complete(aws) == expected and len(lost) > 100
    stage.provisioner().update(CHANGED, stage.RecordedEvents(), lambda pool, beat: None)
    assert stage.provisioner().changes(CHANGED) == []
    stage.destroy()
    assert aws.inventory() == before and len(lost) > 200


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_processes_that_die_at_every_change_make_one_cluster_change_it_and_remove_it(aws: Fake) -> None:
    before = aws.inventory()
    stage.create()
    expected = complete(aws)
    stage.provisioner().update(CHANGED, stage.RecordedEvents(), lambda pool, beat: None)
    changed = stage.counted(aws.inventory())
    stage.destroy()
    assert aws.inventory() == before

    def update() -> None:
        stage.provisioner().update(CHANGED, stage.RecordedEvents(), lambda pool, beat: None)

    assert stage.die_again_and_again(aws, stage.create) > 50
    assert complete(aws) == expected
    assert stage.die_again_and_again(aws, update) > 5
    assert stage.counted(aws.inventory()) == changed and stage.provisioner().changes(CHANGED) == []
    assert stage.die_again_and_again(aws, stage.destroy) > 30
    assert aws.inventory() == before


def test_throttling_of_every_operation_is_waited_out(aws: Fake) -> None:
    times: dict[str, int] = {}

    class Busy(Fault):
        pass

    def twice(call: Call) -> bool:
        times[call.name] = times.get(call.name, 0) + 1
        busy.error = throttled(call.name)
        return times[call.name] <= 2

    busy = aws.faults.plan(Busy(twice, Cut(), times=10_000))
    stage.create()
    complete(aws)
    stage.destroy()
    assert all(count > 2 for count in times.values()) and len(times) > 50


def test_a_slow_cloud_in_which_nothing_is_known_at_once_is_waited_for(aws: Fake) -> None:
    before = aws.inventory()
    aws.behaviour.read_lag, aws.behaviour.role_lag, aws.behaviour.polls = 1, 3, 5
    stage.create()
    complete(aws)
    stage.destroy()
    assert aws.inventory() == before
