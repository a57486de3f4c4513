"""All AWS calls with the IAM actions they need; the policy in the documentation is generated from this table.

A call without an entry here cannot be made, so the policy is sufficient.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestune.clusters.aws.names import TAG

LONGEST = 6144
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
_CHANGING = "changing and removing what has our tag"
_NO_RESOURCES = "these calls know no resources"
_MADE = {"StringLike": {f"aws:RequestTag/{TAG}": "*"}}
_OURS = {"StringLike": {f"aws:ResourceTag/{TAG}": "*"}}
_GUARDS = {"StringEquals": {f"aws:ResourceTag/{GUARDED}": "true"}}


@dataclass(frozen=True)
class Allow:
    """Part of a policy statement: actions on resources, under a condition."""

    actions: tuple[str, ...]
    on: str
    why: str
    condition: str = ""
    """`made`: new resources must get our tag; `ours`: only resources with our tag; `guard`: only GuardDuty's;
    `to:SERVICE`: roles may be passed to this service only"""

    @property
    def conditions(self) -> dict[str, Any]:
        """The condition in policy syntax."""
        if self.condition.startswith("to:"):
            return {"StringEquals": {"iam:PassedToService": self.condition[3:]}}
        return {"": {}, "made": _MADE, "ours": _OURS, "guard": _GUARDS}[self.condition]


@dataclass(frozen=True)
class Right:
    """Permissions needed for one call."""

    grants: tuple[Allow, ...]

    @property
    def actions(self) -> tuple[str, ...]:
        """All actions, the one of the call itself first."""
        return tuple(dict.fromkeys(action for grant in self.grants for action in grant.actions))


def _looks(prefix: str, *operations: str) -> dict[tuple[str, str], Right]:
    """Return entries for read-only calls."""
    service = {"elasticloadbalancing": "elbv2", "servicequotas": "service-quotas"}.get(prefix, prefix)
    why = f"looking; {_NO_RESOURCES}"
    return {(service, name): Right((Allow((f"{prefix}:{name}",), EVERYTHING, why),)) for name in operations}


def _makes(name: str, kind: str, *parents: str) -> dict[tuple[str, str], Right]:
    """Return the entry for an EC2 call that creates something, inside parents with our tag."""
    grants = [
        Allow((f"ec2:{name}",), f"{_EC2}{kind}/*", "the network and the machines' templates, tagged", "made"),
        Allow(("ec2:CreateTags",), f"{_EC2}{kind}/*", "tags, while something is made", "made"),
    ]
    grants += [Allow((f"ec2:{name}",), f"{_EC2}{parent}/*", "inside a network of ours", "ours") for parent in parents]
    return {("ec2", name): Right(tuple(grants))}


def _changes(name: str, *kinds: str) -> dict[tuple[str, str], Right]:
    """Return the entry for an EC2 call that changes or deletes something with our tag."""
    grants = tuple(Allow((f"ec2:{name}",), f"{_EC2}{kind}/*", _CHANGING, "ours") for kind in kinds)
    return {("ec2", name): Right(grants)}


def _on(service: str, on: str, why: str, *operations: str, condition: str = "") -> dict[tuple[str, str], Right]:
    return {(service, name): Right((Allow((f"{service}:{name}",), on, why, condition),)) for name in operations}


def _eks_part(kind: str, name: str) -> dict[tuple[str, str], Right]:
    """Return entries for calls about a part of a cluster."""
    return _on("eks", f"{_EKS}{kind}/*", "parts of clusters", *name.split())


def _tagging(kind: str) -> Allow:
    """Allow tagging on creation; EKS checks it on the new part itself, not on its cluster."""
    return Allow(("eks:TagResource",), f"{_EKS}{kind}/*", "tags, while something is made", "made")


def _passing(name: str, kind: str, condition: str, service: str, *more: Allow) -> dict[tuple[str, str], Right]:
    """Return the entry for an EKS call that passes a role to a service."""
    why = "roles of the cluster, to the services that use them and to no other"
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


_KUBERNETES_MADE = "load balancers, volumes and interfaces that Kubernetes made and left behind"
_SERVICE_ROLE = Allow(
    ("iam:CreateServiceLinkedRole",),
    f"{_IAM}role/aws-service-role/*",
    "the roles of AWS's own services, once in each account",
)
_ROLE_BY_NAME = f"{_IAM}role/orchestune-*"
_SPOT_BY_NAME = f"{_IAM}role/AWSServiceRoleForEC2Spot"
_ABSENT = "asking for a role that is not there: IAM judges that by its name, without a path"
_GET_ROLE = Allow(("iam:GetRole",), ROLE, "roles of the cluster alone")
_RETIRING = "the function that removes an idle cluster"

RIGHTS: dict[tuple[str, str], Right] = {
    **_looks("sts", "GetCallerIdentity"),
    **_looks("eks", "ListClusters", "DescribeClusterVersions", "DescribeAddonVersions"),
    **_looks(
        "ec2", "DescribeAvailabilityZones", "DescribeInstanceTypes", "DescribeInstanceTypeOfferings",
        "DescribeInstances",
        "DescribeVpcs", "DescribeSubnets", "DescribeInternetGateways", "DescribeNatGateways", "DescribeAddresses",
        "DescribeRouteTables", "DescribeVpcEndpoints", "DescribeSecurityGroups", "DescribeNetworkInterfaces",
        "DescribeLaunchTemplates", "DescribeVolumes", "DescribeVpcAttribute",
    ),
    **_looks("autoscaling", "DescribeAutoScalingGroups"),
    **_looks("servicequotas", "GetServiceQuota", "GetAWSDefaultServiceQuota"),
    **_looks("elasticloadbalancing", "DescribeLoadBalancers", "DescribeTags"),
    **{("elb", name): Right((Allow((f"elasticloadbalancing:{name}",), EVERYTHING, f"looking; {_NO_RESOURCES}"),))
       for name in ("DescribeLoadBalancers", "DescribeTags")},
    **_looks("ecr", "DescribeRepositories", "GetAuthorizationToken"),
    **_makes("CreateVpc", "vpc"),
    **_makes("CreateSubnet", "subnet", "vpc"),
    **_makes("CreateInternetGateway", "internet-gateway"),
    **_makes("AllocateAddress", "elastic-ip"),
    **_makes("CreateNatGateway", "natgateway", "subnet", "elastic-ip"),
    **_makes("CreateRouteTable", "route-table", "vpc"),
    **_makes("CreateVpcEndpoint", "vpc-endpoint", "vpc", "route-table"),
    **_makes("CreateLaunchTemplate", "launch-template"),
    **_changes("ModifyVpcAttribute", "vpc"),
    **_changes("AttachInternetGateway", "internet-gateway", "vpc"),
    **_changes("DetachInternetGateway", "internet-gateway", "vpc"),
    **_changes("CreateRoute", "route-table"),
    **_changes("ReplaceRoute", "route-table"),
    **_changes("ModifyVpcEndpoint", "vpc-endpoint", "route-table"),
    **_changes("AssociateRouteTable", "route-table", "subnet"),
    **_changes("DisassociateRouteTable", "route-table", "subnet"),
    **_changes("DeleteVpc", "vpc"),
    **_changes("DeleteSubnet", "subnet"),
    **_changes("DeleteInternetGateway", "internet-gateway"),
    **_changes("ReleaseAddress", "elastic-ip"),
    **_changes("DeleteNatGateway", "natgateway"),
    **_changes("DeleteRouteTable", "route-table"),
    ("ec2", "DeleteVpcEndpoints"): Right((
        Allow(("ec2:DeleteVpcEndpoints",), f"{_EC2}vpc-endpoint/*", _CHANGING, "ours"),
        Allow(("ec2:DeleteVpcEndpoints",), f"{_EC2}vpc-endpoint/*", "what GuardDuty puts into networks", "guard"))),
    **_changes("DeleteLaunchTemplate", "launch-template"),
    **_on("ec2", f"{_EC2}volume/*", _KUBERNETES_MADE, "DeleteVolume"),
    **_on("ec2", f"{_EC2}network-interface/*", _KUBERNETES_MADE, "DeleteNetworkInterface"),
    **_on("ec2", f"{_EC2}security-group/*", _KUBERNETES_MADE, "DeleteSecurityGroup"),
    **{(service, "DeleteLoadBalancer"): Right((Allow(("elasticloadbalancing:DeleteLoadBalancer",), EVERYTHING,
                                                     _KUBERNETES_MADE),)) for service in ("elb", "elbv2")},
    ("iam", "CreateRole"): Right((Allow(("iam:CreateRole", "iam:TagRole"), ROLE, "roles of the cluster alone"),)),
    ("iam", "GetRole"): Right((
        _GET_ROLE,
        Allow(("iam:GetRole",), _ROLE_BY_NAME, _ABSENT), Allow(("iam:GetRole",), _SPOT_BY_NAME, _ABSENT),
        Allow(("iam:GetRole",), f"{_IAM}role/aws-service-role/spot.amazonaws.com/*", "whether the account has it"))),
    **_on("iam", ROLE, "roles of the cluster alone", "DeleteRole", "TagRole", "UntagRole",
          "AttachRolePolicy", "DetachRolePolicy", "PutRolePolicy", "DeleteRolePolicy",
          "ListAttachedRolePolicies", "ListRolePolicies", "GetRolePolicy"),
    ("iam", "CreateServiceLinkedRole"): Right((_SERVICE_ROLE,)),
    **_passing("CreateCluster", "cluster", "made", "eks.amazonaws.com", _SERVICE_ROLE),
    **_passing("CreateNodegroup", "nodegroup", "ours", "ec2.amazonaws.com", _SERVICE_ROLE, _GET_ROLE,
               Allow(("ec2:RunInstances", "ec2:CreateTags"), EVERYTHING,
                     "EKS starts machines from a template for who makes a node group, and tags them"),
               Allow(("iam:ListAttachedRolePolicies",), ROLE, "roles of the cluster alone")),
    **_passing("CreateAddon", "addon", "ours", "pods.eks.amazonaws.com", _GET_ROLE,
               Allow(("eks:CreatePodIdentityAssociation",), CLUSTER, "clusters and their parts, tagged", "ours")),
    **_passing("CreatePodIdentityAssociation", "podidentityassociation", "ours", "pods.eks.amazonaws.com",
               _GET_ROLE),
    ("eks", "CreateAccessEntry"): Right((
        Allow(("eks:CreateAccessEntry",), CLUSTER, "clusters and their parts, tagged", "ours"),
        _tagging("access-entry"))),
    **_on("eks", CLUSTER, "looking at clusters", "DescribeCluster", "ListNodegroups", "ListAccessEntries",
          "ListPodIdentityAssociations"),
    **_on("eks", CLUSTER, "clusters of ours", "DeleteCluster", "UpdateClusterConfig", condition="ours"),
    **_eks_part("nodegroup", "DescribeNodegroup UpdateNodegroupConfig DeleteNodegroup"),
    **_eks_part("addon", "DescribeAddon DeleteAddon"),
    **_eks_part("access-entry", "DescribeAccessEntry DeleteAccessEntry AssociateAccessPolicy"
                " ListAssociatedAccessPolicies"),
    ("eks", "DescribeUpdate"): Right((Allow(("eks:DescribeUpdate",), CLUSTER, "looking at clusters"),
                                      Allow(("eks:DescribeUpdate",), f"{_EKS}nodegroup/*", "parts of clusters"))),
    ("ecr", "CreateRepository"): Right((
        Allow(("ecr:CreateRepository", "ecr:TagResource"), f"{_ECR}repository/*", "repositories, tagged", "made"),)),
    **_on("ecr", f"{_ECR}repository/*", "repositories of the cluster", "PutLifecyclePolicy", "GetLifecyclePolicy",
          "ListTagsForResource"),
    **_on("ecr", f"{_ECR}repository/*", "repositories of the cluster", "DeleteRepository", condition="ours"),
    **{("s3", name): Right((Allow((f"s3:{action}",), BUCKET, "the bucket of the cluster"),)) for name, action in {
        "CreateBucket": "CreateBucket", "HeadBucket": "ListBucket",
        "PutPublicAccessBlock": "PutBucketPublicAccessBlock", "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
        "PutBucketTagging": "PutBucketTagging", "GetBucketTagging": "GetBucketTagging",
        "DeleteBucket": "DeleteBucket",
        "ListObjectVersions": "ListBucketVersions",
        "ListMultipartUploads": "ListBucketMultipartUploads"}.items()},
    ("s3", "DeleteObjects"): Right((Allow(("s3:DeleteObject", "s3:DeleteObjectVersion"), f"{BUCKET}/*",
                                          "the bucket of the cluster"),)),
    ("s3", "AbortMultipartUpload"): Right((Allow(("s3:AbortMultipartUpload",), f"{BUCKET}/*",
                                                 "the bucket of the cluster"),)),
    ("lambda", "CreateFunction"): Right((
        Allow(("lambda:CreateFunction", "lambda:TagResource"), FUNCTION, _RETIRING),
        Allow(("iam:PassRole",), ROLE, "roles of the cluster, to the services that use them and to no other",
              "to:lambda.amazonaws.com"))),
    **_on("lambda", FUNCTION, _RETIRING, "GetFunction", "UpdateFunctionCode", "DeleteFunction", "TagResource"),
}  # fmt: skip
INSIDE: dict[tuple[str, str], Right] = {
    ("lambda", "Invoke"): Right((Allow(("lambda:InvokeFunction",), FUNCTION, _RETIRING),)),
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
    return INSIDE.get((service, operation)) or RIGHTS[service, operation]


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
    found: list[list[dict[str, Any]]] = [[]]
    for statement in whole["Statement"]:
        if _size({**whole, "Statement": [*found[-1], statement]}) > LONGEST:
            found.append([])
        found[-1].append(statement)
    return [{**whole, "Statement": statements} for statements in found]


def _size(document: Mapping[str, Any]) -> int:
    """Return the size of a policy as counted by IAM."""
    return len(re.sub(r"\s", "", json.dumps(document)))


def _statement(number: int, grant: Allow, on: list[str]) -> dict[str, Any]:
    words = "".join(char for char in grant.why.title() if char.isalnum())
    made: dict[str, Any] = {"Sid": f"{words[:48]}{number}", "Effect": "Allow", "Action": list(grant.actions)}
    made["Resource"] = on if len(on) > 1 else on[0]
    return made | ({"Condition": grant.conditions} if grant.condition else {})
