"""All AWS calls with the IAM actions they need; the policy in the documentation is generated from this table.

A call without an entry here raises KeyError, so the policy is sufficient.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestune.clusters.aws.names import TAG

MAX_POLICY_SIZE = 6144
"""maximum size of a managed policy in characters: docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""
EVERYTHING = "*"
_EC2, _EKS, _IAM, _ECR = "arn:aws:ec2:*:*:", "arn:aws:eks:*:*:", "arn:aws:iam::*:", "arn:aws:ecr:*:*:"
ROLE = f"{_IAM}role/orchestune*"
"""matches role ARNs with and without path: IAM checks a missing role without its path"""
CLUSTER = f"{_EKS}cluster/*"
BUCKET = "arn:aws:s3:::orchestune-*"
FUNCTION = "arn:aws:lambda:*:*:function:orchestune-*"
GUARDED = "GuardDutyManaged"
"""tag that GuardDuty sets on its resources in a VPC"""
_MODIFYING_REASON = "changing and deleting resources with our tag"
_READING_REASON = "read-only, has no resource level"
_NEW_TAGGED = {"StringLike": {f"aws:RequestTag/{TAG}": "*"}}
_HAS_OUR_TAG = {"StringLike": {f"aws:ResourceTag/{TAG}": "*"}}
_HAS_GUARDDUTY_TAG = {"StringEquals": {f"aws:ResourceTag/{GUARDED}": "true"}}


@dataclass(frozen=True)
class Allow:
    """Part of a policy statement: actions on resources, under a condition."""

    actions: tuple[str, ...]
    on: str
    why: str
    condition: str = ""
    """`new`: created resources must get our tag; `ours`: only resources with our tag; `guard`: only GuardDuty's;
    `to:SERVICE`: roles may be passed to this service only"""

    @property
    def conditions(self) -> dict[str, Any]:
        """The condition in policy syntax."""
        if self.condition.startswith("to:"):
            return {"StringEquals": {"iam:PassedToService": self.condition[3:]}}
        return {"": {}, "new": _NEW_TAGGED, "ours": _HAS_OUR_TAG, "guard": _HAS_GUARDDUTY_TAG}[self.condition]


@dataclass(frozen=True)
class Right:
    """Permissions needed for one call."""

    grants: tuple[Allow, ...]

    @property
    def actions(self) -> tuple[str, ...]:
        """All actions, the one of the call itself first."""
        return tuple(dict.fromkeys(action for grant in self.grants for action in grant.actions))


def _read_only(prefix: str, *operations: str) -> dict[tuple[str, str], Right]:
    """Return entries for read-only calls."""
    service = {"elasticloadbalancing": "elbv2", "servicequotas": "service-quotas"}.get(prefix, prefix)
    why = _READING_REASON
    return {(service, name): Right((Allow((f"{prefix}:{name}",), EVERYTHING, why),)) for name in operations}


def _creates(name: str, kind: str, *parents: str) -> dict[tuple[str, str], Right]:
    """Return the entry for an EC2 call that creates something, inside parents with our tag."""
    grants = [
        Allow((f"ec2:{name}",), f"{_EC2}{kind}/*", "creating network and launch templates, tagged", "new"),
        Allow(("ec2:CreateTags",), f"{_EC2}{kind}/*", "tags in creating requests", "new"),
    ]
    grants += [Allow((f"ec2:{name}",), f"{_EC2}{parent}/*", "inside our networks", "ours") for parent in parents]
    return {("ec2", name): Right(tuple(grants))}


def _modifies(name: str, *kinds: str) -> dict[tuple[str, str], Right]:
    """Return the entry for an EC2 call that changes or deletes something with our tag."""
    grants = tuple(Allow((f"ec2:{name}",), f"{_EC2}{kind}/*", _MODIFYING_REASON, "ours") for kind in kinds)
    return {("ec2", name): Right(grants)}


def _allow(service: str, on: str, why: str, *operations: str, condition: str = "") -> dict[tuple[str, str], Right]:
    return {(service, name): Right((Allow((f"{service}:{name}",), on, why, condition),)) for name in operations}


def _eks_part(kind: str, name: str) -> dict[tuple[str, str], Right]:
    """Return entries for calls about a part of a cluster."""
    return _allow("eks", f"{_EKS}{kind}/*", "parts of clusters", *name.split())


