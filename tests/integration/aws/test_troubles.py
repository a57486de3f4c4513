"""What goes wrong at AWS, what the user is told, and that the next command puts it right."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from orchestune.clusters.aws.errors import Expired
from orchestune.errors import Conflict, OrchestuneError
from tests.integration.aws import life, plain, stage
from tests.integration.aws.test_lives import complete
from tests.integration.aws.together import Together
from tests.testbeds.aws.fake import Fake
from tests.testbeds.aws.faults import Fault, named
from tests.testbeds.aws.identities import ACCOUNT
from tests.testbeds.aws.refusals import Refused

REGION_ROLE = "orchestune-orchestrate-cluster-us-west-2-control"


def test_a_quota_that_is_too_small_is_told_before_anything_is_made(aws: Fake) -> None:
    before = aws.inventory()
    aws.behaviour.quotas["L-417A185B"] = 32
    _, notes = stage.provisioner().check(stage.SPEC)
    assert any("not all 4 x p3.8xlarge may start" in note and "32 cores" in note for note in notes)
    [said], _ = stage.provisioner().check(stage.with_pools(stage.CPU, dataclasses.replace(stage.GPU, least=4)))
    assert said.key == "gpu.min_nodes" and "128 cores" in said.message and "32 cores" in said.message
    assert "L-417A185B" in said.hint
    assert aws.inventory() == before


def test_a_quota_that_was_used_up_meanwhile_fails_the_pool_and_update_makes_it_anew(aws: Fake) -> None:
    aws.behaviour.quotas["L-1216C47A"] = 3
    with pytest.raises(OrchestuneError, match="vCPU limit of 3 allows") as caught:
        stage.create()
    assert "cpu" in caught.value.message and "cluster update" in caught.value.hint
    aws.behaviour.quotas["L-1216C47A"] = 64
    stage.provisioner().update(stage.SPEC, stage.Told(), lambda pool: None)
    stage.create()
    complete(aws)


def test_no_machines_in_any_zone_of_a_pool_is_told_with_the_reason_and_update_makes_it_anew(aws: Fake) -> None:
    aws.behaviour.no_capacity |= {("c4.xlarge", f"us-west-2{zone}") for zone in "abc"}
    with pytest.raises(OrchestuneError, match="InsufficientInstanceCapacity") as caught:
        stage.create()
    assert "pool cpu" in caught.value.message
    aws.behaviour.no_capacity.clear()
    stage.provisioner().update(stage.SPEC, stage.Told(), lambda pool: None)
    stage.create()
    complete(aws)


def test_no_machines_in_one_zone_start_in_another(aws: Fake) -> None:
    aws.behaviour.no_capacity.add(("c4.xlarge", "us-west-2a"))
    stage.create()
    complete(aws)


@pytest.mark.parametrize("operation", ["ec2:CreateNatGateway", "eks:CreateCluster", "eks:CreateNodegroup"])
def test_credentials_that_expire_in_the_middle_end_the_command_and_new_ones_go_on(aws: Fake, operation: str) -> None:
    def expire() -> None:
        aws.user.expired = True

    gone = Refused("ExpiredToken", "The security token included in the request is expired", 403)
    aws.faults.plan(Fault(named(operation), gone, then=expire))
    with pytest.raises(Expired, match="run out"):
        stage.create()
    assert stage.counted(aws.inventory())["role"] == 6
    aws.user.expired = False
    stage.create()
    complete(aws)


def test_two_creates_at_once_make_one_cluster(aws: Fake) -> None:
    results = Together().run(*[lambda clock: stage.create(clock=clock)] * 2)
    lost = [one for one in results if isinstance(one, Exception)]
    assert len(lost) == 1 and isinstance(lost[0], Conflict), results
    assert "right now" in lost[0].message or "already" in lost[0].message
    complete(aws)


def test_a_create_while_another_is_in_the_middle_says_who_is_at_work(aws: Fake) -> None:
    def second(clock: Together) -> object:
        while not any(call.name == "eks:CreateCluster" and not call.outcome for call in list(aws.journal)):
            clock.sleep(0.5)
        return stage.create(clock=clock)

    first, late = Together().run(lambda clock: stage.create(clock=clock), second)
    assert isinstance(late, Conflict) and "being made or changed right now, by" in late.message, (first, late)
    assert not isinstance(first, Exception)
    complete(aws)


def test_a_cluster_of_that_name_that_is_not_ours_is_neither_taken_nor_removed(aws: Fake) -> None:
    plain.cluster(stage.NAME)
    before = aws.inventory()
    for command in (stage.create, stage.destroy):
        with pytest.raises(Conflict, match="not ours"):
            command()
    assert aws.inventory() == before


@pytest.mark.parametrize("what", ["role", "repository", "bucket"])
def test_a_name_that_somebody_else_has_is_refused_and_left_alone(aws: Fake, what: str) -> None:
    before = aws.inventory()
    bucket = f"orchestune-{stage.NAME}-us-west-2-{ACCOUNT}"
    if what == "role":
        plain.role(REGION_ROLE, "ec2.amazonaws.com")
    elif what == "repository":
        plain.client("ecr").create_repository(repositoryName=f"{stage.NAME}/orchestune")
    else:
        s3 = plain.client("s3")
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "team", "Value": "other"}]})
    with pytest.raises(Conflict, match="not ours"):
        stage.create()
    if what == "role":
        with pytest.raises(Conflict, match="not ours"):
            stage.destroy()
    else:
        stage.destroy()
    left = dict(aws.inventory())
    assert left.pop(what) and left == {kind: names for kind, names in before.items() if kind != what}


def test_an_interface_of_somebody_else_blocks_the_removal_and_is_named(aws: Fake) -> None:
    before = aws.inventory()
    stage.create()
    ec2 = plain.client("ec2")
    [vpc] = ec2.describe_vpcs(Filters=[{"Name": "tag:orchestune.dev/cluster", "Values": [stage.NAME]}])["Vpcs"]
    [subnet, *_] = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]
    made = ec2.create_network_interface(SubnetId=subnet["SubnetId"], Description="a database")["NetworkInterface"]
    with pytest.raises(Conflict, match=rf"{made['NetworkInterfaceId']} \(a database\)"):
        stage.destroy()
    left = aws.inventory()
    assert REGION_ROLE in left["role"] and vpc["VpcId"] in left["vpc"] and "cluster" not in left
    assert "NAT gateway" not in left and "instance" not in left
    ec2.delete_network_interface(NetworkInterfaceId=made["NetworkInterfaceId"])
    stage.destroy()
    assert aws.inventory() == before


def _remove_addon(aws: Fake) -> None:
    aws.eks.clusters.known["us-west-2", stage.NAME].addons.pop("coredns")


def _remove_pool(aws: Fake) -> None:
    eks = plain.client("eks")
    eks.delete_nodegroup(clusterName=stage.NAME, nodegroupName="gpu")
    eks.get_waiter("nodegroup_deleted").wait(clusterName=stage.NAME, nodegroupName="gpu", WaiterConfig={"Delay": 0})


def _remove_policy(aws: Fake) -> None:
    policy = "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy"
    role = REGION_ROLE.replace("control", "node")
    plain.client("iam").detach_role_policy(RoleName=role, PolicyArn=policy)


def _remove_repository(aws: Fake) -> None:
    plain.client("ecr").delete_repository(repositoryName=f"{stage.NAME}/orchestune", force=True)


def _remove_bucket(aws: Fake) -> None:
    plain.client("s3").delete_bucket(Bucket=f"orchestune-{stage.NAME}-us-west-2-{ACCOUNT}")


def _remove_identity(aws: Fake) -> None:
    cluster = aws.eks.clusters.known["us-west-2", stage.NAME]
    for name in [name for name, one in cluster.associations.items() if "ownerArn" not in one]:
        del cluster.associations[name]


BY_HAND: list[Callable[[Fake], None]] = [
    _remove_addon, _remove_pool, _remove_policy, _remove_repository, _remove_bucket,
    _remove_identity,
]  # fmt: skip


@pytest.mark.parametrize("by_hand", BY_HAND)
def test_what_was_removed_by_hand_is_made_again_or_missed_by_nobody(aws: Fake, by_hand: Any) -> None:
    before = aws.inventory()
    stage.create()
    expected = complete(aws)
    by_hand(aws)
    stage.create()
    assert complete(aws) == expected
    by_hand(aws)
    stage.destroy()
    assert aws.inventory() == before


def test_what_kubernetes_left_behind_is_removed_too(aws: Fake) -> None:
    before = aws.inventory()
    stage.create()
    life.left_by_kubernetes()
    stage.destroy()
    assert aws.inventory() == before
