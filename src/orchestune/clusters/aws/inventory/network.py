"""Network resources and launch templates."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from orchestune.clusters.aws.client import Aws, named
from orchestune.clusters.aws.errors import already
from orchestune.clusters.aws.inventory import guards
from orchestune.clusters.aws.inventory.guards import remove_endpoint
from orchestune.clusters.aws.inventory.kubernetes import foreign
from orchestune.clusters.aws.inventory.resources import Resource, ResourceKind
from orchestune.clusters.aws.names import PART, TAG, Names

_GONE = ("deleted", "deleting")


def shelves(aws: Aws, names: Names) -> list[ResourceKind]:
    """Return the kinds in removal order: dependents first."""
    return [
        _simple(aws, names, "launch template", "DescribeLaunchTemplates", "LaunchTemplates", "LaunchTemplateId",
                "DeleteLaunchTemplate"),
        ResourceKind("EC2", "S3 endpoint", lambda: _endpoints(aws, names)),
        *guards.shelves(aws, names),
        ResourceKind("EC2", "NAT gateway", lambda: _gateways(aws, names)),
        _simple(aws, names, "address", "DescribeAddresses", "Addresses", "AllocationId", "ReleaseAddress"),
        ResourceKind("EC2", "subnet", lambda: _subnets(aws, names)),
        ResourceKind("EC2", "routes", lambda: _tables(aws, names)),
        ResourceKind("EC2", "internet gateway", lambda: _internet(aws, names)),
        ResourceKind("EC2", "network", lambda: _vpcs(aws, names)),
    ]  # fmt: skip


def _tagged(aws: Aws, names: Names, operation: str, key: str) -> list[dict[str, Any]]:
    name = "Filter" if operation == "DescribeNatGateways" else "Filters"
    request = {name: [{"Name": f"tag:{TAG}", "Values": [names.cluster]}]}
    return list(aws.pages("ec2", operation, key, request))


def _simple(aws: Aws, names: Names, kind: str, look: str, key: str, identity: str, delete: str) -> ResourceKind:
    """Return a kind of resource that one call deletes."""

    def find() -> list[Resource]:
        return [Resource(str(item[identity]), _part(item), partial(_remove, aws, delete, identity, str(item[identity])))
                for item in _tagged(aws, names, look, key)]  # fmt: skip

    return ResourceKind("EC2", kind, find)


def _part(item: Mapping[str, Any]) -> str:
    return named(item.get("Tags") or [], PART)


def _remove(aws: Aws, operation: str, key: str, identity: str) -> None:
    aws.call("ec2", operation, {key: identity}, about=identity)


def _endpoints(aws: Aws, names: Names) -> list[Resource]:
    return [
        Resource(str(item["VpcEndpointId"]), names.cluster, partial(remove_endpoint, aws, str(item["VpcEndpointId"])))
        for item in _tagged(aws, names, "DescribeVpcEndpoints", "VpcEndpoints")
        if str(item.get("State", "")).lower() not in _GONE
    ]


def _gateways(aws: Aws, names: Names) -> list[Resource]:
    """Return the NAT gateways; one that is being deleted still blocks its address and subnet."""
    found = []
    for item in _tagged(aws, names, "DescribeNatGateways", "NatGateways"):
        identity = str(item["NatGatewayId"])
        remove = partial(_remove, aws, "DeleteNatGateway", "NatGatewayId", identity)
        if item["State"] != "deleted":
            found.append(Resource(identity, _part(item), None if item["State"] == "deleting" else remove))
    return found


def _subnets(aws: Aws, names: Names) -> list[Resource]:
    found = []
    for item in _tagged(aws, names, "DescribeSubnets", "Subnets"):
        identity = str(item["SubnetId"])
        remove = partial(_remove, aws, "DeleteSubnet", "SubnetId", identity)
        found.append(Resource(identity, _part(item), remove, partial(foreign, aws, names, "subnet-id", identity)))
    return found


def _tables(aws: Aws, names: Names) -> list[Resource]:
    return [Resource(str(item["RouteTableId"]), _part(item).removeprefix("routes-"), partial(_remove_table, aws, item))
            for item in _tagged(aws, names, "DescribeRouteTables", "RouteTables")]  # fmt: skip


def _remove_table(aws: Aws, item: Mapping[str, Any]) -> None:
    identity = str(item["RouteTableId"])
    for pair in item.get("Associations") or ():
        if not pair.get("Main"):
            request = {"AssociationId": pair["RouteTableAssociationId"]}
            with already("InvalidAssociationID.NotFound"):
                aws.call("ec2", "DisassociateRouteTable", request, about=identity)
    _remove(aws, "DeleteRouteTable", "RouteTableId", identity)


def _internet(aws: Aws, names: Names) -> list[Resource]:
    return [Resource(str(item["InternetGatewayId"]), names.cluster, partial(_remove_internet, aws, item))
            for item in _tagged(aws, names, "DescribeInternetGateways", "InternetGateways")]  # fmt: skip


def _remove_internet(aws: Aws, item: Mapping[str, Any]) -> None:
    identity = str(item["InternetGatewayId"])
    for pair in item.get("Attachments") or ():
        request = {"InternetGatewayId": identity, "VpcId": pair["VpcId"]}
        with already("Gateway.NotAttached"):
            aws.call("ec2", "DetachInternetGateway", request, about=identity)
    _remove(aws, "DeleteInternetGateway", "InternetGatewayId", identity)


def _vpcs(aws: Aws, names: Names) -> list[Resource]:
    found = []
    for item in _tagged(aws, names, "DescribeVpcs", "Vpcs"):
        identity = str(item["VpcId"])
        remove = partial(_remove, aws, "DeleteVpc", "VpcId", identity)
        found.append(Resource(identity, names.cluster, remove, partial(_in_it, aws, names, identity)))
    return found


def _in_it(aws: Aws, names: Names, vpc: str) -> str:
    return foreign(aws, names, "vpc-id", vpc) or _groups(aws, names, vpc)


def _groups(aws: Aws, names: Names, vpc: str) -> str:
    """Describe foreign security groups in the VPC; empty if none."""
    request = {"Filters": [{"Name": "vpc-id", "Values": [vpc]}]}
    pages = aws.pages("ec2", "DescribeSecurityGroups", "SecurityGroups", request)
    strange = [str(item["GroupId"]) for item in pages
               if item.get("GroupName") != "default"
               and named(item.get("Tags") or [], f"kubernetes.io/cluster/{names.cluster}") != "owned"]  # fmt: skip
    return f"security groups of somebody else are in it: {', '.join(sorted(strange))}" if strange else ""
