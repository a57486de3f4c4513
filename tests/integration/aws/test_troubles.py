"""Failures at AWS: the message to the user, and the next command that repairs them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from orchestune.clusters.aws.errors import CredentialsExpired
from orchestune.domain.clusters.cluster import AccessGrant, ClusterSpec, CompletedStep, Planned
from orchestune.errors import Conflict, OrchestuneError
from tests.integration.aws import life, plain, stage
from tests.integration.aws.test_lives import complete
from tests.integration.aws.together import Together
from tests.testbeds.aws.fake import REGION, Fake
from tests.testbeds.aws.faults import Fault, named
from tests.testbeds.aws.identities import ACCOUNT
from tests.testbeds.aws.refusals import Refused

REGION_ROLE = "orchestune-orchestrate-cluster-us-west-2-control"


def test_a_quota_that_is_too_small_is_told_before_anything_is_made(aws: Fake) -> None:
    before = aws.inventory()
    aws.behaviour.quotas["L-417A185B"] = 32
    _, notes = stage.provisioner().check(stage.SPEC)
    assert any("not all 4 x p3.8xlarge may start" in note and "32 cores" in note for note in notes)
    [problem], _ = stage.provisioner().check(stage.with_pools(stage.CPU, dataclasses.replace(stage.GPU, min_nodes=4)))
    assert problem.key == "gpu.min_nodes" and "128 cores" in problem.message and "32 cores" in problem.message
    assert "L-417A185B" in problem.hint
    assert aws.inventory() == before


@pytest.mark.parametrize("again", ["create", "update"])
def test_a_quota_that_was_used_up_meanwhile_fails_the_pool_and_the_next_command_makes_it_anew(
    aws: Fake, again: str
) -> None:
    aws.behaviour.quotas["L-1216C47A"] = 3
    with pytest.raises(OrchestuneError, match="vCPU limit of 3 allows") as caught:
        stage.create()
    assert "cpu" in caught.value.message and "the same command recreates it" in caught.value.hint
    aws.behaviour.quotas["L-1216C47A"] = 64
    if again == "update":
        stage.provisioner().update(stage.SPEC, stage.RecordedEvents(), lambda pool, beat: None)
    assert ("pool", "cpu") in {(one.kind, one.name) for one in stage.provisioner().plan(stage.SPEC)}
    assert ("pool cpu" in stage.create().ended(CompletedStep.MADE)) is (again == "create")
    complete(aws)


def test_a_pool_that_failed_may_have_other_machines(aws: Fake) -> None:
    aws.behaviour.no_capacity |= {("c4.xlarge", f"us-west-2{zone}") for zone in "abc"}
    with pytest.raises(OrchestuneError, match="InsufficientInstanceCapacity"):
        stage.create()
    other = stage.with_pools(dataclasses.replace(stage.CPU, instance_types=("m5.xlarge",)), stage.GPU)
    assert stage.provisioner().check(other)[0] == []
    stage.create(other)
    assert complete(aws)
    larger = stage.with_pools(dataclasses.replace(other.pools[0], disk=200 * 2**30), stage.GPU)
    assert [one.key for one in stage.provisioner().check(larger)[0]] == ["cpu.disk"]


def test_no_machines_in_any_zone_of_a_pool_is_told_with_the_reason_and_update_makes_it_anew(aws: Fake) -> None:
    aws.behaviour.no_capacity |= {("c4.xlarge", f"us-west-2{zone}") for zone in "abc"}
    with pytest.raises(OrchestuneError, match="InsufficientInstanceCapacity") as caught:
        stage.create()
    assert "pool cpu" in caught.value.message
    aws.behaviour.no_capacity.clear()
    stage.provisioner().update(stage.SPEC, stage.RecordedEvents(), lambda pool, beat: None)
    stage.create()
    complete(aws)


def test_no_machines_in_one_zone_start_in_another(aws: Fake) -> None:
    aws.behaviour.no_capacity.add(("c4.xlarge", "us-west-2a"))
    stage.create()
    complete(aws)


EXPIRED = Refused("ExpiredToken", "The security token included in the request is expired", 403)


def expire(aws: Fake, operation: str) -> None:
    """The credentials run out at the next such call."""

    def end() -> None:
        aws.user.expired = True

    aws.faults.plan(Fault(named(operation), EXPIRED, then=end))


@pytest.mark.parametrize("operation", ["ec2:CreateNatGateway", "eks:CreateCluster", "eks:CreateNodegroup"])
def test_credentials_that_expire_in_the_middle_end_the_command_and_new_ones_go_on(aws: Fake, operation: str) -> None:
    expire(aws, operation)
    with pytest.raises(CredentialsExpired, match="have expired"):
        stage.create()
    assert stage.counted(aws.inventory())["role"] == 6
    aws.user.expired = False
    stage.create()
    complete(aws)


def _update() -> object:
    changed = stage.with_pools(dataclasses.replace(stage.CPU, min_nodes=2), life.BIG)
    stage.provisioner().update(changed, stage.RecordedEvents(), lambda pool, beat: None)
    return stage.provisioner().changes(changed)


COMMANDS: list[tuple[str, Callable[[], object], object]] = [
    ("eks:CreateNodegroup", _update, []),
    ("eks:UpdateNodegroupConfig", _update, []),
    ("eks:DeleteNodegroup", _update, []),
    ("eks:DescribeNodegroup", lambda: getattr(stage.provisioner().status(stage.NAME), "name", ""), stage.NAME),
    ("eks:ListClusters", lambda: [one.name for one in stage.provisioner().clusters()], [stage.NAME]),
    ("ecr:DescribeRepositories", lambda: stage.provisioner().reach(stage.NAME) is not None, True),
]


@pytest.mark.parametrize(("operation", "command", "answer"), COMMANDS, ids=[item[0] for item in COMMANDS])
def test_credentials_that_expire_in_the_middle_of_other_commands_end_them_and_new_ones_go_on(
    aws: Fake, operation: str, command: Callable[[], object], answer: object
) -> None:
    before = aws.inventory()
    stage.create()
    expire(aws, operation)
    with pytest.raises(CredentialsExpired, match="have expired") as caught:
        command()
    assert "log in again" in caught.value.hint
    aws.user.expired = False
    assert command() == answer
    stage.destroy()
    assert aws.inventory() == before


@pytest.mark.parametrize(
    "operation",
    ["eks:DeleteNodegroup", "eks:DeleteCluster", "ec2:DeleteNatGateway", "ec2:DeleteSubnet", "s3:DeleteBucket",
     "iam:DeleteRole"],
)  # fmt: skip
def test_credentials_that_expire_while_a_cluster_is_removed_leave_what_new_ones_remove(
    aws: Fake, operation: str
) -> None:
    before = aws.inventory()
    stage.create()
    expire(aws, operation)
    with pytest.raises(CredentialsExpired, match="have expired"):
        stage.destroy()
    aws.user.expired = False
    stage.destroy()
    assert aws.inventory() == before


def test_a_proof_without_credentials_is_none_and_says_so_once(aws: Fake) -> None:
    stage.create()
    cluster_provisioner = stage.provisioner()
    cluster_provisioner.payer()
    aws.faults.plan(Fault(lambda call: True, Refused("ExpiredToken", "The security token is expired", 403), 1000))
    proof = cluster_provisioner.prove(stage.NAME)
    aws.faults.clear()
    assert proof.looked == () and [one.name for one in proof.left] == ["could not be checked"]
    assert "have expired" in proof.left[0].why


def test_two_creates_at_once_make_one_cluster(aws: Fake) -> None:
    results = Together().run(*[lambda clock: stage.create(clock=clock)] * 2)
    lost = [one for one in results if isinstance(one, Exception)]
    assert len(lost) == 1 and isinstance(lost[0], Conflict), results
    assert "being created" in lost[0].message or "already" in lost[0].message
    complete(aws)


def test_a_create_while_another_is_in_the_middle_says_who_is_at_work(aws: Fake) -> None:
    def second(clock: Together) -> object:
        while not any(call.name == "eks:CreateCluster" and not call.outcome for call in list(aws.journal)):
            clock.sleep(0.5)
        return stage.create(clock=clock)

    first, late = Together().run(lambda clock: stage.create(clock=clock), second)
    assert isinstance(late, Conflict) and "being created or changed by" in late.message, (first, late)
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
    inventory = dict(aws.inventory())
    assert inventory.pop(what) and inventory == {kind: names for kind, names in before.items() if kind != what}


def test_an_interface_of_somebody_else_blocks_the_removal_and_is_named(aws: Fake) -> None:
    before = aws.inventory()
    stage.create()
    ec2 = plain.client("ec2")
    [vpc] = ec2.describe_vpcs(Filters=[{"Name": "tag:orchestune.dev/cluster", "Values": [stage.NAME]}])["Vpcs"]
    [subnet, *_] = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]
    interface = ec2.create_network_interface(SubnetId=subnet["SubnetId"], Description="a database")["NetworkInterface"]
    with pytest.raises(Conflict, match=rf"{interface['NetworkInterfaceId']} \(a database\)"):
        stage.destroy()
    inventory = aws.inventory()
    assert REGION_ROLE in inventory["role"] and vpc["VpcId"] in inventory["vpc"] and "cluster" not in inventory
    assert "NAT gateway" not in inventory and "instance" not in inventory
    ec2.delete_network_interface(NetworkInterfaceId=interface["NetworkInterfaceId"])
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


def _one(operation: str, key: str, part: str, **more: Any) -> Any:
    """A resource of EC2 of the cluster, by the part that it is."""
    name = "Filter" if operation == "describe_nat_gateways" else "Filters"
    ours = [{"Name": "tag:orchestune.dev/cluster", "Values": [stage.NAME]},
            {"Name": "tag:orchestune.dev/part", "Values": [part]}]  # fmt: skip
    resources = getattr(plain.client("ec2"), operation)(**{name: ours}, **more)[key]
    return next(one for one in resources if one.get("State") not in ("deleted", "deleting"))


def _remove_gateway(aws: Fake) -> None:
    """The way out; its address stays."""
    ec2 = plain.client("ec2")
    identity = _one("describe_nat_gateways", "NatGateways", "way-out")["NatGatewayId"]
    ec2.delete_nat_gateway(NatGatewayId=identity)
    while ec2.describe_nat_gateways(NatGatewayIds=[identity])["NatGateways"][0]["State"] != "deleted":
        pass


def _remove_internet(aws: Fake) -> None:
    """The internet gateway, which takes the NAT gateway's going first."""
    _remove_gateway(aws)
    ec2, gateway = plain.client("ec2"), _one("describe_internet_gateways", "InternetGateways", "gateway")
    identity, vpc = gateway["InternetGatewayId"], gateway["Attachments"][0]["VpcId"]
    ec2.detach_internet_gateway(InternetGatewayId=identity, VpcId=vpc)
    ec2.delete_internet_gateway(InternetGatewayId=identity)


