"""Steps for the network, if the cluster gets a new one.

EC2 resources have no unique names, so they are found by two tags, cluster and part, which the creating request itself
sets. After an interruption between a create and its response, the next run finds the resource by them. Parts that need
a request of their own, such as attachments and routes, are repairs: they are completed for new and existing resources.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.creation_steps import Find, FindRepairs, Repair, ResourceIds, Step
from orchestune.clusters.aws.errors import ignoring
from orchestune.clusters.aws.inputs import ClusterSite
from orchestune.clusters.aws.names import PART, TAG, Names
from orchestune.clusters.aws.requests import network
from orchestune.domain.clusters.cluster import Planned
from orchestune.errors import OrchestuneError

Document = dict[str, Any]
_NAT_SECONDS = 600.0


def steps(site: ClusterSite) -> list[Step]:
    """Return steps for VPC, gateways, subnets, routes and S3 endpoint; empty if the file names an existing VPC."""
    if site.spec.network.vpc:
        return []
    return [_vpc(site), _gateway(site), *_subnets(site), _address(site), _nat(site), _table(site, public=True),
            _table(site, public=False), _endpoint(site)]  # fmt: skip


def find_by_tags(site: ClusterSite, operation: str, key: str, id_key: str, part: str) -> Find:
    """Return a function that finds an EC2 resource by its tags, ignoring resources that are being deleted."""

    def find(ids: ResourceIds) -> str | None:
        filters = [{"Name": f"tag:{TAG}", "Values": [site.names.cluster]}, {"Name": f"tag:{PART}", "Values": [part]}]
        name = "Filter" if operation == "DescribeNatGateways" else "Filters"
        for resource in site.aws.pages("ec2", operation, key, {name: filters}):
            if resource.get("State") not in ("deleted", "deleting", "failed"):
                return str(resource[id_key])
        return None

    return find


def _vpc(site: ClusterSite) -> Step:
    cidr = site.spec.network.cidr
    planned = Planned("network", site.names.cluster, f"VPC {cidr} in {site.names.region}")

    def create(ids: ResourceIds) -> str:
        response = site.aws.call("ec2", "CreateVpc", network.vpc(site.names, cidr), about=planned.title)
        return str(response["Vpc"]["VpcId"])

    def find_repairs(ids: ResourceIds) -> list[Repair]:
        """Check each attribute separately: EC2 returns one per call."""
        repairs = []
        for change in network.vpc_dns(ids["vpc"]):
            name = next(key for key in change if key != "VpcId")
            request = {"VpcId": ids["vpc"], "Attribute": f"{name[0].lower()}{name[1:]}"}
            attribute = site.aws.call_eventually("ec2", "DescribeVpcAttribute", request, about=planned.title)
            if not (attribute.get(name) or {}).get("Value"):
                repair = partial(site.aws.call_eventually, "ec2", "ModifyVpcAttribute", change, about=planned.title)
                repairs.append(Repair(f"DNS ({name})", repair))
        return repairs

    find = find_by_tags(site, "DescribeVpcs", "Vpcs", "VpcId", "network")
    return Step("vpc", planned, find, create, find_repairs=find_repairs)


def _gateway(site: ClusterSite) -> Step:
    planned = Planned("internet gateway", site.names.cluster)

    def create(ids: ResourceIds) -> str:
        response = site.aws.call("ec2", "CreateInternetGateway", network.gateway(site.names), about=planned.title)
        return str(response["InternetGateway"]["InternetGatewayId"])

    def find_repairs(ids: ResourceIds) -> list[Repair]:
        request = {"InternetGatewayIds": [ids["gateway"]]}
        response = site.aws.call_eventually("ec2", "DescribeInternetGateways", request, about=planned.title)
        attachments = response["InternetGateways"][0].get("Attachments") or ()
        vpc_ids = {str(attachment["VpcId"]) for attachment in attachments}
        return [] if ids.get("vpc") in vpc_ids else [Repair("attachment to the VPC", lambda: attach(ids))]

    def attach(ids: ResourceIds) -> None:
        request = {"InternetGatewayId": ids["gateway"], "VpcId": ids["vpc"]}
        with ignoring("Resource.AlreadyAssociated"):
            site.aws.call_eventually("ec2", "AttachInternetGateway", request, about=planned.title)

    find = find_by_tags(site, "DescribeInternetGateways", "InternetGateways", "InternetGatewayId", "gateway")
    return Step("gateway", planned, find, create, find_repairs=find_repairs)


def _subnets(site: ClusterSite) -> list[Step]:
    subnet_steps = []
    for zone, (outer, inner) in zip(site.zones, network.blocks(site.spec.network.cidr, len(site.zones)), strict=True):
        subnet_steps += [_subnet(site, zone, outer, public=True), _subnet(site, zone, inner, public=False)]
    return subnet_steps


def _subnet(site: ClusterSite, zone: str, block: str, *, public: bool) -> Step:
    key = f"{'public' if public else 'private'}-{zone}"
    planned = Planned("subnet", key, f"{block}, for {'load balancers' if public else 'nodes and pods'}")

    def create(ids: ResourceIds) -> str:
        free = _find_free_block(site, ids["vpc"], block, public=public)
        request = network.subnet(site.names, ids["vpc"], zone, free, public=public)
        response = site.aws.call_eventually("ec2", "CreateSubnet", request, about=planned.title)
        return str(response["Subnet"]["SubnetId"])

    return Step(key, planned, find_by_tags(site, "DescribeSubnets", "Subnets", "SubnetId", key), create)


def _find_free_block(site: ClusterSite, vpc: str, preferred: str, *, public: bool) -> str:
    """Return the preferred block, or a free one if another zone has it: the file may list its zones in a new order."""
    request = {"Filters": [{"Name": "vpc-id", "Values": [vpc]}]}
    used = {str(subnet["CidrBlock"]) for subnet in site.aws.pages("ec2", "DescribeSubnets", "Subnets", request)}
    blocks = [pair[0 if public else 1] for pair in network.blocks(site.spec.network.cidr, network.MAX_ZONES)]
    return next((block for block in (preferred, *blocks) if block not in used), preferred)


def _address(site: ClusterSite) -> Step:
    planned = Planned("address", "way-out", "public address of the nodes' outbound traffic")

    def create(ids: ResourceIds) -> str:
        response = site.aws.call("ec2", "AllocateAddress", network.address(site.names), about=planned.title)
        return str(response["AllocationId"])

    find = find_by_tags(site, "DescribeAddresses", "Addresses", "AllocationId", "way-out")
    return Step("address", planned, find, create)


def _nat(site: ClusterSite) -> Step:
    planned = Planned("NAT gateway", "way-out", f"in {site.zones[0]}")

    def create(ids: ResourceIds) -> str:
        request = network.nat(site.names, ids[f"public-{site.zones[0]}"], ids["address"])
        response = site.aws.call_eventually("ec2", "CreateNatGateway", request, about=planned.title)
        return str(response["NatGateway"]["NatGatewayId"])

    def wait(ids: ResourceIds, heartbeat: Callable[[], None]) -> None:
        def find_pending_state() -> str | None:
            request = {"NatGatewayIds": [ids["nat"]]}
            response = site.aws.call_eventually("ec2", "DescribeNatGateways", request, about=planned.title)
            gateway = response["NatGateways"][0]
            if gateway["State"] == "failed":
                raise OrchestuneError(f"{planned.title}: {gateway.get('FailureMessage', 'creation failed')}")
            return None if gateway["State"] == "available" else str(gateway["State"])

        site.aws.wait(find_pending_state, _NAT_SECONDS, planned.title, heartbeat)

    find = find_by_tags(site, "DescribeNatGateways", "NatGateways", "NatGatewayId", "way-out")
    return Step("nat", planned, find, create, wait)


def _table(site: ClusterSite, *, public: bool) -> Step:
    part = "public" if public else "private"
    planned = Planned("routes", part, f"{network.EVERYWHERE} through the {'internet' if public else 'NAT'} gateway")

    def create(ids: ResourceIds) -> str:
        request = network.routes(site.names, ids["vpc"], f"routes-{part}")
        response = site.aws.call_eventually("ec2", "CreateRouteTable", request, about=planned.title)
        return str(response["RouteTable"]["RouteTableId"])

    find = find_by_tags(site, "DescribeRouteTables", "RouteTables", "RouteTableId", f"routes-{part}")
    return Step(f"routes-{part}", planned, find, create, find_repairs=_find_route_repairs(site, part, planned))


def _find_route_repairs(site: ClusterSite, part: str, planned: Planned) -> FindRepairs:
    """Return a function that finds a missing or dead default route, and subnets that do not use the table."""

    def find_repairs(ids: ResourceIds) -> list[Repair]:
        request = {"RouteTableIds": [ids[f"routes-{part}"]]}
        response = site.aws.call_eventually("ec2", "DescribeRouteTables", request, about=planned.title)
        table = response["RouteTables"][0]
        return [*default_route_repairs(ids, table), *subnet_repairs(ids, table)]

    def default_route_repairs(ids: ResourceIds, table: Document) -> Iterator[Repair]:
        key, step = ("GatewayId", "gateway") if part == "public" else ("NatGatewayId", "nat")
        routes = table.get("Routes") or ()
        default_routes = [route for route in routes if route.get("DestinationCidrBlock") == network.EVERYWHERE]
        if not default_routes:
            yield Repair("default route", lambda: set_route("CreateRoute", ids, key, step))
        elif not ids.get(step) or default_routes[0].get(key) != ids[step]:  # through a deleted gateway
            yield Repair("default route", lambda: set_route("ReplaceRoute", ids, key, step))

    def set_route(operation: str, ids: ResourceIds, key: str, step: str) -> None:
        request = {"RouteTableId": ids[f"routes-{part}"], "DestinationCidrBlock": network.EVERYWHERE, key: ids[step]}
        with ignoring("RouteAlreadyExists"):
            site.aws.call_eventually("ec2", operation, request, about=planned.title)

    def subnet_repairs(ids: ResourceIds, table: Document) -> Iterator[Repair]:
        associated = {association.get("SubnetId") for association in table.get("Associations") or ()}
        for key in (f"{part}-{zone}" for zone in site.zones):
            if ids.get(key) not in associated:
                yield Repair(f"subnet {key}", partial(associate, ids, key))

    def associate(ids: ResourceIds, key: str) -> None:
        request = {"RouteTableId": ids[f"routes-{part}"], "SubnetId": ids[key]}
        site.aws.call_eventually("ec2", "AssociateRouteTable", request, about=planned.title)

    return find_repairs


def _endpoint(site: ClusterSite) -> Step:
    planned = Planned("S3 endpoint", site.names.cluster, "images and files bypass the NAT gateway, free of charge")

    def create(ids: ResourceIds) -> str:
        tables = [ids["routes-public"], ids["routes-private"]]
        request = network.storage_endpoint(site.names, ids["vpc"], tables)
        response = site.aws.call_eventually("ec2", "CreateVpcEndpoint", request, about=planned.title)
        return str(response["VpcEndpoint"]["VpcEndpointId"])

    def find_repairs(ids: ResourceIds) -> list[Repair]:
        request = {"VpcEndpointIds": [ids["endpoint"]]}
        response = site.aws.call_eventually("ec2", "DescribeVpcEndpoints", request, about=planned.title)
        associated = set(response["VpcEndpoints"][0].get("RouteTableIds") or ())
        keys = [key for key in ("routes-public", "routes-private") if ids.get(key) not in associated]
        return [Repair(", ".join(keys).replace("-", " "), lambda: add(ids, keys))] if keys else []

    def add(ids: ResourceIds, keys: list[str]) -> None:
        """Add route tables that were recreated after a deletion by others."""
        request = {"VpcEndpointId": ids["endpoint"], "AddRouteTableIds": [ids[key] for key in keys]}
        site.aws.call_eventually("ec2", "ModifyVpcEndpoint", request, about=planned.title)

    find = find_by_tags(site, "DescribeVpcEndpoints", "VpcEndpoints", "VpcEndpointId", "storage")
    return Step("endpoint", planned, find, create, find_repairs=find_repairs)


def existing_zones(aws: Aws, names: Names) -> tuple[str, ...]:
    """Return the zones of the existing network, which stay even if the region's offerings have changed."""
    request = {"Filters": [{"Name": f"tag:{TAG}", "Values": [names.cluster]}]}
    pages = aws.pages("ec2", "DescribeSubnets", "Subnets", request)
    return tuple(sorted({str(subnet["AvailabilityZone"]) for subnet in pages}))
