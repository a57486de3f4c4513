"""A network of its own: public subnets for what faces the world, private ones for machines, one way out."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network
from typing import Any

from orchestune.clusters.aws.names import Names

Document = dict[str, Any]
EVERYWHERE = "0.0.0.0/0"
MOST = 7
"""zones that have room in a network"""


def _tagged(kind: str, names: Names, part: str, more: Document | None = None) -> list[Document]:
    tags = [*names.listed(part), *({"Key": key, "Value": value} for key, value in (more or {}).items())]
    return [{"ResourceType": kind, "Tags": tags}]


def blocks(cidr: str, count: int) -> list[tuple[str, str]]:
    """The addresses of the public and the private subnet of each zone: an eighth for machines and pods, a 64th."""
    network = IPv4Network(cidr)
    eighths = list(network.subnets(prefixlen_diff=3))
    small = list(eighths[0].subnets(prefixlen_diff=3))
    return [(str(small[index]), str(eighths[index + 1])) for index in range(count)]


def vpc(names: Names, cidr: str) -> Document:
    """CreateVpc."""
    return {"CidrBlock": cidr, "TagSpecifications": _tagged("vpc", names, "network")}


def vpc_names(vpc_id: str) -> list[Document]:
    """ModifyVpcAttribute, one attribute a call: machines find the cluster's private endpoint by name."""
    return [
        {"VpcId": vpc_id, "EnableDnsSupport": {"Value": True}},
        {"VpcId": vpc_id, "EnableDnsHostnames": {"Value": True}},
    ]


def gateway(names: Names) -> Document:
    """CreateInternetGateway."""
    return {"TagSpecifications": _tagged("internet-gateway", names, "gateway")}


def subnet(names: Names, vpc_id: str, zone: str, block: str, *, public: bool) -> Document:
    """CreateSubnet. The tag of the role tells Kubernetes where load balancers belong."""
    role = "kubernetes.io/role/elb" if public else "kubernetes.io/role/internal-elb"
    part = f"{'public' if public else 'private'}-{zone}"
    return {
        "VpcId": vpc_id,
        "AvailabilityZone": zone,
        "CidrBlock": block,
        "TagSpecifications": _tagged("subnet", names, part, {role: "1"}),
    }


def address(names: Names) -> Document:
    """AllocateAddress, of the way out."""
    return {"Domain": "vpc", "TagSpecifications": _tagged("elastic-ip", names, "way-out")}


def nat(names: Names, subnet_id: str, address_id: str) -> Document:
    """CreateNatGateway: machines reach the world, which does not reach them."""
    return {
        "SubnetId": subnet_id,
        "AllocationId": address_id,
        "ConnectivityType": "public",
        "TagSpecifications": _tagged("natgateway", names, "way-out"),
    }


def routes(names: Names, vpc_id: str, part: str) -> Document:
    """CreateRouteTable."""
    return {"VpcId": vpc_id, "TagSpecifications": _tagged("route-table", names, part)}


def storage_endpoint(names: Names, vpc_id: str, table_ids: Sequence[str]) -> Document:
    """CreateVpcEndpoint: layers of images and files go to S3 for nothing, not through the way out."""
    return {
        "VpcEndpointType": "Gateway",
        "VpcId": vpc_id,
        "ServiceName": f"com.amazonaws.{names.region}.s3",
        "RouteTableIds": list(table_ids),
        "TagSpecifications": _tagged("vpc-endpoint", names, "storage"),
    }