def _remove_address(aws: Fake) -> None:
    _remove_gateway(aws)
    plain.client("ec2").release_address(AllocationId=_one("describe_addresses", "Addresses", "way-out")["AllocationId"])


def _remove_route(aws: Fake) -> None:
    table = _one("describe_route_tables", "RouteTables", "routes-private")["RouteTableId"]
    plain.client("ec2").delete_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0")


def _remove_table(aws: Fake) -> None:
    ec2, table = plain.client("ec2"), _one("describe_route_tables", "RouteTables", "routes-private")
    for pair in table["Associations"]:
        ec2.disassociate_route_table(AssociationId=pair["RouteTableAssociationId"])
    ec2.delete_route_table(RouteTableId=table["RouteTableId"])


def _remove_endpoint(aws: Fake) -> None:
    identity = _one("describe_vpc_endpoints", "VpcEndpoints", "storage")["VpcEndpointId"]
    plain.client("ec2").delete_vpc_endpoints(VpcEndpointIds=[identity])


def _remove_public_subnet(aws: Fake) -> None:
    """One without a NAT gateway in it."""
    identity = _one("describe_subnets", "Subnets", "public-us-west-2c")["SubnetId"]
    ec2 = plain.client("ec2")
    tables = ec2.describe_route_tables(Filters=[{"Name": "association.subnet-id", "Values": [identity]}])
    for pair in tables["RouteTables"][0]["Associations"]:
        if pair.get("SubnetId") == identity:
            ec2.disassociate_route_table(AssociationId=pair["RouteTableAssociationId"])
    ec2.delete_subnet(SubnetId=identity)


