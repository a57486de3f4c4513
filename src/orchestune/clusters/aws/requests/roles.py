"""Roles: one for each part of the cluster, with what that part needs and no more."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestune.clusters.aws.names import PATH, Names
from orchestune.domain.cluster import ClusterSpec

Document = dict[str, Any]
PODS = "pods.eks.amazonaws.com"
"""the service that hands roles to pods"""
CONTROL, NODE, CNI, STORAGE, AUTOSCALER, SERVER = "control", "node", "cni", "storage", "autoscaler", "server"


@dataclass(frozen=True)
class Role:
    """One role: who takes it on, and what it may."""

    part: str
    about: str
    trusts: str
    managed: tuple[str, ...] = ()
    """ARNs of policies of AWS or of the user"""
    own: Mapping[str, Any] = field(default_factory=dict)
    """a policy of its own"""


def roles(spec: ClusterSpec, names: Names) -> list[Role]:
    """Of a cluster, that of the control plane first: whoever makes it makes the cluster."""
    own = [
        Role(CONTROL, "control plane", "eks.amazonaws.com", (names.managed("AmazonEKSClusterPolicy"),)),
        Role(NODE, "machines", "ec2.amazonaws.com",
             (names.managed("AmazonEKSWorkerNodePolicy"), names.managed("AmazonEC2ContainerRegistryPullOnly"),
              *spec.policies)),
        Role(CNI, "addresses of pods", PODS, (names.managed("AmazonEKS_CNI_Policy"),)),
        Role(STORAGE, "disks of pods", PODS, (names.managed("service-role/AmazonEBSCSIDriverPolicy"),)),
        Role(AUTOSCALER, "starting and ending machines", PODS, own=autoscaler_policy(names)),
    ]  # fmt: skip
    return [*own, Role(SERVER, "files of the server", PODS, own=bucket_policy(names))] if spec.bucket else own


def create(names: Names, role: Role) -> Document:
    """CreateRole."""
    return {
        "RoleName": names.role(role.part),
        "Path": PATH,
        "Description": f"Orchestune cluster {names.cluster}: {role.about}",
        "AssumeRolePolicyDocument": json.dumps(trust(role.trusts)),
        "Tags": names.listed(role.part),
    }


def trust(service: str) -> Document:
    """Who may take the role on."""
    actions: Sequence[str] = ["sts:AssumeRole", "sts:TagSession"] if service == PODS else ["sts:AssumeRole"]
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": list(actions)}],
    }


def attach(names: Names, role: Role, policy: str) -> Document:
    """AttachRolePolicy."""
    return {"RoleName": names.role(role.part), "PolicyArn": policy}


def inline(names: Names, role: Role) -> Document:
    """PutRolePolicy."""
    return {
        "RoleName": names.role(role.part),
        "PolicyName": "orchestune",
        "PolicyDocument": json.dumps(dict(role.own)),
    }


def autoscaler_policy(names: Names) -> Document:
    """Looks at everything (those calls know no resources), changes the groups of this cluster alone."""
    looks = [
        "autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeAutoScalingInstances",
        "autoscaling:DescribeLaunchConfigurations", "autoscaling:DescribeScalingActivities",
        "ec2:DescribeImages", "ec2:DescribeInstanceTypes", "ec2:DescribeLaunchTemplateVersions",
        "ec2:GetInstanceTypesFromInstanceRequirements",
    ]  # fmt: skip
    owned = {"StringEquals": {f"aws:ResourceTag/k8s.io/cluster-autoscaler/{names.cluster}": "owned"}}
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "LookingKnowsNoResources", "Effect": "Allow", "Action": looks, "Resource": "*"},
            {"Sid": "PoolsOfThisCluster", "Effect": "Allow", "Action": ["eks:DescribeNodegroup"],
             "Resource": f"arn:{names.partition}:eks:{names.region}:{names.account}:nodegroup/{names.cluster}/*"},
            {"Sid": "GroupsOfThisCluster", "Effect": "Allow", "Condition": owned, "Resource": "*",
             "Action": ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]},
        ],
    }  # fmt: skip


def bucket_policy(names: Names) -> Document:
    """The cluster's bucket alone."""
    bucket = f"arn:{names.partition}:s3:::{names.bucket}"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "Listing", "Effect": "Allow", "Action": ["s3:ListBucket", "s3:ListBucketMultipartUploads"],
             "Resource": bucket},
            {"Sid": "Files", "Effect": "Allow", "Resource": f"{bucket}/*",
             "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload",
                        "s3:ListMultipartUploadParts"]},
        ],
    }  # fmt: skip
