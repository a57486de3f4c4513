"""Steps for the network, if the cluster gets a new one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.creation_steps import Find, Lacks, Made, Repair, Step
from orchestune.clusters.aws.errors import already
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


def found(site: ClusterSite, operation: str, key: str, identity: str, part: str) -> Find:
    """Return a function that finds an EC2 resource by its tags, ignoring resources that are being deleted."""

    def find(made: Made) -> str | None:
        filters = [{"Name": f"tag:{TAG}", "Values": [site.names.cluster]}, {"Name": f"tag:{PART}", "Values": [part]}]
        name = "Filter" if operation == "DescribeNatGateways" else "Filters"
        for item in site.aws.pages("ec2", operation, key, {name: filters}):
            if item.get("State") not in ("deleted", "deleting", "failed"):
                return str(item[identity])
        return None

    return find


def _vpc(site: ClusterSite) -> Step:
    cidr = site.spec.network.cidr
    planned = Planned("network", site.names.cluster, f"VPC {cidr} in {site.names.region}")

    def make(made: Made) -> str:
        answer = site.aws.call("ec2", "CreateVpc", network.vpc(site.names, cidr), about=planned.called)
        return str(answer["Vpc"]["VpcId"])

    def lacks(made: Made) -> list[Repair]:
        """Check each attribute separately: EC2 returns one per call."""
        mends = []
        for request in network.vpc_names(made["vpc"]):
            name = next(key for key in request if key != "VpcId")
            asked = {"VpcId": made["vpc"], "Attribute": f"{name[0].lower()}{name[1:]}"}
            shown = site.aws.settled("ec2", "DescribeVpcAttribute", asked, about=planned.called)
            if not (shown.get(name) or {}).get("Value"):
                mend = partial(site.aws.settled, "ec2", "ModifyVpcAttribute", request, about=planned.called)
                mends.append(Repair(f"names of machines in it ({name})", mend))
        return mends

    return Step("vpc", planned, found(site, "DescribeVpcs", "Vpcs", "VpcId", "network"), make, lacks=lacks)


def _gateway(site: ClusterSite) -> Step:
    planned = Planned("internet gateway", site.names.cluster)

    def make(made: Made) -> str:
        answer = site.aws.call("ec2", "CreateInternetGateway", network.gateway(site.names), about=planned.called)
        return str(answer["InternetGateway"]["InternetGatewayId"])

    def lacks(made: Made) -> list[Repair]:
        asked = {"InternetGatewayIds": [made["gateway"]]}
        shown = site.aws.settled("ec2", "DescribeInternetGateways", asked, about=planned.called)
        where = {str(item["VpcId"]) for item in shown["InternetGateways"][0].get("Attachments") or ()}
        return [] if made.get("vpc") in where else [Repair("its place in the network", lambda: attach(made))]

    def attach(made: Made) -> None:
        request = {"InternetGatewayId": made["gateway"], "VpcId": made["vpc"]}
        with already("Resource.AlreadyAssociated"):
            site.aws.settled("ec2", "AttachInternetGateway", request, about=planned.called)

    find = found(site, "DescribeInternetGateways", "InternetGateways", "InternetGatewayId", "gateway")
    return Step("gateway", planned, find, make, lacks=lacks)


def _subnets(site: ClusterSite) -> list[Step]:
    made = []
    for zone, (outer, inner) in zip(site.zones, network.blocks(site.spec.network.cidr, len(site.zones)), strict=True):
        made += [_subnet(site, zone, outer, public=True), _subnet(site, zone, inner, public=False)]
    return made


def _subnet(site: ClusterSite, zone: str, block: str, *, public: bool) -> Step:
    key = f"{'public' if public else 'private'}-{zone}"
    planned = Planned("subnet", key, f"{block}, for {'load balancers' if public else 'machines and pods'}")

    def make(made: Made) -> str:
        free = _free(site, made["vpc"], block, public=public)
        request = network.subnet(site.names, made["vpc"], zone, free, public=public)
        answer = site.aws.settled("ec2", "CreateSubnet", request, about=planned.called)
        return str(answer["Subnet"]["SubnetId"])

    return Step(key, planned, found(site, "DescribeSubnets", "Subnets", "SubnetId", key), make)


def _free(site: ClusterSite, vpc: str, wanted: str, *, public: bool) -> str:
    """Return the wanted block, or a free one if another zone has it: the file may list its zones in a new order."""
    request = {"Filters": [{"Name": "vpc-id", "Values": [vpc]}]}
    taken = {str(item["CidrBlock"]) for item in site.aws.pages("ec2", "DescribeSubnets", "Subnets", request)}
    every = [pair[0 if public else 1] for pair in network.blocks(site.spec.network.cidr, network.MOST)]
    return next((block for block in (wanted, *every) if block not in taken), wanted)


def _address(site: ClusterSite) -> Step:
    planned = Planned("address", "way-out", "the public address from which machines reach the internet")

    def make(made: Made) -> str:
        answer = site.aws.call("ec2", "AllocateAddress", network.address(site.names), about=planned.called)
        return str(answer["AllocationId"])

    return Step("address", planned, found(site, "DescribeAddresses", "Addresses", "AllocationId", "way-out"), make)


def _nat(site: ClusterSite) -> Step:
    planned = Planned("NAT gateway", "way-out", f"in {site.zones[0]}")

    def make(made: Made) -> str:
        request = network.nat(site.names, made[f"public-{site.zones[0]}"], made["address"])
        answer = site.aws.settled("ec2", "CreateNatGateway", request, about=planned.called)
        return str(answer["NatGateway"]["NatGatewayId"])

    def settle(made: Made, beat: Callable[[], None]) -> None:
        def look() -> str | None:
            request = {"NatGatewayIds": [made["nat"]]}
            item = site.aws.settled("ec2", "DescribeNatGateways", request, about=planned.called)["NatGateways"][0]
            if item["State"] == "failed":
                raise OrchestuneError(f"{planned.called}: {item.get('FailureMessage', 'it failed')}")
            return None if item["State"] == "available" else str(item["State"])

        site.aws.wait(look, _NAT_SECONDS, planned.called, beat)

    find = found(site, "DescribeNatGateways", "NatGateways", "NatGatewayId", "way-out")
    return Step("nat", planned, find, make, settle)


def _table(site: ClusterSite, *, public: bool) -> Step:
    part = "public" if public else "private"
    planned = Planned("routes", part, f"{network.EVERYWHERE} through the {'internet' if public else 'NAT'} gateway")

    def make(made: Made) -> str:
        request = network.routes(site.names, made["vpc"], f"routes-{part}")
        answer = site.aws.settled("ec2", "CreateRouteTable", request, about=planned.called)
        return str(answer["RouteTable"]["RouteTableId"])

    find = found(site, "DescribeRouteTables", "RouteTables", "RouteTableId", f"routes-{part}")
    return Step(f"routes-{part}", planned, find, make, lacks=_unrouted(site, part, planned))


def _unrouted(site: ClusterSite, part: str, planned: Planned) -> Lacks:
    def lacks(made: Made) -> list[Repair]:
        request = {"RouteTableIds": [made[f"routes-{part}"]]}
        shown = site.aws.settled("ec2", "DescribeRouteTables", request, about=planned.called)["RouteTables"][0]
        return [*way_out(made, shown), *subnets(made, shown)]

    def way_out(made: Made, shown: Document) -> Iterator[Repair]:
        key, step = ("GatewayId", "gateway") if part == "public" else ("NatGatewayId", "nat")
        there = [item for item in shown.get("Routes") or () if item.get("DestinationCidrBlock") == network.EVERYWHERE]
        if not there:
            yield Repair("the way out", lambda: route("CreateRoute", made, key, step))
        elif not made.get(step) or there[0].get(key) != made[step]:  # through a deleted gateway
            yield Repair("the way out", lambda: route("ReplaceRoute", made, key, step))

    def route(operation: str, made: Made, key: str, step: str) -> None:
        request = {"RouteTableId": made[f"routes-{part}"], "DestinationCidrBlock": network.EVERYWHERE, key: made[step]}
        with already("RouteAlreadyExists"):
            site.aws.settled("ec2", operation, request, about=planned.called)

    def subnets(made: Made, shown: Document) -> Iterator[Repair]:
        has = {item.get("SubnetId") for item in shown.get("Associations") or ()}
        for key in (f"{part}-{zone}" for zone in site.zones):
            if made.get(key) not in has:
                yield Repair(f"subnet {key}", partial(associate, made, key))

    def associate(made: Made, key: str) -> None:
        pair = {"RouteTableId": made[f"routes-{part}"], "SubnetId": made[key]}
        site.aws.settled("ec2", "AssociateRouteTable", pair, about=planned.called)

    return lacks


def _endpoint(site: ClusterSite) -> Step:
    planned = Planned("S3 endpoint", site.names.cluster, "images and files past the NAT gateway, for nothing")

    def make(made: Made) -> str:
        tables = [made["routes-public"], made["routes-private"]]
        request = network.storage_endpoint(site.names, made["vpc"], tables)
        answer = site.aws.settled("ec2", "CreateVpcEndpoint", request, about=planned.called)
        return str(answer["VpcEndpoint"]["VpcEndpointId"])

    def lacks(made: Made) -> list[Repair]:
        asked = {"VpcEndpointIds": [made["endpoint"]]}
        shown = site.aws.settled("ec2", "DescribeVpcEndpoints", asked, about=planned.called)["VpcEndpoints"][0]
        has = set(shown.get("RouteTableIds") or ())
        keys = [key for key in ("routes-public", "routes-private") if made.get(key) not in has]
        return [Repair(", ".join(keys).replace("-", " "), lambda: add(made, keys))] if keys else []

    def add(made: Made, keys: list[str]) -> None:
        """Add route tables that were recreated after a deletion by others."""
        request = {"VpcEndpointId": made["endpoint"], "AddRouteTableIds": [made[key] for key in keys]}
        site.aws.settled("ec2", "ModifyVpcEndpoint", request, about=planned.called)

    find = found(site, "DescribeVpcEndpoints", "VpcEndpoints", "VpcEndpointId", "storage")
    return Step("endpoint", planned, find, make, lacks=lacks)


def existing_zones(aws: Aws, names: Names) -> tuple[str, ...]:
    """Return the zones of the existing network, which stay even if the region's offerings have changed."""
    request = {"Filters": [{"Name": f"tag:{TAG}", "Values": [names.cluster]}]}
    pages = aws.pages("ec2", "DescribeSubnets", "Subnets", request)
    return tuple(sorted({str(item["AvailabilityZone"]) for item in pages}))