def _remove_role(aws: Fake) -> None:
    iam, name = plain.client("iam"), REGION_ROLE.replace("control", "autoscaler")
    iam.delete_role_policy(RoleName=name, PolicyName="orchestune")
    iam.delete_role(RoleName=name)


def _remove_access(aws: Fake) -> None:
    for who in [grant.who for grant in SHARED.access]:
        plain.client("eks").delete_access_entry(clusterName=stage.NAME, principalArn=who)


SHARED = dataclasses.replace(stage.SPEC, access=(AccessGrant(f"arn:aws:iam::{ACCOUNT}:user/bob", "editor"),))
BY_HAND: list[Callable[[Fake], None]] = [
    _remove_addon, _remove_pool, _remove_policy, _remove_repository, _remove_bucket, _remove_identity,
    _remove_gateway, _remove_internet, _remove_address, _remove_route, _remove_table, _remove_endpoint,
    _remove_public_subnet, _remove_role, _remove_access,
]  # fmt: skip


def routed(aws: Fake) -> None:
    """Every subnet of the cluster has a way out through a gateway that is there, and to S3."""
    ec2, query = plain.client("ec2"), {"Filters": [{"Name": "tag:orchestune.dev/cluster", "Values": [stage.NAME]}]}
    nats = ec2.describe_nat_gateways(Filter=query["Filters"])["NatGateways"]
    ways = {one["NatGatewayId"] for one in nats if one["State"] == "available"}
    ways |= {one["InternetGatewayId"] for one in ec2.describe_internet_gateways(**query)["InternetGateways"]}
    tables = ec2.describe_route_tables(**query)["RouteTables"]
    for table in tables:
        [way] = [one for one in table["Routes"] if one.get("DestinationCidrBlock") == "0.0.0.0/0"]
        assert ways & {way.get("GatewayId"), way.get("NatGatewayId")}, way
    out = {pair["SubnetId"] for table in tables for pair in table["Associations"] if "SubnetId" in pair}
    assert out == {one["SubnetId"] for one in ec2.describe_subnets(**query)["Subnets"]}
    endpoints = [one for one in ec2.describe_vpc_endpoints(**query)["VpcEndpoints"] if one["State"] == "available"]
    assert {table["RouteTableId"] for table in tables} <= set(endpoints[0]["RouteTableIds"])


