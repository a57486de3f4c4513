"""Requests for IAM roles: one for each part of the cluster, with least privilege."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestune.clusters.aws.names import PATH, Names
from orchestune.clusters.aws.requests import teardown
from orchestune.domain.clusters.cluster import ClusterSpec

Document = dict[str, Any]
PODS = "pods.eks.amazonaws.com"
"""service principal of EKS Pod Identity"""
LAMBDA = "lambda.amazonaws.com"
CONTROL, NODE, CNI, STORAGE, AUTOSCALER, SERVER, RETIREMENT = teardown.PARTS


POLICY = "orchestune"
"""name of the inline policy in each role"""


@dataclass(frozen=True)
class Role:
    """One role: the service that assumes it, and its policies."""

    part: str
    about: str
    trusts: str
    managed: tuple[str, ...] = ()
    """ARNs of managed policies of AWS or of the user"""
    own: Mapping[str, Any] = field(default_factory=dict)
    """inline policy"""


def roles(spec: ClusterSpec, names: Names) -> list[Role]:
    """Return the roles of a cluster. The control plane's is first: creating it claims the cluster."""
    cluster_roles = [
        Role(CONTROL, "control plane", "eks.amazonaws.com", (names.managed_policy("AmazonEKSClusterPolicy"),)),
        Role(NODE, "nodes", names.ec2_principal,
             (names.managed_policy("AmazonEKSWorkerNodePolicy"),
              names.managed_policy("AmazonEC2ContainerRegistryPullOnly"), *spec.policies)),
        Role(CNI, "network addresses of pods", PODS, (names.managed_policy("AmazonEKS_CNI_Policy"),)),
        Role(STORAGE, "volumes of pods", PODS, (names.managed_policy("service-role/AmazonEBSCSIDriverPolicy"),)),
        Role(AUTOSCALER, "scaling of node groups", PODS, own=autoscaler_policy(names)),
    ]  # fmt: skip
    if server_needs_role(spec):
        purposes = " and ".join([*(["files"] if spec.bucket else []), *(["archive"] if spec.retirement else [])])
        cluster_roles.append(Role(SERVER, f"{purposes} of the server", PODS, own=server_policy(spec, names)))
    if spec.retirement:
        cluster_roles.append(Role(RETIREMENT, "removal of the idle cluster", LAMBDA, own=teardown.policy(names)))
    return cluster_roles


def server_needs_role(spec: ClusterSpec) -> bool:
    """Return True if the server needs AWS permissions."""
    return spec.bucket or spec.retirement is not None


def create(names: Names, role: Role) -> Document:
    """Return the CreateRole request."""
    return {
        "RoleName": names.role(role.part),
        "Path": PATH,
        "Description": f"Orchestune cluster {names.cluster}: {role.about}",
        "AssumeRolePolicyDocument": json.dumps(trust(role.trusts)),
        "Tags": names.tag_list(role.part),
    }


def trust(service: str) -> Document:
    """Return the trust policy for a service."""
    actions: Sequence[str] = ["sts:AssumeRole", "sts:TagSession"] if service == PODS else ["sts:AssumeRole"]
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": list(actions)}],
    }


def attach(names: Names, role: Role, policy: str) -> Document:
    """Return the AttachRolePolicy request."""
    return {"RoleName": names.role(role.part), "PolicyArn": policy}


def inline(names: Names, role: Role) -> Document:
    """Return the PutRolePolicy request."""
    return {
        "RoleName": names.role(role.part),
        "PolicyName": POLICY,
        "PolicyDocument": json.dumps(dict(role.own)),
    }


def autoscaler_policy(names: Names) -> Document:
    """Return the policy: read everything (these actions have no resource level), change only this cluster's groups."""
    read_actions = [
        "autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeAutoScalingInstances",
        "autoscaling:DescribeLaunchConfigurations", "autoscaling:DescribeScalingActivities",
        "ec2:DescribeImages", "ec2:DescribeInstanceTypes", "ec2:DescribeLaunchTemplateVersions",
        "ec2:GetInstanceTypesFromInstanceRequirements",
    ]  # fmt: skip
    owned = {"StringEquals": {f"aws:ResourceTag/k8s.io/cluster-autoscaler/{names.cluster}": "owned"}}
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "LookingKnowsNoResources", "Effect": "Allow", "Action": read_actions, "Resource": "*"},
            {"Sid": "PoolsOfThisCluster", "Effect": "Allow", "Action": ["eks:DescribeNodegroup"],
             "Resource": f"arn:{names.partition}:eks:{names.region}:{names.account}:nodegroup/{names.cluster}/*"},
            {"Sid": "GroupsOfThisCluster", "Effect": "Allow", "Condition": owned, "Resource": "*",
             "Action": ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]},
        ],
    }  # fmt: skip


def server_policy(spec: ClusterSpec, names: Names) -> Document:
    """Return the policy: the cluster's bucket, and for idle clusters the archive and invoking the removing function."""
    statements = _folder(f"arn:{names.partition}:s3:::{names.bucket}") if spec.bucket else []
    if spec.retirement:
        bucket, _, folder = spec.retirement.archive.removeprefix("s3://").partition("/")
        statements += _folder(f"arn:{names.partition}:s3:::{bucket}", "Archive", folder)
        statements.append({"Sid": "Retirement", "Effect": "Allow", "Action": ["lambda:InvokeFunction"],
                      "Resource": names.function_arn})  # fmt: skip
    return {"Version": "2012-10-17", "Statement": statements}


def _folder(bucket: str, sid_prefix: str = "", folder: str = "") -> list[Document]:
    """Return statements to list a bucket, and to read and write one folder of it (all of it if empty).

    Listing is not restricted to the folder: without it S3 answers requests for missing files with "access denied".
    """
    return [
        {"Sid": f"{sid_prefix}Listing", "Effect": "Allow", "Action": ["s3:ListBucket", "s3:ListBucketMultipartUploads"],
         "Resource": bucket},
        {"Sid": f"{sid_prefix}Files", "Effect": "Allow",
         "Resource": f"{bucket}/{folder}/*" if folder else f"{bucket}/*",
         "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload",
                    "s3:ListMultipartUploadParts"]},
    ]  # fmt: skip