def _tagging(kind: str) -> Allow:
    """Allow tagging on creation; EKS checks it on the new part itself, not on its cluster."""
    return Allow(("eks:TagResource",), f"{_EKS}{kind}/*", "tags in creating requests", "new")


def _passing(name: str, kind: str, condition: str, service: str, *more: Allow) -> dict[tuple[str, str], Right]:
    """Return the entry for an EKS call that passes a role to a service."""
    why = "passing roles to the services that use them"
    return {
        ("eks", name): Right(
            (
                Allow((f"eks:{name}",), CLUSTER, "clusters and their parts, tagged", condition),
                _tagging(kind),
                Allow(("iam:PassRole",), ROLE, why, f"to:{service}"),
                *more,
            )
        )
    }


_KUBERNETES_REASON = "volumes, interfaces and load balancers that Kubernetes left behind"
_SERVICE_ROLE = Allow(
    ("iam:CreateServiceLinkedRole",),
    f"{_IAM}role/aws-service-role/*",
    "service-linked roles, once per account",
)
_ROLE_BY_NAME = f"{_IAM}role/orchestune-*"
_SPOT_BY_NAME = f"{_IAM}role/AWSServiceRoleForEC2Spot"
_ABSENT_ROLE_REASON = "looking up an absent role, which IAM checks without its path"
_GET_ROLE = Allow(("iam:GetRole",), ROLE, "roles of clusters")
_TEARDOWN_REASON = "the function that removes an idle cluster"