def _by_create_again() -> object:
    stage.create(SHARED)
    return stage.provisioner().changes(SHARED)


def _mended() -> object:
    cluster_provisioner = stage.provisioner()
    cluster_provisioner.update(SHARED, stage.RecordedEvents(), lambda pool, beat: None)
    return stage.provisioner().changes(SHARED)


@pytest.mark.parametrize("by_hand", BY_HAND)
def test_what_was_removed_by_hand_is_made_again_or_missed_by_nobody(aws: Fake, by_hand: Callable[[Fake], None]) -> None:
    aws.world.identities.add("bob")
    before = aws.inventory()
    stage.create(SHARED)
    expected = complete(aws)
    routed(aws)
    for mend in (_by_create_again, _mended):
        by_hand(aws)
        assert mend() == []
        assert complete(aws) == expected
        routed(aws)
    by_hand(aws)
    stage.destroy()
    assert aws.inventory() == before


def test_an_update_says_what_it_makes_anew_and_nothing_of_what_is_there(aws: Fake) -> None:
    stage.create()
    _remove_gateway(aws)
    _remove_addon(aws)
    assert [(one.kind, one.name) for one in stage.provisioner().changes(stage.SPEC)] == [
        ("NAT gateway", "way-out"), ("routes", "private"), ("add-on", "coredns"),
    ]  # fmt: skip
    events = stage.RecordedEvents()
    stage.provisioner().update(stage.SPEC, events, lambda pool, beat: None)
    assert events.ended(*(what for what in CompletedStep if what is not CompletedStep.WAITING)) == [
        "NAT gateway way-out", "routes private", "add-on coredns",
    ]  # fmt: skip
    routed(aws)


def _failed(aws: Fake) -> None:
    addon = aws.eks.clusters.known["us-west-2", stage.NAME].addons["coredns"]
    issue = {"code": "ConfigurationConflict", "message": "Conflicts found when trying to apply.", "resourceIds": []}
    addon.document.update(status="CREATE_FAILED", health={"issues": [issue]})


def _going(aws: Fake) -> None:
    plain.client("eks").delete_addon(clusterName=stage.NAME, addonName="coredns")


