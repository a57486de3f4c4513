"""Resources that Kubernetes created and left behind: load balancers, disks, network interfaces, security groups.

They carry the cluster's name but not Orchestune's tag, so they count only while the role of the control plane exists:
it is deleted last, and without it nothing proves that a cluster of that name was Orchestune's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestune.clusters.aws.claim import role_tags
from orchestune.clusters.aws.client import Aws, named
from orchestune.clusters.aws.inventory.resources import Resource, ResourceKind
from orchestune.clusters.aws.names import TAG, Names
from orchestune.clusters.aws.requests.roles import CONTROL

_CHUNK = 20
"""load balancers per DescribeTags request"""
_CNI = "cluster.k8s.amazonaws.com/name"
_PASSING = "natGateway", "nat_gateway", "load_balancer", "network_load_balancer", "gateway_load_balancer"
_ABOUT = "Amazon EKS ", "ELB ", "Interface for NAT Gateway"
"""prefixes of the descriptions of interfaces that belong to a control plane, load balancer or NAT gateway"""


def shelves(aws: Aws, names: Names) -> list[ResourceKind]:
    """Return the kinds in removal order, after the control plane."""
    return [
        ResourceKind(
            "Elastic Load Balancing", "load balancer", lambda: [*_balancers(aws, names), *_classic(aws, names)]
        ),
        ResourceKind("EC2", "volume", lambda: _volumes(aws, names)),
        ResourceKind("EC2", "network interface", lambda: _interfaces(aws, names)),
        ResourceKind("EC2", "security group", lambda: _security_groups(aws, names)),
    ]


def _was_ours(aws: Aws, names: Names) -> bool:
    return named(role_tags(aws, names.role(CONTROL)) or [], TAG) == names.cluster


def _owned(tags: list[dict[str, str]], names: Names) -> bool:
    return named(tags, f"kubernetes.io/cluster/{names.cluster}") == "owned" or (
        named(tags, "elbv2.k8s.aws/cluster") == names.cluster
    )


def _balancers(aws: Aws, names: Names) -> Iterator[Resource]:
    if not _was_ours(aws, names):
        return
    found = {item["LoadBalancerArn"]: item for item in aws.pages("elbv2", "DescribeLoadBalancers", "LoadBalancers")}
    for chunk in _chunks(list(found)):
        for item in aws.call("elbv2", "DescribeTags", {"ResourceArns": chunk})["TagDescriptions"]:
            arn = str(item["ResourceArn"])
            if _owned(item["Tags"], names):

                def remove(arn: str = arn) -> None:
                    aws.call("elbv2", "DeleteLoadBalancer", {"LoadBalancerArn": arn}, about=f"load balancer {arn}")

                yield Resource(arn, str(found[arn]["LoadBalancerName"]), remove)


def _classic(aws: Aws, names: Names) -> Iterator[Resource]:
    if not _was_ours(aws, names):
        return
    pages = aws.pages("elb", "DescribeLoadBalancers", "LoadBalancerDescriptions")
    for chunk in _chunks([str(item["LoadBalancerName"]) for item in pages]):
        for item in aws.call("elb", "DescribeTags", {"LoadBalancerNames": chunk})["TagDescriptions"]:
            name = str(item["LoadBalancerName"])
            if _owned(item["Tags"], names):

                def remove(name: str = name) -> None:
                    aws.call("elb", "DeleteLoadBalancer", {"LoadBalancerName": name}, about=f"load balancer {name}")

                yield Resource(name, name, remove)


def _chunks(found: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(found), _CHUNK):
        yield found[start : start + _CHUNK]


def _volumes(aws: Aws, names: Names) -> list[Resource]:
    """Return volumes with the cluster's tag, which the EBS CSI driver sets on each volume."""
    found = []
    filters = [{"Name": f"tag:{TAG}", "Values": [names.cluster]}]
    for item in aws.pages("ec2", "DescribeVolumes", "Volumes", {"Filters": filters}):
        identity = str(item["VolumeId"])

        def remove(identity: str = identity) -> None:
            aws.call("ec2", "DeleteVolume", {"VolumeId": identity}, about=f"volume {identity}")

        if item.get("State") != "deleting":
            found.append(Resource(identity, "", remove if item.get("State") != "in-use" else None))
    return found


def _interfaces(aws: Aws, names: Names) -> list[Resource]:
    found: dict[str, Resource] = {}
    filters = [{"Name": f"tag:{TAG}", "Values": [names.cluster]}]
    if _was_ours(aws, names):
        filters.append({"Name": f"tag:{_CNI}", "Values": [names.cluster]})
    for one in filters:
        for item in aws.pages("ec2", "DescribeNetworkInterfaces", "NetworkInterfaces", {"Filters": [one]}):
            identity = str(item["NetworkInterfaceId"])

            def remove(identity: str = identity) -> None:
                request = {"NetworkInterfaceId": identity}
                aws.call("ec2", "DeleteNetworkInterface", request, about=f"network interface {identity}")

            found[identity] = Resource(identity, "", remove if item.get("Status") == "available" else None)
    return list(found.values())


def _security_groups(aws: Aws, names: Names) -> list[Resource]:
    if not _was_ours(aws, names):
        return []
    filters = [{"Name": f"tag:kubernetes.io/cluster/{names.cluster}", "Values": ["owned"]}]
    found = []
    for item in aws.pages("ec2", "DescribeSecurityGroups", "SecurityGroups", {"Filters": filters}):
        identity = str(item["GroupId"])

        def remove(identity: str = identity) -> None:
            aws.call("ec2", "DeleteSecurityGroup", {"GroupId": identity}, about=f"security group {identity}")

        def blocked(identity: str = identity) -> str:
            return foreign(aws, names, "group-id", identity)

        found.append(Resource(identity, str(item.get("GroupName") or ""), remove, blocked))
    return found


def foreign(aws: Aws, names: Names, name: str, value: str) -> str:
    """Describe foreign network interfaces that use the resource; empty if none."""
    request = {"Filters": [{"Name": name, "Values": [value]}]}
    said = []
    for item in aws.pages("ec2", "DescribeNetworkInterfaces", "NetworkInterfaces", request):
        if not _passing(item, names):
            about = item.get("Description") or item.get("InterfaceType") or "no description"
            said.append(f"{item['NetworkInterfaceId']} ({about})")
    return f"network interfaces of somebody else are in it: {', '.join(sorted(said))}" if said else ""


def _passing(item: dict[str, Any], names: Names) -> bool:
    """Return True if the interface is deleted with the cluster; those of endpoints, functions and databases are not."""
    tags = item.get("TagSet") or []
    kind, about = str(item.get("InterfaceType", "")), str(item.get("Description", ""))
    theirs = item.get("RequesterManaged") and (kind in _PASSING or about.startswith(_ABOUT))
    return bool(theirs or named(tags, TAG) == names.cluster or named(tags, _CNI) == names.cluster)
