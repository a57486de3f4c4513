"""Resources that Kubernetes created and left behind: load balancers, disks, network interfaces, security groups.

They carry the cluster's name but not Orchestune's tag, so they count only while the role of the control plane exists:
it is deleted last, and without it nothing proves that a cluster of that name was Orchestune's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestune.clusters.aws.client import Aws, tag_value
from orchestune.clusters.aws.cluster_lock import role_tags
from orchestune.clusters.aws.inventory.resources import Resource, ResourceKind
from orchestune.clusters.aws.names import TAG, Names
from orchestune.clusters.aws.requests.roles import CONTROL

_MAX_DESCRIBED = 20
"""load balancers per DescribeTags request"""
_CNI_TAG = "cluster.k8s.amazonaws.com/name"
_MANAGED_TYPES = "natGateway", "nat_gateway", "load_balancer", "network_load_balancer", "gateway_load_balancer"
_MANAGED_DESCRIPTIONS = "Amazon EKS ", "ELB ", "Interface for NAT Gateway"
"""prefixes of the descriptions of interfaces that belong to a control plane, load balancer or NAT gateway"""


def resource_kinds(aws: Aws, names: Names) -> list[ResourceKind]:
    """Return the kinds in removal order, after the control plane."""
    return [
        ResourceKind(
            "Elastic Load Balancing", "load balancer", lambda: [*_balancers(aws, names), *_classic(aws, names)]
        ),
        ResourceKind("EC2", "volume", lambda: _volumes(aws, names)),
        ResourceKind("EC2", "network interface", lambda: _interfaces(aws, names)),
        ResourceKind("EC2", "security group", lambda: _security_groups(aws, names)),
    ]


def _has_control_role(aws: Aws, names: Names) -> bool:
    """Return True if the control plane's role still exists, which proves that the cluster is Orchestune's."""
    return tag_value(role_tags(aws, names.role(CONTROL)) or [], TAG) == names.cluster


def _has_owner_tag(tags: list[dict[str, str]], names: Names) -> bool:
    return tag_value(tags, f"kubernetes.io/cluster/{names.cluster}") == "owned" or (
        tag_value(tags, "elbv2.k8s.aws/cluster") == names.cluster
    )


def _balancers(aws: Aws, names: Names) -> Iterator[Resource]:
    if not _has_control_role(aws, names):
        return
    pages = aws.pages("elbv2", "DescribeLoadBalancers", "LoadBalancers")
    balancers = {balancer["LoadBalancerArn"]: balancer for balancer in pages}
    for chunk in _chunks(list(balancers)):
        for balancer in aws.call("elbv2", "DescribeTags", {"ResourceArns": chunk})["TagDescriptions"]:
            arn = str(balancer["ResourceArn"])
            if _has_owner_tag(balancer["Tags"], names):

                def delete(arn: str = arn) -> None:
                    aws.call("elbv2", "DeleteLoadBalancer", {"LoadBalancerArn": arn}, about=f"load balancer {arn}")

                yield Resource(arn, str(balancers[arn]["LoadBalancerName"]), delete)


def _classic(aws: Aws, names: Names) -> Iterator[Resource]:
    if not _has_control_role(aws, names):
        return
    pages = aws.pages("elb", "DescribeLoadBalancers", "LoadBalancerDescriptions")
    for chunk in _chunks([str(balancer["LoadBalancerName"]) for balancer in pages]):
        for balancer in aws.call("elb", "DescribeTags", {"LoadBalancerNames": chunk})["TagDescriptions"]:
            name = str(balancer["LoadBalancerName"])
            if _has_owner_tag(balancer["Tags"], names):

                def delete(name: str = name) -> None:
                    aws.call("elb", "DeleteLoadBalancer", {"LoadBalancerName": name}, about=f"load balancer {name}")

                yield Resource(name, name, delete)


def _chunks(names: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), _MAX_DESCRIBED):
        yield names[start : start + _MAX_DESCRIBED]


def _volumes(aws: Aws, names: Names) -> list[Resource]:
    """Return volumes with the cluster's tag, which the EBS CSI driver sets on each volume."""
    resources = []
    filters = [{"Name": f"tag:{TAG}", "Values": [names.cluster]}]
    for volume in aws.pages("ec2", "DescribeVolumes", "Volumes", {"Filters": filters}):
        volume_id = str(volume["VolumeId"])

        def delete(volume_id: str = volume_id) -> None:
            aws.call("ec2", "DeleteVolume", {"VolumeId": volume_id}, about=f"volume {volume_id}")

        if volume.get("State") != "deleting":
            resources.append(Resource(volume_id, "", delete if volume.get("State") != "in-use" else None))
    return resources