@pytest.mark.parametrize("mend", [_by_create_again, _mended], ids=["create", "update"])
@pytest.mark.parametrize("trouble", [_failed, _going])
def test_an_addon_that_failed_or_is_going_is_made_anew(
    aws: Fake, trouble: Callable[[Fake], None], mend: Callable[[], object]
) -> None:
    aws.world.identities.add("bob")
    stage.create(SHARED)
    expected = complete(aws)
    addons = aws.eks.clusters.known["us-west-2", stage.NAME].addons
    first = addons["coredns"].document["addonArn"]
    trouble(aws)
    assert mend() == []
    assert complete(aws) == expected
    addon = addons["coredns"].document
    assert addon["status"] == "ACTIVE" and addon["addonArn"] != first


def test_what_an_addon_failed_of_is_told_before_it_is_made_anew(aws: Fake) -> None:
    stage.create()
    _failed(aws)
    why = "repaired: recreated, since it failed: Conflicts found when trying to apply."
    assert [(one.title, one.detail) for one in stage.provisioner().changes(stage.SPEC)] == [("add-on coredns", why)]


def _spoil(aws: Fake) -> None:
    """Everything stays that `create` has made, and lacks something inside."""
    ec2, iam = plain.client("ec2"), plain.client("iam")
    ec2.modify_vpc_attribute(VpcId=_one("describe_vpcs", "Vpcs", "network")["VpcId"], EnableDnsSupport={"Value": False})
    table = _one("describe_route_tables", "RouteTables", "routes-private")
    ec2.delete_route(RouteTableId=table["RouteTableId"], DestinationCidrBlock="0.0.0.0/0")
    table, subnet = (_one("describe_route_tables", "RouteTables", "routes-public"),
                     _one("describe_subnets", "Subnets", "public-us-west-2b")["SubnetId"])  # fmt: skip
    pair = next(one for one in table["Associations"] if one.get("SubnetId") == subnet)
    ec2.disassociate_route_table(AssociationId=pair["RouteTableAssociationId"])
    _remove_policy(aws)
    own = {"RoleName": REGION_ROLE.replace("control", "autoscaler"), "PolicyName": "orchestune"}
    looks = {"Effect": "Allow", "Action": "ec2:DescribeImages", "Resource": "*"}
    less = {"Version": "2012-10-17", "Statement": [looks]}
    iam.put_role_policy(**own, PolicyDocument=json.dumps(less))
    plain.client("ecr").delete_lifecycle_policy(repositoryName=f"{stage.NAME}/orchestune")
    plain.client("s3").delete_public_access_block(Bucket=f"orchestune-{stage.NAME}-us-west-2-{ACCOUNT}")
    plain.client("eks").disassociate_access_policy(
        clusterName=stage.NAME, principalArn=f"arn:aws:iam::{ACCOUNT}:user/bob",
        policyArn="arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
    )  # fmt: skip


SPOILT = [
    ("role", REGION_ROLE.replace("control", "node"), "repaired: AmazonEKSWorkerNodePolicy"),
    ("role", REGION_ROLE.replace("control", "autoscaler"), "repaired: inline policy"),
    ("network", stage.NAME, "repaired: DNS (EnableDnsSupport)"),
    ("routes", "public", "repaired: subnet public-us-west-2b"),
    ("routes", "private", "repaired: default route"),
    ("repository", f"{stage.NAME}/orchestune", "repaired: expiry of old images"),
    ("bucket", f"orchestune-{stage.NAME}-us-west-2-{ACCOUNT}", "repaired: public access block"),
    ("access", f"arn:aws:iam::{ACCOUNT}:user/bob", "repaired: administrator policy"),
]
"""the events reported"""


def _planned_by_create(spec: ClusterSpec) -> list[Planned]:
    return [one for one in stage.provisioner().plan(spec) if one.detail != "exists"]


def _planned_by_update(spec: ClusterSpec) -> list[Planned]:
    return list(stage.provisioner().changes(spec))


def _by_update(spec: ClusterSpec, events: stage.RecordedEvents) -> None:
    stage.provisioner().update(spec, events, lambda pool, beat: None)


def _by_create(spec: ClusterSpec, events: stage.RecordedEvents) -> None:
    stage.provisioner().apply(spec, events)


