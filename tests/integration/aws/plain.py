"""Calls that any user of boto3 would write: a network, roles, a cluster with a node group."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import botocore.exceptions
import pytest


def client(service: str) -> Any:
    """A client of the environment's fake."""
    return boto3.session.Session().client(service)  # type: ignore[call-overload]


def network() -> tuple[str, list[str]]:
    """A VPC with a subnet in each of two zones."""
    ec2 = client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"us-west-2{zone}")
        for number, zone in enumerate("ab")
    ]
    return vpc, [created_subnet["Subnet"]["SubnetId"] for created_subnet in subnets]


def role(name: str, service: str, *policies: str) -> str:
    """A role that `service` may take on."""
    iam = client("iam")
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    for policy in policies:
        iam.attach_role_policy(RoleName=name, PolicyArn=f"arn:aws:iam::aws:policy/{policy}")
    return str(arn)


def node_role() -> str:
    return role("node", "ec2.amazonaws.com", "AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly")


def patiently(call: Callable[[], Any], code: str, tries: int = 5) -> Any:
    """The answer to `call` once it is not refused with `code` any more."""
    for _ in range(tries - 1):
        try:
            return call()
        except botocore.exceptions.ClientError as exc:
            if exc.response["Error"]["Code"] != code:
                raise
    return call()


def cluster(name: str = "demo", **more: Any) -> tuple[dict[str, Any], list[str]]:
    """A control plane that is ACTIVE, and its subnets."""
    eks = client("eks")
    _, subnets = network()
    request = {
        "name": name, "roleArn": role("control", "eks.amazonaws.com"), "resourcesVpcConfig": {"subnetIds": subnets},
        "accessConfig": {"authenticationMode": "API"}, **more,
    }  # fmt: skip
    patiently(lambda: eks.create_cluster(**request), "InvalidParameterException")
    eks.get_waiter("cluster_active").wait(name=name, WaiterConfig={"Delay": 0})
    return eks.describe_cluster(name=name)["cluster"], subnets


def pool(subnets: list[str], **more: Any) -> dict[str, Any]:
    """Return the request for a node group of one machine."""
    return {
        "clusterName": "demo", "nodegroupName": "cpu", "subnets": subnets, "instanceTypes": ["m5.large"],
        "scalingConfig": {"minSize": 1, "maxSize": 2, "desiredSize": 1}, **more,
    }  # fmt: skip


def refused(call: Callable[[], Any]) -> tuple[str, str]:
    """Code and message with which `call` is refused."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]
