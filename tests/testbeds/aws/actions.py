"""Which permissions an operation takes, and on what: IAM's action for each call and those that it needs besides."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.testbeds.aws import cloud
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
_ACTIONS = {"lambda:Invoke": "InvokeFunction"}
_FREE = {"sts:GetCallerIdentity"}
"""what everybody may"""
_EC2_ID = re.compile(r"^(vpc|subnet|igw|nat|rtb|sg|lt|eni|vol|i|eipalloc|vpce|snap)-[0-9a-f]+$")
_EC2_KIND = {
    "vpc": "vpc", "subnet": "subnet", "igw": "internet-gateway", "nat": "natgateway", "rtb": "route-table",
    "sg": "security-group", "lt": "launch-template", "eni": "network-interface", "vol": "volume", "i": "instance",
    "eipalloc": "elastic-ip", "vpce": "vpc-endpoint", "snap": "snapshot",
}  # fmt: skip
_EC2_ONLY = {"CreateRoute": "rtb", "ReplaceRoute": "rtb"}
"""operations that ask for a permission on one kind of what they name"""
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


def needs(call: Call, service_roles: Collection[str] = ()) -> list[Need]:
    """Return the permissions that the caller needs; `service_roles` are those of the account."""
    prefix = _PREFIX.get(call.service, call.service)
    operation = _S3.get(call.operation, call.operation) if call.service == "s3" else call.operation
    action = f"{prefix}:{_ACTIONS.get(call.name, operation)}"
    if action in _FREE:
        return []
    tags = {f"aws:RequestTag/{name}": value for name, value in tags_of(call.parameters).items()}
    permissions = [Need(action, resource, tags) for resource in dict.fromkeys(_resources(call))]
    permissions += _tagging(call, tags)
    if call.service == "eks":
        permissions += _of_eks(call, service_roles)
    if call.name == "lambda:CreateFunction":
        passed = {"iam:PassedToService": "lambda.amazonaws.com"}
        permissions.append(Need("iam:PassRole", call.parameters["Role"], passed))
    return permissions


def _tagging(call: Call, tags: dict[str, str]) -> Iterator[Need]:
    """Tags that come with what is made take a permission of their own."""
    name = call.operation
    if not tags or not name.startswith(("Create", "Allocate")):
        return
    if call.service == "ec2" and name in _EC2_MADE:
        arn = f"arn:aws:ec2:{call.region}:{ACCOUNT}:{_EC2_MADE[name]}/*"
        yield Need("ec2:CreateTags", arn, {**tags, "ec2:CreateAction": name})
    if call.service == "eks":
        yield Need("eks:TagResource", _eks_resource(call), tags)
    if call.service == "ecr":
        yield Need("ecr:TagResource", next(iter(_resources(call))), tags)
    if call.service == "lambda":
        yield Need("lambda:TagResource", next(iter(_resources(call))), tags)
    if call.service == "iam":
        yield Need(f"iam:Tag{name[6:]}", next(iter(_resources(call))), tags)


_PODS = "pods.eks.amazonaws.com"
_PASSED = {
    "CreateCluster": ("roleArn", "eks.amazonaws.com"), "CreateNodegroup": ("nodeRole", "ec2.amazonaws.com"),
    "CreatePodIdentityAssociation": ("roleArn", _PODS), "UpdatePodIdentityAssociation": ("roleArn", _PODS),
    "CreateAddon": ("serviceAccountRoleArn", "eks.amazonaws.com"),
}  # fmt: skip
"""the parameter with a role, and the service that it is passed to"""
_LINKED = {
    "CreateCluster": ("AWSServiceRoleForAmazonEKS", "eks.amazonaws.com"),
    "CreateNodegroup": ("AWSServiceRoleForAmazonEKSNodegroup", "eks-nodegroup.amazonaws.com"),
}
"""the service's own role that an operation makes where the account has none"""