@pytest.mark.parametrize(("planned", "mend"), [(_planned_by_create, _by_create), (_planned_by_update, _by_update)])
def test_what_lacks_inside_of_what_is_there_is_planned_told_and_mended(
    aws: Fake,
    planned: Callable[[ClusterSpec], list[Planned]],
    mend: Callable[[ClusterSpec, stage.RecordedEvents], None],
) -> None:
    aws.world.identities.add("bob")
    spec = dataclasses.replace(stage.RETIRING, access=(AccessGrant(f"arn:aws:iam::{ACCOUNT}:user/bob", "admin"),))
    life.archive(aws)
    whole = stage.provisioner().plan(spec)
    assert len(whole) == len(set(whole)) and not [one for one in whole if one.detail == "exists"]
    stage.create(spec)
    assert planned(spec) == []
    _spoil(aws)
    start = len(aws.journal)
    assert [(one.kind, one.name, one.detail) for one in planned(spec)] == SPOILT
    assert not [call for call in aws.journal[start:] if stage.changes(call)]
    events = stage.RecordedEvents()
    mend(spec, events)
    changed = [event.resource for event in events.events if event.what is CompletedStep.CHANGED]
    assert [(one.kind, one.name, one.detail) for one in changed] == SPOILT
    assert planned(spec) == []
    routed(aws)


def test_who_made_a_cluster_stays_its_admin_whatever_role_the_file_gives_and_no_update_asks_again(aws: Fake) -> None:
    spec = dataclasses.replace(stage.SPEC, access=(AccessGrant(aws.user.arn, "editor"),))
    stage.create(spec)
    assert stage.provisioner().changes(spec) == []
    stage.provisioner().update(stage.SPEC, stage.RecordedEvents(), lambda pool, beat: None)
    assert aws.user.arn in plain.client("eks").list_access_entries(clusterName=stage.NAME)["accessEntries"]


def test_a_plan_changes_nothing_where_somebody_is_to_have_another_role(aws: Fake) -> None:
    aws.world.identities.add("bob")
    stage.create(SHARED)
    other = dataclasses.replace(SHARED, access=(dataclasses.replace(SHARED.access[0], role="viewer"),))
    start = len(aws.journal)
    stage.provisioner().plan(other)
    assert not [call for call in aws.journal[start:] if stage.changes(call)]
    events = stage.RecordedEvents()
    _by_update(other, events)
    assert events.ended(CompletedStep.MADE) == [f"access {SHARED.access[0].who}"]


def test_a_zone_more_gets_addresses_that_no_other_has_in_whatever_order_the_file_names_them(aws: Fake) -> None:
    before = aws.inventory()
    stage.create(dataclasses.replace(stage.SPEC, zones=("us-west-2c", "us-west-2b")))
    assert stage.provisioner().check(stage.SPEC)[0] == []
    stage.provisioner().update(stage.SPEC, stage.RecordedEvents(), lambda pool, beat: None)
    assert stage.provisioner().changes(stage.SPEC) == []
    assert len(aws.inventory()["subnet"] - before["subnet"]) == 6
    routed(aws)
    stage.destroy()
    assert aws.inventory() == before


def test_a_pool_without_room_does_not_keep_an_update_from_making_it_smaller(aws: Fake) -> None:
    stage.create()
    aws.behaviour.no_capacity |= {("c4.xlarge", f"us-west-2{zone}") for zone in "abc"}
    larger = stage.with_pools(dataclasses.replace(stage.CPU, min_nodes=3), stage.GPU)
    stage.provisioner().update(larger, stage.RecordedEvents(), lambda pool, beat: None)
    stage.provisioner().update(stage.SPEC, stage.RecordedEvents(), lambda pool, beat: None)
    assert stage.provisioner().changes(stage.SPEC) == []


@dataclasses.dataclass
class Scaling(stage.Clock):
    """While a caller waits for a new pool, the autoscaler brings two more machines into another one, once."""

    done: bool = False

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        eks, query = plain.client("eks"), {"clusterName": stage.NAME}
        if not self.done and "more" in eks.list_nodegroups(**query)["nodegroups"]:
            self.done = True
            scaling = {"minSize": 1, "maxSize": 4, "desiredSize": 3}
            eks.update_nodegroup_config(**query, nodegroupName="cpu", scalingConfig=scaling)