def _interfaces(aws: Aws, names: Names) -> list[Resource]:
    """Return unused interfaces to delete, and those in use, which disappear with their instance or load balancer."""
    resources: dict[str, Resource] = {}
    filters = [{"Name": f"tag:{TAG}", "Values": [names.cluster]}]
    if _has_control_role(aws, names):
        filters.append({"Name": f"tag:{_CNI_TAG}", "Values": [names.cluster]})
    for request_filter in filters:
        request = {"Filters": [request_filter]}
        for interface in aws.pages("ec2", "DescribeNetworkInterfaces", "NetworkInterfaces", request):
            interface_id = str(interface["NetworkInterfaceId"])

            def delete(interface_id: str = interface_id) -> None:
                about = f"network interface {interface_id}"
                aws.call("ec2", "DeleteNetworkInterface", {"NetworkInterfaceId": interface_id}, about=about)

            is_unused = interface.get("Status") == "available"
            resources[interface_id] = Resource(interface_id, "", delete if is_unused else None)
    return list(resources.values())


def _security_groups(aws: Aws, names: Names) -> list[Resource]:
    if not _has_control_role(aws, names):
        return []
    filters = [{"Name": f"tag:kubernetes.io/cluster/{names.cluster}", "Values": ["owned"]}]
    resources = []
    for group in aws.pages("ec2", "DescribeSecurityGroups", "SecurityGroups", {"Filters": filters}):
        group_id = str(group["GroupId"])

        def delete(group_id: str = group_id) -> None:
            aws.call("ec2", "DeleteSecurityGroup", {"GroupId": group_id}, about=f"security group {group_id}")

        def find_blocker(group_id: str = group_id) -> str:
            return describe_foreign_interfaces(aws, names, "group-id", group_id)

        resources.append(Resource(group_id, str(group.get("GroupName") or ""), delete, find_blocker))
    return resources


def describe_foreign_interfaces(aws: Aws, names: Names, name: str, value: str) -> str:
    """Describe foreign network interfaces that use the resource; empty if none."""
    request = {"Filters": [{"Name": name, "Values": [value]}]}
    interfaces = []
    for interface in aws.pages("ec2", "DescribeNetworkInterfaces", "NetworkInterfaces", request):
        if not _is_deleted_with_cluster(interface, names):
            description = interface.get("Description") or interface.get("InterfaceType") or "no description"
            interfaces.append(f"{interface['NetworkInterfaceId']} ({description})")
    return f"foreign network interfaces are in it: {', '.join(sorted(interfaces))}" if interfaces else ""


def _is_deleted_with_cluster(interface: dict[str, Any], names: Names) -> bool:
    """Return True if the interface is deleted with the cluster; those of endpoints, functions and databases are not."""
    tags = interface.get("TagSet") or []
    kind, description = str(interface.get("InterfaceType", "")), str(interface.get("Description", ""))
    is_managed_kind = kind in _MANAGED_TYPES or description.startswith(_MANAGED_DESCRIPTIONS)
    is_managed = interface.get("RequesterManaged") and is_managed_kind
    return bool(is_managed or tag_value(tags, TAG) == names.cluster or tag_value(tags, _CNI_TAG) == names.cluster)