RIGHTS: dict[tuple[str, str], Right] = {
    **_read_only("sts", "GetCallerIdentity"),
    **_read_only("eks", "ListClusters", "DescribeClusterVersions", "DescribeAddonVersions"),
    **_read_only(
        "ec2", "DescribeAvailabilityZones", "DescribeInstanceTypes", "DescribeInstanceTypeOfferings",
        "DescribeInstances",
        "DescribeVpcs", "DescribeSubnets", "DescribeInternetGateways", "DescribeNatGateways", "DescribeAddresses",
        "DescribeRouteTables", "DescribeVpcEndpoints", "DescribeSecurityGroups", "DescribeNetworkInterfaces",
        "DescribeLaunchTemplates", "DescribeVolumes", "DescribeVpcAttribute",
    ),
    **_read_only("autoscaling", "DescribeAutoScalingGroups"),
    **_read_only("servicequotas", "GetServiceQuota", "GetAWSDefaultServiceQuota"),
    **_read_only("elasticloadbalancing", "DescribeLoadBalancers", "DescribeTags"),
    **{("elb", name): Right((Allow((f"elasticloadbalancing:{name}",), EVERYTHING, _READING_REASON),))
       for name in ("DescribeLoadBalancers", "DescribeTags")},
    **_read_only("ecr", "DescribeRepositories", "GetAuthorizationToken"),
    **_creates("CreateVpc", "vpc"),
    **_creates("CreateSubnet", "subnet", "vpc"),
    **_creates("CreateInternetGateway", "internet-gateway"),
    **_creates("AllocateAddress", "elastic-ip"),
    **_creates("CreateNatGateway", "natgateway", "subnet", "elastic-ip"),
    **_creates("CreateRouteTable", "route-table", "vpc"),
    **_creates("CreateVpcEndpoint", "vpc-endpoint", "vpc", "route-table"),
    **_creates("CreateLaunchTemplate", "launch-template"),
    **_modifies("ModifyVpcAttribute", "vpc"),
    **_modifies("AttachInternetGateway", "internet-gateway", "vpc"),
    **_modifies("DetachInternetGateway", "internet-gateway", "vpc"),
    **_modifies("CreateRoute", "route-table"),
    **_modifies("ReplaceRoute", "route-table"),
    **_modifies("ModifyVpcEndpoint", "vpc-endpoint", "route-table"),
    **_modifies("AssociateRouteTable", "route-table", "subnet"),
    **_modifies("DisassociateRouteTable", "route-table", "subnet"),
    **_modifies("DeleteVpc", "vpc"),
    **_modifies("DeleteSubnet", "subnet"),
    **_modifies("DeleteInternetGateway", "internet-gateway"),
    **_modifies("ReleaseAddress", "elastic-ip"),
    **_modifies("DeleteNatGateway", "natgateway"),
    **_modifies("DeleteRouteTable", "route-table"),
    ("ec2", "DeleteVpcEndpoints"): Right((
        Allow(("ec2:DeleteVpcEndpoints",), f"{_EC2}vpc-endpoint/*", _MODIFYING_REASON, "ours"),
        Allow(("ec2:DeleteVpcEndpoints",), f"{_EC2}vpc-endpoint/*", "endpoints added by GuardDuty", "guard"))),
    **_modifies("DeleteLaunchTemplate", "launch-template"),
    **_allow("ec2", f"{_EC2}volume/*", _KUBERNETES_REASON, "DeleteVolume"),
    **_allow("ec2", f"{_EC2}network-interface/*", _KUBERNETES_REASON, "DeleteNetworkInterface"),
    **_allow("ec2", f"{_EC2}security-group/*", _KUBERNETES_REASON, "DeleteSecurityGroup"),
    **{(service, "DeleteLoadBalancer"): Right((Allow(("elasticloadbalancing:DeleteLoadBalancer",), EVERYTHING,
                                                     _KUBERNETES_REASON),)) for service in ("elb", "elbv2")},
    ("iam", "CreateRole"): Right((Allow(("iam:CreateRole", "iam:TagRole"), ROLE, "roles of clusters"),)),
    ("iam", "GetRole"): Right((
        _GET_ROLE,
        Allow(("iam:GetRole",), _ROLE_BY_NAME, _ABSENT_ROLE_REASON),
        Allow(("iam:GetRole",), _SPOT_BY_NAME, _ABSENT_ROLE_REASON),
        Allow(("iam:GetRole",), f"{_IAM}role/aws-service-role/spot.amazonaws.com/*", "looking up the role for spot"))),
    **_allow("iam", ROLE, "roles of clusters", "DeleteRole", "TagRole", "UntagRole",
          "AttachRolePolicy", "DetachRolePolicy", "PutRolePolicy", "DeleteRolePolicy",
          "ListAttachedRolePolicies", "ListRolePolicies", "GetRolePolicy"),
    ("iam", "CreateServiceLinkedRole"): Right((_SERVICE_ROLE,)),
    **_passing("CreateCluster", "cluster", "new", "eks.amazonaws.com", _SERVICE_ROLE),
    **_passing("CreateNodegroup", "nodegroup", "ours", "ec2.amazonaws.com", _SERVICE_ROLE, _GET_ROLE,
               Allow(("ec2:RunInstances", "ec2:CreateTags"), EVERYTHING,
                     "instances that EKS starts from a launch template"),
               Allow(("iam:ListAttachedRolePolicies",), ROLE, "roles of clusters")),
    **_passing("CreateAddon", "addon", "ours", "pods.eks.amazonaws.com", _GET_ROLE,
               Allow(("eks:CreatePodIdentityAssociation",), CLUSTER, "clusters and their parts, tagged", "ours")),
    **_passing("CreatePodIdentityAssociation", "podidentityassociation", "ours", "pods.eks.amazonaws.com",
               _GET_ROLE),
    ("eks", "CreateAccessEntry"): Right((
        Allow(("eks:CreateAccessEntry",), CLUSTER, "clusters and their parts, tagged", "ours"),
        _tagging("access-entry"))),
    **_allow("eks", CLUSTER, "reading clusters", "DescribeCluster", "ListNodegroups", "ListAccessEntries",
          "ListPodIdentityAssociations"),
    **_allow("eks", CLUSTER, "clusters with our tag", "DeleteCluster", "UpdateClusterConfig", condition="ours"),
    **_eks_part("nodegroup", "DescribeNodegroup UpdateNodegroupConfig DeleteNodegroup"),
    **_eks_part("addon", "DescribeAddon DeleteAddon"),
    **_eks_part("access-entry", "DescribeAccessEntry DeleteAccessEntry AssociateAccessPolicy"
                " ListAssociatedAccessPolicies"),
    ("eks", "DescribeUpdate"): Right((Allow(("eks:DescribeUpdate",), CLUSTER, "reading clusters"),
                                      Allow(("eks:DescribeUpdate",), f"{_EKS}nodegroup/*", "parts of clusters"))),
    ("ecr", "CreateRepository"): Right((
        Allow(("ecr:CreateRepository", "ecr:TagResource"), f"{_ECR}repository/*", "repositories, tagged", "new"),)),
    **_allow("ecr", f"{_ECR}repository/*", "repositories of clusters", "PutLifecyclePolicy", "GetLifecyclePolicy",
          "ListTagsForResource"),
    **_allow("ecr", f"{_ECR}repository/*", "repositories of clusters", "DeleteRepository", condition="ours"),
    **{("s3", name): Right((Allow((f"s3:{action}",), BUCKET, "buckets of clusters"),)) for name, action in {
        "CreateBucket": "CreateBucket", "HeadBucket": "ListBucket",
        "PutPublicAccessBlock": "PutBucketPublicAccessBlock", "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
        "PutBucketTagging": "PutBucketTagging", "GetBucketTagging": "GetBucketTagging",
        "DeleteBucket": "DeleteBucket",
        "ListObjectVersions": "ListBucketVersions",
        "ListMultipartUploads": "ListBucketMultipartUploads"}.items()},
    ("s3", "DeleteObjects"): Right((Allow(("s3:DeleteObject", "s3:DeleteObjectVersion"), f"{BUCKET}/*",
                                          "buckets of clusters"),)),
    ("s3", "AbortMultipartUpload"): Right((Allow(("s3:AbortMultipartUpload",), f"{BUCKET}/*",
                                                 "buckets of clusters"),)),
    ("lambda", "CreateFunction"): Right((
        Allow(("lambda:CreateFunction", "lambda:TagResource"), FUNCTION, _TEARDOWN_REASON),
        Allow(("iam:PassRole",), ROLE, "passing roles to the services that use them",
              "to:lambda.amazonaws.com"))),
    **_allow("lambda", FUNCTION, _TEARDOWN_REASON, "GetFunction", "UpdateFunctionCode", "DeleteFunction",
             "TagResource"),
}  # fmt: skip
IN_CLUSTER_RIGHTS: dict[tuple[str, str], Right] = {
    ("lambda", "Invoke"): Right((Allow(("lambda:InvokeFunction",), FUNCTION, _TEARDOWN_REASON),)),
}
"""calls made only by the cluster itself, with its own roles"""
PUSHING = Allow(
    ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:GetDownloadUrlForLayer",
     "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"),
    f"{_ECR}repository/*", "pushing images",
)  # fmt: skip
"""actions needed to push images, which the registry checks beside these calls"""


