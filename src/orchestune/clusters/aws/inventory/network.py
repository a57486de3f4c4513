"""Network resources and launch templates, found by the cluster's tag."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from orchestune.clusters.aws.client import Aws, tag_value
from orchestune.clusters.aws.errors import ignoring
from orchestune.clusters.aws.inventory import guards
from orchestune.clusters.aws.inventory.guards import delete_endpoint
from orchestune.clusters.aws.inventory.kubernetes import describe_foreign_interfaces
from orchestune.clusters.aws.inventory.resources import Resource, ResourceKind
from orchestune.clusters.aws.names import PART, TAG, Names

_DELETED_STATES = ("deleted", "deleting")


def resource_kinds(aws: Aws, names: Names) -> list[ResourceKind]:
    """Return the kinds in removal order: dependents first."""
    return [
        _single_call_kind(aws, names, "launch template", "DescribeLaunchTemplates", "LaunchTemplates",
                          "LaunchTemplateId", "DeleteLaunchTemplate"),
        ResourceKind("EC2", "S3 endpoint", lambda: _endpoints(aws, names)),
        *guards.resource_kinds(aws, names),
        ResourceKind("EC2", "NAT gateway", lambda: _nat_gateways(aws, names)),
        _single_call_kind(aws, names, "address", "DescribeAddresses", "Addresses", "AllocationId", "ReleaseAddress"),
        ResourceKind("EC2", "subnet", lambda: _subnets(aws, names)),
        ResourceKind("EC2", "routes", lambda: _route_tables(aws, names)),
        ResourceKind("EC2", "internet gateway", lambda: _internet_gateways(aws, names)),
        ResourceKind("EC2", "network", lambda: _vpcs(aws, names)),
    ]  # fmt: skip


def _tagged(aws: Aws, names: Names, operation: str, key: str) -> list[dict[str, Any]]:
    name = "Filter" if operation == "DescribeNatGateways" else "Filters"
    request = {name: [{"Name": f"tag:{TAG}", "Values": [names.cluster]}]}
    return list(aws.pages("ec2", operation, key, request))


def _single_call_kind(
    aws: Aws, names: Names, kind: str, describe_operation: str, list_key: str, id_key: str, delete_operation: str
) -> ResourceKind:
    """Return a kind of resource that one call deletes."""

    def to_resource(description: Mapping[str, Any]) -> Resource:
        resource_id = str(description[id_key])
        return Resource(resource_id, _part(description), partial(_delete, aws, delete_operation, id_key, resource_id))

    def find() -> list[Resource]:
        return [to_resource(description) for description in _tagged(aws, names, describe_operation, list_key)]

    return ResourceKind("EC2", kind, find)


def _part(description: Mapping[str, Any]) -> str:
    return tag_value(description.get("Tags") or [], PART)


def _delete(aws: Aws, operation: str, key: str, resource_id: str) -> None:
    aws.call("ec2", operation, {key: resource_id}, about=resource_id)


def _endpoints(aws: Aws, names: Names) -> list[Resource]:
    endpoints = _tagged(aws, names, "DescribeVpcEndpoints", "VpcEndpoints")
    endpoint_ids = [str(endpoint["VpcEndpointId"]) for endpoint in endpoints
                    if str(endpoint.get("State", "")).lower() not in _DELETED_STATES]  # fmt: skip
    return [Resource(each, names.cluster, partial(delete_endpoint, aws, each)) for each in endpoint_ids]


def _nat_gateways(aws: Aws, names: Names) -> list[Resource]:
    """Return the NAT gateways; one that is being deleted still blocks its address and subnet."""
    resources = []
    for gateway in _tagged(aws, names, "DescribeNatGateways", "NatGateways"):
        gateway_id = str(gateway["NatGatewayId"])
        delete = partial(_delete, aws, "DeleteNatGateway", "NatGatewayId", gateway_id)
        if gateway["State"] != "deleted":
            is_deleting = gateway["State"] == "deleting"
            resources.append(Resource(gateway_id, _part(gateway), None if is_deleting else delete))
    return resources


def _subnets(aws: Aws, names: Names) -> list[Resource]:
    resources = []
    for subnet in _tagged(aws, names, "DescribeSubnets", "Subnets"):
        subnet_id = str(subnet["SubnetId"])
        delete = partial(_delete, aws, "DeleteSubnet", "SubnetId", subnet_id)
        find_blocker = partial(describe_foreign_interfaces, aws, names, "subnet-id", subnet_id)
        resources.append(Resource(subnet_id, _part(subnet), delete, find_blocker))
    return resources


def _route_tables(aws: Aws, names: Names) -> list[Resource]:
    return [
        Resource(
            str(table["RouteTableId"]), _part(table).removeprefix("routes-"), partial(_delete_route_table, aws, table)
        )
        for table in _tagged(aws, names, "DescribeRouteTables", "RouteTables")
    ]


def _delete_route_table(aws: Aws, table: Mapping[str, Any]) -> None:
    table_id = str(table["RouteTableId"])
    for association in table.get("Associations") or ():
        if not association.get("Main"):
            request = {"AssociationId": association["RouteTableAssociationId"]}
            with ignoring("InvalidAssociationID.NotFound"):
                aws.call("ec2", "DisassociateRouteTable", request, about=table_id)
    _delete(aws, "DeleteRouteTable", "RouteTableId", table_id)


def _internet_gateways(aws: Aws, names: Names) -> list[Resource]:
    return [Resource(str(gateway["InternetGatewayId"]), names.cluster, partial(_delete_internet_gateway, aws, gateway))
            for gateway in _tagged(aws, names, "DescribeInternetGateways", "InternetGateways")]  # fmt: skip


def _delete_internet_gateway(aws: Aws, gateway: Mapping[str, Any]) -> None:
    gateway_id = str(gateway["InternetGatewayId"])
    for attachment in gateway.get("Attachments") or ():
        request = {"InternetGatewayId": gateway_id, "VpcId": attachment["VpcId"]}
        with ignoring("Gateway.NotAttached"):
            aws.call("ec2", "DetachInternetGateway", request, about=gateway_id)
    _delete(aws, "DeleteInternetGateway", "InternetGatewayId", gateway_id)


def _vpcs(aws: Aws, names: Names) -> list[Resource]:
    resources = []
    for vpc in _tagged(aws, names, "DescribeVpcs", "Vpcs"):
        vpc_id = str(vpc["VpcId"])
        delete = partial(_delete, aws, "DeleteVpc", "VpcId", vpc_id)
        resources.append(Resource(vpc_id, names.cluster, delete, partial(_describe_foreign, aws, names, vpc_id)))
    return resources


def _describe_foreign(aws: Aws, names: Names, vpc: str) -> str:
    return describe_foreign_interfaces(aws, names, "vpc-id", vpc) or _describe_foreign_groups(aws, names, vpc)


def _describe_foreign_groups(aws: Aws, names: Names, vpc: str) -> str:
    """Describe foreign security groups in the VPC; empty if none."""
    request = {"Filters": [{"Name": "vpc-id", "Values": [vpc]}]}
    pages = aws.pages("ec2", "DescribeSecurityGroups", "SecurityGroups", request)
    foreign = [str(group["GroupId"]) for group in pages
               if group.get("GroupName") != "default"
               and tag_value(group.get("Tags") or [], f"kubernetes.io/cluster/{names.cluster}") != "owned"]  # fmt: skip
    return f"foreign security groups are in it: {', '.join(sorted(foreign))}" if foreign else ""
