"""Requests for the Lambda function that removes an idle cluster from outside, and its permissions.

The function can delete a whole cluster, so its policy is the user's policy (`rights`) narrowed to one cluster: by ARN
where the name is part of it, otherwise by the cluster's tag.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from orchestune.clusters.aws import rights
from orchestune.clusters.aws.names import TAG, Names
from orchestune.clusters.aws.rights import EVERYTHING, Allow
from orchestune.domain.clusters.cluster import TeardownSettings

Document = dict[str, Any]
HANDLER = "orchestune.clusters.aws.lambda_handler.handler"
_PYTHON = re.compile(r"python3\.([0-9]+)")
AFTER_TAG, ARCHIVE_TAG = "orchestune.dev/after", "orchestune.dev/archive"
"""tags with the settings from the cluster's file"""
_TIMEOUT_SECONDS = 900
"""Lambda's maximum timeout in seconds"""
PARTS = ("control", "node", "cni", "storage", "autoscaler", "server", "retirement")
"""parts of a cluster that have a role"""
_OWNER_TAG = "aws:ResourceTag/kubernetes.io/cluster/{}"
_READ_SID = "LookingKnowsNoResources"
"""statement of the read-only actions, which IAM cannot restrict to resources. Part of the stored policy"""
REMOVAL_CALLS = (
    "eks:DescribeCluster", "eks:ListNodegroups", "eks:DescribeNodegroup", "eks:DeleteNodegroup", "eks:DeleteCluster",
    "autoscaling:DescribeAutoScalingGroups", "ec2:DescribeInstances", "elb:DescribeLoadBalancers", "elb:DescribeTags",
    "ec2:DescribeVolumes", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups", "ec2:DescribeLaunchTemplates",
    "ec2:DescribeVpcEndpoints", "ec2:DescribeNatGateways", "ec2:DescribeAddresses", "ec2:DescribeSubnets",
    "ec2:DescribeRouteTables", "ec2:DescribeInternetGateways", "ec2:DescribeVpcs", "ec2:DeleteLaunchTemplate",
    "ec2:DeleteVpcEndpoints", "ec2:DeleteNatGateway", "ec2:ReleaseAddress", "ec2:DeleteSubnet",
    "ec2:DisassociateRouteTable", "ec2:DeleteRouteTable", "ec2:DetachInternetGateway", "ec2:DeleteInternetGateway",
    "ec2:DeleteVpc", "ecr:DescribeRepositories", "ecr:ListTagsForResource", "ecr:DeleteRepository", "s3:HeadBucket",
    "s3:GetBucketTagging", "s3:ListObjectVersions", "s3:ListMultipartUploads", "s3:AbortMultipartUpload",
    "s3:DeleteObjects", "s3:DeleteBucket", "iam:GetRole", "iam:TagRole", "iam:UntagRole",
    "iam:ListAttachedRolePolicies", "iam:DetachRolePolicy", "iam:ListRolePolicies", "iam:DeleteRolePolicy",
    "iam:DeleteRole", "lambda:DeleteFunction", "lambda:Invoke",
)  # fmt: skip
"""calls made by a removal, except those on resources that Kubernetes created"""


def runtimes(names: Iterable[str]) -> list[str]:
    """Return the Python runtimes among `names`, newest first; Lambda's runtimes include boto3."""
    versions = [(int(match[1]), name) for name in names if (match := _PYTHON.fullmatch(name))]
    return [name for _, name in sorted(versions, reverse=True)]


def function(names: Names, retirement: TeardownSettings, code: bytes, runtime: str) -> Document:
    """Return the CreateFunction request. The cluster is fixed in its environment, so callers cannot choose it."""
    return {
        "FunctionName": names.function,
        "Description": f"Orchestune cluster {names.cluster}: removes it when its server reports it as idle",
        "Runtime": runtime,
        "Handler": HANDLER,
        "Role": names.role_arn("retirement"),
        "Code": {"ZipFile": code},
        "Timeout": _TIMEOUT_SECONDS,
        "MemorySize": 256,
        "Environment": {"Variables": environment(names)},
        "Tags": tags(names, retirement),
    }