def _desired() -> int:
    response = plain.client("eks").describe_nodegroup(clusterName=stage.NAME, nodegroupName="cpu")
    return int(response["nodegroup"]["scalingConfig"]["desiredSize"])


def test_machines_that_come_while_an_update_makes_a_pool_stay(aws: Fake) -> None:
    small = dataclasses.replace(stage.CPU, min_nodes=1, max_nodes=4)
    stage.create(stage.with_pools(small))
    changed_spec = stage.with_pools(
        dataclasses.replace(small, max_nodes=6), dataclasses.replace(small, name="more", key="more")
    )
    stage.provisioner(Scaling()).update(changed_spec, stage.RecordedEvents(), lambda pool, beat: None)
    assert _desired() == 3
    assert stage.provisioner().changes(changed_spec) == []


def _remove_template(aws: Fake) -> None:
    """Of a pool that has no machine now."""
    plain.client("ec2").delete_launch_template(LaunchTemplateName=f"orchestune-{stage.NAME}.gpu")


def _remove_subnet(aws: Fake) -> None:
    """In which no machine stands now, and no address of the control plane."""
    with aws.quietly() as backend:
        ec2 = backend("ec2", REGION)
        identity = _one_of(ec2, "private-us-west-2a")
        for interface in [one for one in ec2.enis.values() if one.subnet.id == identity]:
            del ec2.enis[interface.id]
        for table in ec2.route_tables.values():
            for pair in [pair for pair, subnet in table._associations.items() if subnet == identity]:
                del table._associations[pair]
        ec2.delete_subnet(identity)


def _one_of(ec2: Any, part: str) -> str:
    return next(
        str(one.id) for zone in ec2.subnets.values() for one in zone.values()
        if {"key": "orchestune.dev/part", "value": part} in [
            {"key": tag["key"], "value": tag["value"]} for tag in one.get_tags()
        ]
    )  # fmt: skip


@pytest.mark.parametrize(("by_hand", "words"), [(_remove_template, "lt-"), (_remove_subnet, "subnet-")])
def test_what_pools_cannot_get_anew_is_told_with_what_to_do_and_that_helps(
    aws: Fake, by_hand: Callable[[Fake], None], words: str
) -> None:
    before = aws.inventory()
    stage.create()
    by_hand(aws)
    problems, _ = stage.provisioner().check(stage.SPEC)
    assert problems and {item.key for item in problems} <= {"cpu", "gpu"}
    assert all(words in item.message and "deleted" in item.message for item in problems)
    assert all("give the pool another name" in item.hint for item in problems)
    named = {item.key for item in problems}
    other = stage.with_pools(*(
        dataclasses.replace(pool, name=f"{pool.name}2", key=f"pools.{pool.name}2") if pool.name in named else pool
        for pool in stage.SPEC.pools
    ))  # fmt: skip
    assert stage.provisioner().check(other)[0] == []
    stage.provisioner().update(other, stage.RecordedEvents(), lambda pool, beat: None)
    stage.create(other)
    assert stage.provisioner().check(other)[0] == []
    complete(aws)
    stage.destroy()
    assert aws.inventory() == before


def test_a_pool_that_eks_finds_broken_is_told_with_its_reason_and_what_to_do(aws: Fake) -> None:
    """Such as one whose instance profile, which EKS creates itself, was removed."""
    before = aws.inventory()
    stage.create()
    pool = aws.eks.clusters.known[REGION, stage.NAME].nodegroups["gpu"]
    text = "The instance profile eks-1234 of the Auto Scaling group was not found"
    issue = {"code": "IamInstanceProfileNotFound", "message": text, "resourceIds": ["eks-1234"]}
    pool.document |= {"status": "DEGRADED", "health": {"issues": [issue]}}
    with pytest.raises(OrchestuneError, match="pool gpu: The instance profile eks-1234") as caught:
        stage.create()
    assert "give the pool another name" in caught.value.hint
    standing = stage.provisioner().status(stage.NAME)
    assert standing is not None and any(text in one.trouble for one in standing.pools)
    stage.destroy()
    assert aws.inventory() == before


def test_what_kubernetes_left_behind_is_removed_too(aws: Fake) -> None:
    before = aws.inventory()
    stage.create()
    life.left_by_kubernetes()
    life.left_by_guardduty()
    stage.destroy()
    assert aws.inventory() == before
