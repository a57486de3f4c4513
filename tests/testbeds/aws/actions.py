"""Which permissions an operation takes, and on what: IAM's action for each call and those that it needs besides."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.testbeds.aws.identities import ACCOUNT
from tests.testbeds.aws.wire import Call

_PREFIX = {
    "service-quotas": "servicequotas", "resourcegroupstaggingapi": "tag", "elb": "elasticloadbalancing",
    "elbv2": "elasticloadbalancing",
}  # fmt: skip
_S3 = {
    "AbortMultipartUpload": "AbortMultipartUpload", "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "DeleteObjects": "DeleteObject", "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket", "HeadObject": "GetObject", "ListBuckets": "ListAllMyBuckets",
    "ListMultipartUploads": "ListBucketMultipartUploads", "ListObjectVersions": "ListBucketVersions",
    "ListObjects": "ListBucket", "ListObjectsV2": "ListBucket", "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
}  # fmt: skip
_FREE = {"sts:GetCallerIdentity"}
"""what everybody may"""
_EC2_ID = re.compile(r"^(vpc|subnet|igw|nat|rtb|sg|lt|eni|vol|i|eipalloc|vpce|snap)-[0-9a-f]+$")
_EC2_KIND = {
    "vpc": "vpc", "subnet": "subnet", "igw": "internet-gateway", "nat": "natgateway", "rtb": "route-table",
    "sg": "security-group", "lt": "launch-template", "eni": "network-interface", "vol": "volume", "i": "instance",
    "eipalloc": "elastic-ip", "vpce": "vpc-endpoint", "snap": "snapshot",
}  # fmt: skip
_EC2_MADE = {
    "CreateVpc": "vpc", "CreateSubnet": "subnet", "CreateInternetGateway": "internet-gateway",
    "AllocateAddress": "elastic-ip", "CreateNatGateway": "natgateway", "CreateRouteTable": "route-table",
    "CreateSecurityGroup": "security-group", "CreateLaunchTemplate": "launch-template",
    "CreateVpcEndpoint": "vpc-endpoint",
}  # fmt: skip


@dataclass(frozen=True)
class Need:
    """One permission: an action on a resource, with what conditions may ask about."""

    action: str
    resource: str
    context: dict[str, str] = field(default_factory=dict, compare=False)
    refusal: str = ""
    """how the service says that it lacks, where that is not the usual way"""


def needs(call: Call) -> list[Need]:
    """Everything that whoever makes this call must be allowed."""
    prefix = _PREFIX.get(call.service, call.service)
    operation = _S3.get(call.operation, call.operation) if call.service == "s3" else call.operation
    action = f"{prefix}:{operation}"
    if action in _FREE:
        return []
    tags = {f"aws:RequestTag/{name}": value for name, value in tags_of(call.parameters).items()}
    found = [Need(action, resource, tags) for resource in dict.fromkeys(_resources(call))]
    found += _besides(call, tags)
    return found


def _besides(call: Call, tags: dict[str, str]) -> Iterator[Need]:
    parameters, name = call.parameters, call.operation
    if tags and call.service == "ec2" and name in _EC2_MADE:
        kind = _EC2_MADE[name]
        yield Need("ec2:CreateTags", f"arn:aws:ec2:{call.region}:{ACCOUNT}:{kind}/*",
                   {**tags, "ec2:CreateAction": name})  # fmt: skip
    if tags and call.service == "eks" and name.startswith("Create"):
        yield Need("eks:TagResource", next(iter(_resources(call))), tags)
    if tags and call.service == "iam" and name in ("CreateRole", "CreatePolicy", "CreateInstanceProfile"):
        yield Need(f"iam:Tag{name[6:]}", next(iter(_resources(call))), tags)
    if tags and call.service == "ecr" and name == "CreateRepository":
        yield Need("ecr:TagResource", next(iter(_resources(call))), tags)
    passed = {"CreateCluster": ("roleArn", "eks.amazonaws.com"), "CreateNodegroup": ("nodeRole", "ec2.amazonaws.com"),
              "CreatePodIdentityAssociation": ("roleArn", "pods.eks.amazonaws.com"),
              "UpdatePodIdentityAssociation": ("roleArn", "pods.eks.amazonaws.com"),
              "CreateAddon": ("serviceAccountRoleArn", "eks.amazonaws.com")}  # fmt: skip
    if call.service == "eks" and name in passed:
        key, service = passed[name]
        if parameters.get(key):
            yield Need("iam:PassRole", parameters[key], {"iam:PassedToService": service})
            if "PodIdentity" in name:
                yield Need("iam:GetRole", parameters[key])
    if (
        call.service == "eks"
        and name in ("CreateNodegroup", "UpdateNodegroupVersion")
        and "launchTemplate" in parameters
    ):
        yield Need("ec2:RunInstances", "*", {}, "You are not authorized to launch instances with this launch template.")


def tags_of(parameters: dict[str, Any]) -> dict[str, str]:
    """The tags that a request brings, whichever way its service spells them."""
    plain = parameters.get("tags") or parameters.get("Tags") or []
    if isinstance(plain, dict):
        return {str(name): str(value) for name, value in plain.items()}
    pairs = list(plain)
    for specification in parameters.get("TagSpecifications", ()):
        pairs += specification.get("Tags", ())
    return {pair["Key"]: pair.get("Value", "") for pair in pairs if "Key" in pair}


def _resources(call: Call) -> Iterator[str]:
    parameters = call.parameters
    if call.service == "iam":
        yield from _iam(parameters)
    elif call.service == "eks":
        yield from _eks(call)
    elif call.service == "s3":
        bucket, key = parameters.get("Bucket"), parameters.get("Key")
        inside = "/*" if call.operation == "DeleteObjects" else f"/{key}" if key else ""
        yield f"arn:aws:s3:::{bucket}{inside}" if bucket else "*"
    elif call.service == "ecr":
        names = parameters.get("repositoryNames") or [parameters.get("repositoryName")]
        for name in names:
            yield f"arn:aws:ecr:{call.region}:{ACCOUNT}:repository/{name}" if name else "*"
    elif call.service == "ec2" and not call.operation.startswith("Describe"):
        yield from _ec2(call)
    else:
        yield "*"


def _iam(parameters: dict[str, Any]) -> Iterator[str]:
    names = {"RoleName": "role", "InstanceProfileName": "instance-profile", "PolicyName": "policy"}
    if "PolicyArn" in parameters and "RoleName" not in parameters:
        yield parameters["PolicyArn"]
        return
    path = parameters.get("Path", "/")
    for key, kind in names.items():
        if key in parameters and not (kind == "policy" and "RoleName" in parameters):
            yield f"arn:aws:iam::{ACCOUNT}:{kind}{path}{parameters[key]}"
            return
    if "AWSServiceName" in parameters:
        yield f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/{parameters['AWSServiceName']}/*"
        return
    yield "*"


def _eks(call: Call) -> Iterator[str]:
    parameters, start = call.parameters, f"arn:aws:eks:{call.region}:{ACCOUNT}"
    cluster = parameters.get("clusterName") or (parameters.get("name") if "Cluster" in call.operation else None)
    if call.operation in ("TagResource", "UntagResource", "ListTagsForResource"):
        yield parameters["resourceArn"]
    elif cluster is None:
        yield "*"
    elif call.operation.startswith(("Create", "List")):
        yield f"{start}:cluster/{cluster}"
    elif "nodegroupName" in parameters:
        yield f"{start}:nodegroup/{cluster}/{parameters['nodegroupName']}/*"
    elif "addonName" in parameters:
        yield f"{start}:addon/{cluster}/{parameters['addonName']}/*"
    elif "principalArn" in parameters:
        yield f"{start}:access-entry/{cluster}/*"
    elif "associationId" in parameters:
        yield f"{start}:podidentityassociation/{cluster}/{parameters['associationId']}"
    else:
        yield f"{start}:cluster/{cluster}"


def _ec2(call: Call) -> Iterator[str]:
    found = False
    for value in _strings(call.parameters):
        matched = _EC2_ID.match(value)
        if matched:
            found = True
            yield f"arn:aws:ec2:{call.region}:{ACCOUNT}:{_EC2_KIND[matched[1]]}/{value}"
    if call.operation in _EC2_MADE:
        found = True
        yield f"arn:aws:ec2:{call.region}:{ACCOUNT}:{_EC2_MADE[call.operation]}/*"
    if not found:
        yield "*"


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name not in ("TagSpecifications", "Tags", "LaunchTemplateData"):
                yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