def of(service: str, operation: str) -> Right:
    """Return the permissions for a call. KeyError means that the entry is missing and the call must not be made."""
    return IN_CLUSTER_RIGHTS.get((service, operation)) or RIGHTS[service, operation]


def policy() -> dict[str, Any]:
    """Return the policy for users who create, update and destroy clusters."""
    merged: dict[tuple[str, str, str], list[str]] = {}
    for grant in [*(grant for right in RIGHTS.values() for grant in right.grants), PUSHING]:
        actions = merged.setdefault((grant.why, grant.condition, grant.on), [])
        actions += [action for action in grant.actions if action not in actions]
    statements: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for (why, condition, on), actions in merged.items():
        statements.setdefault((why, condition, tuple(sorted(actions))), []).append(on)
    return {
        "Version": "2012-10-17",
        "Statement": [
            _statement(number, Allow(actions, "", why, condition), sorted(on))
            for number, ((why, condition, actions), on) in enumerate(sorted(statements.items()), 1)
        ],
    }


def parts() -> list[dict[str, Any]]:
    """Split the policy into parts within IAM's size limit, which ignores white space."""
    whole = policy()
    chunks: list[list[dict[str, Any]]] = [[]]
    for statement in whole["Statement"]:
        if _size({**whole, "Statement": [*chunks[-1], statement]}) > MAX_POLICY_SIZE:
            chunks.append([])
        chunks[-1].append(statement)
    return [{**whole, "Statement": statements} for statements in chunks]


def _size(document: Mapping[str, Any]) -> int:
    """Return the size of a policy as counted by IAM."""
    return len(re.sub(r"\s", "", json.dumps(document)))


def _statement(number: int, grant: Allow, on: list[str]) -> dict[str, Any]:
    words = "".join(char for char in grant.why.title() if char.isalnum())
    statement: dict[str, Any] = {"Sid": f"{words[:48]}{number}", "Effect": "Allow", "Action": list(grant.actions)}
    statement["Resource"] = on if len(on) > 1 else on[0]
    return statement | ({"Condition": grant.conditions} if grant.condition else {})
