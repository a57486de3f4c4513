"""The fake's EC2, IAM, S3 and quotas: what moto alone would let pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.integration.aws import plain
from tests.testbeds.aws.fake import Fake


def test_a_network_is_removed_only_from_the_inside_out(aws: Fake) -> None:
    before, ec2 = aws.inventory(), plain.client("ec2")
    vpc, subnets = plain.network()
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat_gateway = ec2.create_nat_gateway(SubnetId=subnets[0], AllocationId=address)["NatGateway"]
    nat = nat_gateway["NatGatewayId"]
    assert nat_gateway["State"] == "pending"
    ec2.get_waiter("nat_gateway_available").wait(NatGatewayIds=[nat], WaiterConfig={"Delay": 0})
    group = ec2.create_security_group(GroupName="own", Description="own", VpcId=vpc)["GroupId"]
    steps: list[Callable[[], Any]] = [
        lambda: ec2.delete_vpc(VpcId=vpc), lambda: ec2.delete_subnet(SubnetId=subnets[0]),
        lambda: ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc),
        lambda: ec2.delete_internet_gateway(InternetGatewayId=gateway),
    ]  # fmt: skip
    assert [plain.refused(step)[0] for step in steps] == ["DependencyViolation"] * 4
    assert plain.refused(lambda: ec2.release_address(AllocationId=address))[0] == "AuthFailure"
    ec2.delete_nat_gateway(NatGatewayId=nat)
    assert plain.refused(steps[1])[0] == "DependencyViolation"
    ec2.get_waiter("nat_gateway_deleted").wait(NatGatewayIds=[nat], WaiterConfig={"Delay": 0})
    ec2.release_address(AllocationId=address)
    steps[2]()
    steps[3]()
    for subnet in subnets:
        ec2.delete_subnet(SubnetId=subnet)
    assert plain.refused(steps[0])[0] == "DependencyViolation"
    ec2.delete_security_group(GroupId=group)
    steps[0]()
    assert aws.inventory() == before


def test_a_security_group_stays_while_an_interface_or_another_group_names_it(aws: Fake) -> None:
    ec2 = plain.client("ec2")
    vpc, subnets = plain.network()
    first, second = (
        ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"] for name in ("one", "two")
    )
    permission = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "UserIdGroupPairs": [{"GroupId": first}]}
    ec2.authorize_security_group_ingress(GroupId=second, IpPermissions=[permission])
    expected = ("DependencyViolation", f"resource {first} has a dependent object")
    assert plain.refused(lambda: ec2.delete_security_group(GroupId=first)) == expected
    ec2.delete_security_group(GroupId=second)
    interface = ec2.create_network_interface(SubnetId=subnets[0], Groups=[first])["NetworkInterface"]
    assert plain.refused(lambda: ec2.delete_security_group(GroupId=first)) == expected
    ec2.delete_network_interface(NetworkInterfaceId=interface["NetworkInterfaceId"])
    ec2.delete_security_group(GroupId=first)


def test_what_was_just_made_may_not_be_found_yet(aws: Fake) -> None:
    aws.behaviour.read_lag = 1
    ec2 = plain.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    assert plain.refused(lambda: ec2.describe_vpcs(VpcIds=[vpc])) == (
        "InvalidVpcID.NotFound", f"The vpc ID '{vpc}' does not exist",
    )  # fmt: skip
    assert ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["VpcId"] == vpc
    other = ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    listed = [{one["VpcId"] for one in ec2.describe_vpcs()["Vpcs"]} for _ in range(2)]
    assert other not in listed[0] and vpc in listed[0] and other in listed[1]


def test_a_role_with_policies_is_not_deleted(aws: Fake) -> None:
    iam = plain.client("iam")
    plain.role("node", "ec2.amazonaws.com", "AmazonEKSWorkerNodePolicy")
    code, text = plain.refused(lambda: iam.delete_role(RoleName="node"))
    assert (code, text) == ("DeleteConflict", "Cannot delete entity, must detach all policies first.")
    iam.detach_role_policy(RoleName="node", PolicyArn="arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy")
    iam.delete_role(RoleName="node")
    assert "role" not in aws.inventory()


def test_types_of_machines_are_offered_by_zone(aws: Fake) -> None:
    ec2 = plain.client("ec2")
    [card] = ec2.describe_instance_types(InstanceTypes=["p3.8xlarge"])["InstanceTypes"][0]["GpuInfo"]["Gpus"]
    assert (card["Name"], card["Count"]) == ("V100", 4)
    filters = [{"Name": "instance-type", "Values": ["p3.8xlarge"]}]
    offerings = ec2.describe_instance_type_offerings(LocationType="availability-zone", Filters=filters)
    zones = {one["Location"] for one in offerings["InstanceTypeOfferings"]}
    assert zones == {"us-west-2a", "us-west-2b"}
    assert plain.refused(lambda: ec2.describe_instance_types(InstanceTypes=["p3.9xlarge"]))[0] == "InvalidInstanceType"


def test_quotas_are_those_of_the_account_and_the_defaults_those_of_everybody(aws: Fake) -> None:
    quotas, quota = plain.client("service-quotas"), {"ServiceCode": "ec2", "QuotaCode": "L-417A185B"}
    aws.behaviour.quotas["L-417A185B"] = 32
    assert quotas.get_service_quota(**quota)["Quota"]["Value"] == 32
    assert quotas.get_aws_default_service_quota(**quota)["Quota"]["Value"] == 0
    assert len(quotas.list_service_quotas(ServiceCode="ec2")["Quotas"]) >= 6
    code, _ = plain.refused(lambda: quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-00000000"))
    assert code == "NoSuchResourceException"


def test_objects_and_images_pass_through(aws: Fake) -> None:
    s3, ecr = plain.client("s3"), plain.client("ecr")
    s3.create_bucket(Bucket="some-files", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    s3.put_object(Bucket="some-files", Key="a folder/ä", Body=b"content")
    assert s3.get_object(Bucket="some-files", Key="a folder/ä")["Body"].read() == b"content"
    assert plain.refused(lambda: s3.delete_bucket(Bucket="some-files"))[0] == "BucketNotEmpty"
    s3.delete_objects(Bucket="some-files", Delete={"Objects": [{"Key": "a folder/ä"}]})
    s3.delete_bucket(Bucket="some-files")
    repository = ecr.create_repository(repositoryName="team/images")["repository"]["repositoryUri"]
    assert (
        repository.startswith("111122223333.dkr.ecr.us-west-2") and ecr.get_authorization_token()["authorizationData"]
    )
    assert aws.inventory()["repository"] == {"team/images"} and "bucket" not in aws.inventory()