def _of_eks(call: Call, service_roles: Collection[str]) -> Iterator[Need]:
    """EKS does much on behalf of its caller."""
    parameters, name = call.parameters, call.operation
    key, service = _PASSED.get(name, ("", ""))
    if parameters.get(key):
        yield Need("iam:PassRole", parameters[key], {"iam:PassedToService": service})
    if service == _PODS:
        yield Need("iam:GetRole", parameters["roleArn"])
    for identity in parameters.get("podIdentityAssociations", ()):
        yield Need("eks:CreatePodIdentityAssociation", next(iter(_resources(call))))
        yield Need("iam:PassRole", identity["roleArn"], {"iam:PassedToService": _PODS})
        yield Need("iam:GetRole", identity["roleArn"])
    if "launchTemplate" in parameters:
        text = "You are not authorized to launch instances with this launch template."
        yield Need("ec2:RunInstances", "*", {}, text)
    linked, owner = _LINKED.get(name, ("", ""))
    if linked and linked not in service_roles:
        role = f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/{owner}/{linked}"
        yield Need("iam:CreateServiceLinkedRole", role, {"iam:AWSServiceName": owner})


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
    elif call.service == "ecr" and "resourceArn" in parameters:
        yield parameters["resourceArn"]
    elif call.service == "ecr":
        names = parameters.get("repositoryNames") or [parameters.get("repositoryName")]
        for name in names:
            yield f"arn:aws:ecr:{call.region}:{ACCOUNT}:repository/{name}" if name else "*"
    elif call.service == "lambda":
        name = parameters.get("FunctionName")
        yield parameters.get("Resource") or f"arn:aws:lambda:{call.region}:{ACCOUNT}:function:{name}"
    elif call.operation == "DeleteLoadBalancer":
        classic = f"arn:aws:elasticloadbalancing:{call.region}:{ACCOUNT}:loadbalancer/"
        yield parameters.get("LoadBalancerArn") or f"{classic}{parameters['LoadBalancerName']}"
    elif call.service == "ec2" and not call.operation.startswith("Describe"):
        yield from _ec2(call)
    else:
        yield "*"


def _iam(parameters: dict[str, Any]) -> Iterator[str]:
    names = {"RoleName": "role", "InstanceProfileName": "instance-profile", "PolicyName": "policy"}
    if "PolicyArn" in parameters and "RoleName" not in parameters:
        yield parameters["PolicyArn"]
        return
    for key, kind in names.items():
        if key in parameters:
            path = parameters.get("Path") or _path(parameters[key])
            yield f"arn:aws:iam::{ACCOUNT}:{kind}{path}{parameters[key]}"
            return
    if "AWSServiceName" in parameters:
        yield f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/{parameters['AWSServiceName']}/*"
        return
    yield "*"


def _path(role: str) -> str:
    """The path of a role; of one that does not exist IAM knows none, and judges by the bare name."""
    return next((str(one.path) for one in cloud.backend("iam", "aws").get_roles() if one.name == role), "/")


def _eks(call: Call) -> Iterator[str]:
    parameters, start = call.parameters, f"arn:aws:eks:{call.region}:{ACCOUNT}"
    cluster = parameters.get("clusterName") or parameters.get("name")
    if call.operation in ("TagResource", "UntagResource", "ListTagsForResource"):
        yield parameters["resourceArn"]
    elif cluster is None:
        yield "*"
    elif call.operation.startswith(("Create", "List")) and call.operation != "ListAssociatedAccessPolicies":
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


def _eks_resource(call: Call) -> str:
    """Return the resource that a call creates before it has an identifier: a cluster or a part of one."""
    start, kind = f"arn:aws:eks:{call.region}:{ACCOUNT}", call.operation.removeprefix("Create").lower()
    cluster = call.parameters.get("clusterName")
    kind = {"accessentry": "access-entry"}.get(kind, kind)
    return f"{start}:{kind}/{cluster}/*" if cluster else f"{start}:{kind}/{call.parameters['name']}"


def _ec2(call: Call) -> Iterator[str]:
    start = f"arn:aws:ec2:{call.region}:{ACCOUNT}"
    only = _EC2_ONLY.get(call.operation)
    resources = [f"{start}:{_EC2_KIND[matched[1]]}/{value}" for value in _named(call)
             if (matched := _EC2_ID.match(value)) and only in (None, matched[1])]  # fmt: skip
    if call.operation in _EC2_MADE:
        resources.append(f"{start}:{_EC2_MADE[call.operation]}/*")
    yield from resources or ["*"]


def _named(call: Call) -> Iterator[str]:
    """The ids that a call names, those behind an association included."""
    association = call.parameters.get("AssociationId")
    for table in cloud.backend("ec2", call.region).route_tables.values() if association else ():
        if association in table._associations:
            yield table.id
            yield table._associations[association]
    yield from _strings(call.parameters)


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