def environment(names: Names) -> dict[str, str]:
    """Return the environment variables that identify the cluster."""
    return {
        "ORCHESTUNE_CLUSTER": names.cluster, "ORCHESTUNE_ACCOUNT": names.account,
        "ORCHESTUNE_PARTITION": names.partition,
    }  # fmt: skip


def tags(names: Names, retirement: TeardownSettings) -> dict[str, str]:
    """Return the function's tags."""
    return {**names.tags("retirement"), AFTER_TAG: f"{retirement.after:g}", ARCHIVE_TAG: retirement.archive}


def policy(names: Names) -> Document:
    """Return the function's IAM policy: all that removing this cluster needs, and no access to others."""
    merged: dict[tuple[tuple[str, ...], str], tuple[Mapping[str, Any], list[str]]] = {}
    for grant in _grants(names):
        resources, condition = tuple(_restrict(grant.on, names)), _condition(grant, names)
        _, actions = merged.setdefault((resources, repr(condition)), (condition, []))
        actions += [action for action in grant.actions if action not in actions]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": _READ_SID if resources == (EVERYTHING,) and not condition else f"ThisCluster{number}",
                "Effect": "Allow",
                "Action": sorted(actions),
                "Resource": list(resources) if len(resources) > 1 else resources[0],
                **({"Condition": condition} if condition else {}),
            }
            for number, ((resources, _), (condition, actions)) in enumerate(merged.items(), 1)
        ],
    }


def _grants(names: Names) -> Iterator[Allow]:
    for name in REMOVAL_CALLS:
        service, _, operation = name.partition(":")
        yield from rights.of(service, operation).grants
    ec2, name = "arn:aws:ec2:*:*:", names.cluster
    yield Allow(("ec2:DeleteVolume",), f"{ec2}volume/*", "", "ours")
    yield Allow(("ec2:DeleteNetworkInterface",), f"{ec2}network-interface/*", "", "ours")
    interface = "aws:ResourceTag/cluster.k8s.amazonaws.com/name"
    yield Allow(("ec2:DeleteNetworkInterface",), f"{ec2}network-interface/*", "", f"{interface}={name}")
    yield Allow(("ec2:DeleteSecurityGroup",), f"{ec2}security-group/*", "", f"{_OWNER_TAG.format(name)}=owned")
    yield Allow(("ec2:DeleteSecurityGroup",), f"{ec2}security-group/*", "", f"aws:ResourceTag/{rights.GUARDED}=true")
    for condition in (f"{_OWNER_TAG.format(name)}=owned", f"aws:ResourceTag/elbv2.k8s.aws/cluster={name}"):
        balancer = "arn:aws:elasticloadbalancing:*:*:loadbalancer/*"
        yield Allow(("elasticloadbalancing:DeleteLoadBalancer",), balancer, "", condition)


def _condition(grant: Allow, names: Names) -> Mapping[str, Any]:
    key, _, value = grant.condition.partition("=")
    if value:
        return {"StringEquals": {key: value}}
    return (
        {"StringEquals": {f"aws:ResourceTag/{TAG}": names.cluster}} if grant.condition == "ours" else grant.conditions
    )


def _restrict(pattern: str, names: Names) -> list[str]:
    """Restrict a resource pattern of `rights` to this cluster."""
    prefix = f"arn:{names.partition}:"
    if pattern.startswith("arn:aws:iam:"):  # IAM checks a missing role by name, without its path
        without_path = [f"{prefix}iam::{names.account}:role/{names.role(part)}" for part in PARTS]
        return [*(names.role_arn(part) for part in PARTS), *without_path]
    if pattern.startswith(rights.BUCKET):
        return [f"{prefix}s3:::{names.bucket}{pattern.removeprefix(rights.BUCKET)}"]
    if pattern == rights.FUNCTION:
        return [names.function_arn]
    pattern = pattern.replace("arn:aws:", prefix, 1).replace(":*:*:", f":{names.region}:{names.account}:", 1)
    for part in ("nodegroup", "addon", "access-entry", "repository"):
        pattern = pattern.replace(f":{part}/*", f":{part}/{names.cluster}/*")
    return [pattern.replace(":cluster/*", f":cluster/{names.cluster}")]
