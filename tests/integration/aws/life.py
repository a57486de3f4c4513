"""One life of a cluster with everything that there can be in it, and the calls that it took."""

from __future__ import annotations

import dataclasses

from orchestune.domain.clusters.cluster import AccessGrant, NetworkSpec, Pool
from tests.integration.aws import plain, stage
from tests.testbeds.aws.fake import Fake
from tests.testbeds.aws.wire import Call

BIG = Pool("big", ("m5.xlarge",), 0, 2, key="pools.big", spot=True)


ARCHIVE = "team-archive"


def left_by_kubernetes() -> None:
    """Load balancers, a disk, an interface and a security group, as controllers in the cluster make them."""
    ec2 = plain.client("ec2")
    tags = [{"Key": "orchestune.dev/cluster", "Value": stage.NAME}]
    specification = [{"ResourceType": "volume", "Tags": tags}]
    ec2.create_volume(AvailabilityZone="us-west-2a", Size=1, TagSpecifications=specification)
    filters = [{"Name": "tag:orchestune.dev/cluster", "Values": [stage.NAME]}]
    [subnet, other, *_] = ec2.describe_subnets(Filters=filters)["Subnets"]
    group = ec2.create_security_group(GroupName="k8s-elb", Description="made by a Service", VpcId=subnet["VpcId"])
    owned = [{"Key": f"kubernetes.io/cluster/{stage.NAME}", "Value": "owned"}]
    ec2.create_tags(Resources=[group["GroupId"]], Tags=owned)
    interface = ec2.create_network_interface(SubnetId=subnet["SubnetId"], Description="aws-K8S-i-0123")
    ec2.create_tags(Resources=[interface["NetworkInterface"]["NetworkInterfaceId"]],
                    Tags=[{"Key": "cluster.k8s.amazonaws.com/name", "Value": stage.NAME}])  # fmt: skip
    plain.client("elb").create_load_balancer(
        LoadBalancerName="a1b2", Subnets=[other["SubnetId"]], SecurityGroups=[group["GroupId"]], Tags=owned,
        Listeners=[{"Protocol": "TCP", "LoadBalancerPort": 80, "InstancePort": 80}],
    )  # fmt: skip
    plain.client("elbv2").create_load_balancer(
        Name="c3d4", Subnets=[subnet["SubnetId"], other["SubnetId"]], SecurityGroups=[group["GroupId"]],
        Tags=[{"Key": "elbv2.k8s.aws/cluster", "Value": stage.NAME}],
    )  # fmt: skip


def left_by_guardduty() -> None:
    """The endpoint and the security group that GuardDuty makes where machines of EKS run."""
    ec2 = plain.client("ec2")
    [vpc] = ec2.describe_vpcs(Filters=[{"Name": "tag:orchestune.dev/cluster", "Values": [stage.NAME]}])["Vpcs"]
    where = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
    subnets = [one["SubnetId"] for one in ec2.describe_subnets(Filters=where)["Subnets"][:2]]
    group = ec2.create_security_group(
        GroupName=f"GuardDutyManagedSecurityGroup-{vpc['VpcId']}", Description="for its agent", VpcId=vpc["VpcId"]
    )
    endpoint = ec2.create_vpc_endpoint(
        VpcEndpointType="Interface", VpcId=vpc["VpcId"], ServiceName="com.amazonaws.us-west-2.guardduty-data",
        SubnetIds=subnets, SecurityGroupIds=[group["GroupId"]],
    )["VpcEndpoint"]  # fmt: skip
    guarded = [{"Key": "GuardDutyManaged", "Value": "true"}]
    ec2.create_tags(Resources=[group["GroupId"], endpoint["VpcEndpointId"]], Tags=guarded)


def archive(aws: Fake) -> None:
    """The bucket to which records of idle clusters go, which belongs to the user."""
    aws.user.policy, policy = None, aws.user.policy
    where = {"LocationConstraint": "us-west-2"}
    plain.client("s3").create_bucket(Bucket=ARCHIVE, CreateBucketConfiguration=where)
    aws.user.policy = policy


def lived(aws: Fake) -> list[Call]:
    """Make it, change it, look at it, remove it; only the calls of the provisioner."""
    bob, carol = (aws.world.identities.add(name).arn for name in ("bob", "carol"))
    archive(aws)
    spec = dataclasses.replace(stage.RETIRING, access=(AccessGrant(bob, "admin"), AccessGrant(carol, "editor")))
    before = aws.inventory()
    provisioner_now = stage.provisioner()
    complaints, _ = provisioner_now.check(spec)
    assert not complaints
    calls: list[Call] = []
    start = len(aws.journal)
    stage.create(spec)
    closer = NetworkSpec(allow=("203.0.113.0/24",))
    changed = dataclasses.replace(spec, pools=(dataclasses.replace(stage.CPU, min_nodes=2), BIG), network=closer)
    stage.provisioner().update(changed, stage.RecordedEvents(), lambda pool, beat: None)
    assert stage.provisioner().status(stage.NAME)
    calls += aws.journal[:]
    aws.user.policy, policy = None, aws.user.policy
    left_by_kubernetes()
    left_by_guardduty()
    s3 = plain.client("s3")
    [bucket] = [one for one in aws.inventory()["bucket"] if stage.NAME in one]
    s3.put_object(Bucket=bucket, Key="files/one", Body=b"x")
    aws.user.policy = policy
    start = len(aws.journal)
    stage.destroy()
    assert aws.inventory() == before
    return calls + aws.journal[start:]
