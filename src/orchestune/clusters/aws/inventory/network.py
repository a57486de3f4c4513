"""The network, and the templates of machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from orchestune.clusters.aws.client import Aws, named
from orchestune.clusters.aws.errors import already
from orchestune.clusters.aws.inventory.kubernetes import foreign
from orchestune.clusters.aws.inventory.things import Shelf, Thing
from orchestune.clusters.aws.names import PART, TAG, Names

_GONE = ("deleted", "deleting")


def shelves(aws: Aws, names: Names) -> list[Shelf]:
    """In the order of removal: what uses something goes before it."""
    return [
        _simple(aws, names, "launch template", "DescribeLaunchTemplates", "LaunchTemplates", "LaunchTemplateId",
                "DeleteLaunchTemplate"),
        Shelf("EC2", "VPC endpoint", lambda: _endpoints(aws, names)),
        Shelf("EC2", "NAT gateway", lambda: _gateways(aws, names)),
        _simple(aws, names, "address", "DescribeAddresses", "Addresses", "AllocationId", "ReleaseAddress"),
        Shelf("EC2", "subnet", lambda: _subnets(aws, names)),
        Shelf("EC2", "routes", lambda: _tables(aws, names)),
        Shelf("EC2", "internet gateway", lambda: _internet(aws, names)),
        Shelf("EC2", "network", lambda: _vpcs(aws, names)),
    ]  # fmt: skip


def _tagged(aws: Aws, names: Names, operation: str, key: str) -> list[dict[str, Any]]:
    name = "Filter" if operation == "DescribeNatGateways" else "Filters"
    request = {name: [{"Name": f"tag:{TAG}", "Values": [names.cluster]}]}
    return list(aws.pages("ec2", operation, key, request))


def _simple(aws: Aws, names: Names, kind: str, look: str, key: str, identity: str, delete: str) -> Shelf:
    """Things that one call removes."""

    def find() -> list[Thing]:
        return [Thing(str(item[identity]), _part(item), _removing(aws, delete, {identity: item[identity]}, kind))
                for item in _tagged(aws, names, look, key)]  # fmt: skip

    return Shelf("EC2", kind, find)


def _part(item: Mapping[str, Any]) -> str:
    return named(item.get("Tags") or [], PART)


def _removing(aws: Aws, operation: str, request: Mapping[str, Any], about: str) -> Callable[[], None]:
    def remove() -> None:
        aws.call("ec2", operation, request, about=f"{about} {next(iter(request.values()))}")

    return remove


def _endpoints(aws: Aws, names: Names) -> list[Thing]:
    return [
        Thing(str(item["VpcEndpointId"]), _part(item),
              _removing(aws, "DeleteVpcEndpoints", {"VpcEndpointIds": [item["VpcEndpointId"]]}, "VPC endpoint"))
        for item in _tagged(aws, names, "DescribeVpcEndpoints", "VpcEndpoints")
        if str(item.get("State", "")).lower() not in _GONE
    ]  # fmt: skip


def _gateways(aws: Aws, names: Names) -> list[Thing]:
    """One that is being removed still holds its address and its subnet."""
    found = []
    for item in _tagged(aws, names, "DescribeNatGateways", "NatGateways"):
        request = {"NatGatewayId": item["NatGatewayId"]}
        remove = None if item["State"] == "deleting" else _removing(aws, "DeleteNatGateway", request, "NAT gateway")
        if item["State"] != "deleted":
            found.append(Thing(str(item["NatGatewayId"]), _part(item), remove))
    return found


def _subnets(aws: Aws, names: Names) -> list[Thing]:
    found = []
    for item in _tagged(aws, names, "DescribeSubnets", "Subnets"):
        identity = str(item["SubnetId"])

        def blocked(identity: str = identity) -> str:
            return foreign(aws, names, "subnet-id", identity)

        remove = _removing(aws, "DeleteSubnet", {"SubnetId": identity}, "subnet")
        found.append(Thing(identity, _part(item), remove, blocked))
    return found


def _tables(aws: Aws, names: Names) -> list[Thing]:
    found = []
    for item in _tagged(aws, names, "DescribeRouteTables", "RouteTables"):

        def remove(item: dict[str, Any] = item) -> None:
            for pair in item.get("Associations") or ():
                if not pair.get("Main"):
                    request = {"AssociationId": pair["RouteTableAssociationId"]}
                    aws.call("ec2", "DisassociateRouteTable", request, about=f"routes {item['RouteTableId']}")
            aws.call("ec2", "DeleteRouteTable", {"RouteTableId": item["RouteTableId"]}, about=f"routes {_part(item)}")

        found.append(Thing(str(item["RouteTableId"]), _part(item), remove))
    return found


def _internet(aws: Aws, names: Names) -> list[Thing]:
    found = []
    for item in _tagged(aws, names, "DescribeInternetGateways", "InternetGateways"):
        identity = str(item["InternetGatewayId"])

        def remove(item: dict[str, Any] = item, identity: str = identity) -> None:
            for pair in item.get("Attachments") or ():
                request = {"InternetGatewayId": identity, "VpcId": pair["VpcId"]}
                with already("Gateway.NotAttached"):
                    aws.call("ec2", "DetachInternetGateway", request, about=f"internet gateway {identity}")
            request = {"InternetGatewayId": identity}
            aws.call("ec2", "DeleteInternetGateway", request, about=f"internet gateway {identity}")

        found.append(Thing(identity, _part(item), remove))
    return found


def _vpcs(aws: Aws, names: Names) -> list[Thing]:
    found = []
    for item in _tagged(aws, names, "DescribeVpcs", "Vpcs"):
        identity = str(item["VpcId"])

        def blocked(identity: str = identity) -> str:
            return foreign(aws, names, "vpc-id", identity) or _groups(aws, names, identity)

        remove = _removing(aws, "DeleteVpc", {"VpcId": identity}, "network")
        found.append(Thing(identity, _part(item), remove, blocked))
    return found


def _groups(aws: Aws, names: Names, vpc: str) -> str:
    """Security groups that somebody else has put into the network."""
    request = {"Filters": [{"Name": "vpc-id", "Values": [vpc]}]}
    pages = aws.pages("ec2", "DescribeSecurityGroups", "SecurityGroups", request)
    strange = [str(item["GroupId"]) for item in pages
               if item.get("GroupName") != "default"
               and named(item.get("Tags") or [], f"kubernetes.io/cluster/{names.cluster}") != "owned"]  # fmt: skip
    return f"security groups of somebody else are in it: {', '.join(sorted(strange))}" if strange else ""
