"""Requests for a VPC: public subnets for load balancers, private ones for nodes, one NAT gateway."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network
from typing import Any

from orchestune.clusters.aws.names import Names

Document = dict[str, Any]
EVERYWHERE = "0.0.0.0/0"
MAX_ZONES = 7
"""maximum number of zones per VPC"""


def _tagged(kind: str, names: Names, part: str, extra_tags: Document | None = None) -> list[Document]:
    tags = [*names.tag_list(part), *({"Key": key, "Value": value} for key, value in (extra_tags or {}).items())]
    return [{"ResourceType": kind, "Tags": tags}]


def blocks(cidr: str, count: int) -> list[tuple[str, str]]:
    """Return the CIDR blocks of the public (1/64) and private (1/8, nodes and pods) subnet of each zone."""
    eighths = list(IPv4Network(cidr).subnets(prefixlen_diff=3))
    public = list(eighths[0].subnets(prefixlen_diff=3))  # the first eighth is divided among the public subnets
    return [(str(public[index]), str(eighths[index + 1])) for index in range(count)]


def vpc(names: Names, cidr: str) -> Document:
    """Return the CreateVpc request."""
    return {"CidrBlock": cidr, "TagSpecifications": _tagged("vpc", names, "network")}


def vpc_dns(vpc_id: str) -> list[Document]:
    """Return the ModifyVpcAttribute requests, one per attribute: nodes need DNS to resolve the private endpoint."""
    return [
        {"VpcId": vpc_id, "EnableDnsSupport": {"Value": True}},
        {"VpcId": vpc_id, "EnableDnsHostnames": {"Value": True}},
    ]


def gateway(names: Names) -> Document:
    """Return the CreateInternetGateway request."""
    return {"TagSpecifications": _tagged("internet-gateway", names, "gateway")}


def subnet(names: Names, vpc_id: str, zone: str, block: str, *, public: bool) -> Document:
    """Return the CreateSubnet request. The role tag tells Kubernetes which subnets are for load balancers."""
    role = "kubernetes.io/role/elb" if public else "kubernetes.io/role/internal-elb"
    part = f"{'public' if public else 'private'}-{zone}"
    return {
        "VpcId": vpc_id,
        "AvailabilityZone": zone,
        "CidrBlock": block,
        "TagSpecifications": _tagged("subnet", names, part, {role: "1"}),
    }


def address(names: Names) -> Document:
    """Return the AllocateAddress request for the NAT gateway."""
    return {"Domain": "vpc", "TagSpecifications": _tagged("elastic-ip", names, "way-out")}


def nat(names: Names, subnet_id: str, address_id: str) -> Document:
    """Return the CreateNatGateway request: outbound internet access for nodes, no inbound."""
    return {
        "SubnetId": subnet_id,
        "AllocationId": address_id,
        "ConnectivityType": "public",
        "TagSpecifications": _tagged("natgateway", names, "way-out"),
    }


def routes(names: Names, vpc_id: str, part: str) -> Document:
    """Return the CreateRouteTable request."""
    return {"VpcId": vpc_id, "TagSpecifications": _tagged("route-table", names, part)}


def storage_endpoint(names: Names, vpc_id: str, table_ids: Sequence[str]) -> Document:
    """Return the CreateVpcEndpoint request: image layers and files reach S3 free of charge, not through NAT."""
    return {
        "VpcEndpointType": "Gateway",
        "VpcId": vpc_id,
        "ServiceName": f"com.amazonaws.{names.region}.s3",
        "RouteTableIds": list(table_ids),
        "TagSpecifications": _tagged("vpc-endpoint", names, "storage"),
    }
