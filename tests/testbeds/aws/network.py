"""EC2 where moto says yes too early: what depends on what, states that take time, ids that are not known everywhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tests.testbeds.aws import cloud
from tests.testbeds.aws.machines import DETAILS, offered
from tests.testbeds.aws.refusals import Refused
from tests.testbeds.aws.wire import Call
from tests.testbeds.aws.world import World

_ID = re.compile(r"^(?:vpc|subnet|igw|nat|rtb|sg|eipalloc|lt)-[0-9a-f]+$")
_UNKNOWN = {
    "vpc": ("InvalidVpcID.NotFound", "The vpc ID '{}' does not exist"),
    "subnet": ("InvalidSubnetID.NotFound", "The subnet ID '{}' does not exist"),
    "igw": ("InvalidInternetGatewayID.NotFound", "The internetGateway ID '{}' does not exist"),
    "nat": ("NatGatewayNotFound", "The Nat Gateway {} was not found"),
    "rtb": ("InvalidRouteTableID.NotFound", "The routeTable ID '{}' does not exist"),
    "sg": ("InvalidGroup.NotFound", "The security group '{}' does not exist"),
    "eipalloc": ("InvalidAllocationID.NotFound", "The allocation ID '{}' does not exist"),
    "lt": ("InvalidLaunchTemplateId.NotFound", "The specified launch template, with template ID {}, does not exist."),
}
_CREATING = {"CreateVpc", "CreateSubnet", "CreateInternetGateway", "CreateNatGateway", "CreateRouteTable",
         "CreateSecurityGroup", "AllocateAddress", "CreateLaunchTemplate"}  # fmt: skip


class Network:
    """Rules for the EC2 of one account."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._hidden: set[str] = set()
        """what the call that is being answered does not see yet"""
        self._turning: dict[str, tuple[int, str]] = {}
        """looks that are left and the state after them, by NAT gateway"""
        self._going: dict[str, int] = {}
        """looks that are left until it is gone, by endpoint with interfaces"""
        self._held: dict[str, int] = {}
        """how often more each address is refused whose gateway is gone"""

    def handler(self, call: Call) -> Callable[[Call], dict[str, Any]] | None:
        return {
            "DescribeInstanceTypes": self._types,
            "DescribeInstanceTypeOfferings": self._offerings,
            "DeleteVpcEndpoints": self._delete_endpoints,
        }.get(call.operation)

    def before(self, call: Call) -> None:
        """Refused where AWS would refuse and moto would not."""
        parameters = call.parameters
        self._hidden = set(self._world.unseen)
        self._world.unseen = {name: remaining - 1 for name, remaining in self._world.unseen.items() if remaining > 1}
        for value in _ids(parameters):
            if value in self._hidden:
                raise unknown(value)
        rule = {
            "DeleteVpc": self._vpc, "DeleteSubnet": self._subnet, "DeleteSecurityGroup": self._group,
            "DetachInternetGateway": self._gateway, "ReleaseAddress": self._address,
            "DeleteNetworkInterface": self._interface, "DeleteNatGateway": self._nat_known,
            "DeleteRouteTable": self._table,
        }.get(call.operation)  # fmt: skip
        if rule is not None:
            rule(cloud.backend("ec2", call.region), parameters)
        if call.operation == "DescribeNatGateways":
            self._look(call)
        if call.operation == "DescribeVpcEndpoints":
            self._look_at_endpoints(call)

    def after(self, call: Call, result: dict[str, Any]) -> dict[str, Any] | None:
        """The result as AWS would give it, where moto's differs."""
        if call.operation in _CREATING and self._world.behaviour.read_lag:
            resource_id = next(value for value in _result_ids(result) if value not in set(_ids(call.parameters)))
            self._world.unseen[resource_id] = self._world.behaviour.read_lag
        if call.operation == "CreateNatGateway":
            return self._nat_made(call, result)
        if call.operation == "CreateVpcEndpoint":
            resource = cloud.backend("ec2", call.region).vpc_end_points[result["VpcEndpoint"]["VpcEndpointId"]]
            for interface in resource.network_interface_ids:
                _of_aws(call, interface, "vpc_endpoint", f"VPC Endpoint Interface {resource.id}")
        if call.operation == "DeleteNatGateway":
            resource = cloud.backend("ec2", call.region).nat_gateways[call.parameters["NatGatewayId"]]
            resource.state = "deleting"
            self._turning[resource.id] = (self._world.behaviour.polls, "deleted")
        if call.operation.startswith("Describe") and self._hidden:
            return self._without_hidden(result)
        return None

    def _without_hidden(self, result: dict[str, Any]) -> dict[str, Any] | None:
        changed = None
        for key, value in result.items():
            if isinstance(value, list):
                hidden = [one for one in value if isinstance(one, dict) and self._hides(one.values())]
                if hidden:
                    changed = {**(changed or result), key: [one for one in value if one not in hidden]}
        return changed

    def _hides(self, values: Iterable[Any]) -> bool:
        return any(isinstance(value, str) and value in self._hidden for value in values)

    def _nat_made(self, call: Call, result: dict[str, Any]) -> dict[str, Any]:
        gateway = cloud.backend("ec2", call.region).nat_gateways[result["NatGateway"]["NatGatewayId"]]
        gateway.state = "pending"
        _of_aws(call, gateway._eni.id, "natGateway", f"Interface for NAT Gateway {gateway.id}")
        self._turning[gateway.id] = (self._world.behaviour.polls, "available")
        return {**result, "NatGateway": {**result["NatGateway"], "State": "pending"}}

    def _look(self, call: Call) -> None:
        ec2 = cloud.backend("ec2", call.region)
        for name, (remaining, state) in list(self._turning.items()):
            if name not in ec2.nat_gateways:
                continue
            if remaining > 1:
                self._turning[name] = (remaining - 1, state)
                continue
            ec2.nat_gateways[name].state = state
            del self._turning[name]
            if state == "deleted":
                gateway = ec2.nat_gateways[name]
                ec2.enis.pop(gateway._eni.id, None)
                held = {one.get("allocationId") for one in gateway.address_set}
                for address in [one for one in ec2.addresses if one.allocation_id in held]:
                    address.association_id = address.eni = None  # free for another gateway
                    self._held[address.allocation_id] = self._world.behaviour.read_lag

    def _delete_endpoints(self, call: Call) -> dict[str, Any]:
        """Delete endpoints: those with interfaces take time, and refusals stand in a successful answer."""
        ec2, wrong = cloud.backend("ec2", call.region), []
        for name in call.parameters["VpcEndpointIds"]:
            endpoint = ec2.vpc_end_points.get(name)
            if endpoint is None or endpoint.state == "deleted":
                text = f"The Vpc Endpoint Id '{name}' does not exist"
                wrong.append({"ResourceId": name, "Error": {"Code": "InvalidVpcEndpoint.NotFound", "Message": text}})
            elif endpoint.network_interface_ids:
                endpoint.state = "deleting"
                self._going.setdefault(name, self._world.behaviour.polls)
            else:
                ec2.delete_vpc_endpoints([name])
        return {"Unsuccessful": wrong}

    def _look_at_endpoints(self, call: Call) -> None:
        for name, remaining in list(self._going.items()):
            self._going[name] = remaining - 1
            if remaining <= 1:
                cloud.backend("ec2", call.region).delete_vpc_endpoints([name])
                del self._going[name]

    def _nat_known(self, ec2: Any, parameters: dict[str, Any]) -> None:
        gateway = ec2.nat_gateways.get(parameters["NatGatewayId"])
        if gateway is None or gateway.state in ("deleting", "deleted"):
            raise unknown(parameters["NatGatewayId"])

    def _vpc(self, ec2: Any, parameters: dict[str, Any]) -> None:
        vpc = parameters["VpcId"]
        own = [one for one in ec2.groups.get(vpc, {}).values() if one.name != "default"]
        attached = [one for one in ec2.internet_gateways.values() if one.vpc and one.vpc.id == vpc]
        endpoints = [one for one in ec2.vpc_end_points.values() if one.vpc_id == vpc and one.state != "deleted"]
        if own or attached or endpoints:
            raise Refused("DependencyViolation", f"The vpc '{vpc}' has dependencies and cannot be deleted.")

    def _subnet(self, ec2: Any, parameters: dict[str, Any]) -> None:
        subnet = parameters["SubnetId"]
        if any(one.subnet.id == subnet for one in ec2.enis.values()):
            raise Refused("DependencyViolation", f"The subnet '{subnet}' has dependencies and cannot be deleted.")

    def _table(self, ec2: Any, parameters: dict[str, Any]) -> None:
        """Endpoints lose it."""
        for endpoint in ec2.vpc_end_points.values():
            table_ids = [one for one in endpoint.route_table_ids or () if one != parameters["RouteTableId"]]
            endpoint.route_table_ids = table_ids

    def _group(self, ec2: Any, parameters: dict[str, Any]) -> None:
        group = parameters.get("GroupId", "")
        used = any(group in (one.id for one in interface.group_set) for interface in ec2.enis.values())
        named = any(
            rule.source_group.get("GroupId") == group
            for groups in ec2.groups.values()
            for other in groups.values()
            if other.id != group
            for rule in (*other.ingress_rules, *other.egress_rules)
        )
        ends = any(group in one.security_group_ids and one.state != "deleted" for one in ec2.vpc_end_points.values())
        if used or named or ends:
            raise Refused("DependencyViolation", f"resource {group} has a dependent object")

    def _gateway(self, ec2: Any, parameters: dict[str, Any]) -> None:
        vpc = parameters["VpcId"]
        mapped = any(one.vpc_id == vpc and one.state != "deleted" for one in ec2.nat_gateways.values())
        if mapped:
            text = (
                f"Network {vpc} has some mapped public address(es). Please unmap those public address(es) before "
                "detaching the gateway."
            )
            raise Refused("DependencyViolation", text)

    def _address(self, ec2: Any, parameters: dict[str, Any]) -> None:
        address = parameters.get("AllocationId", "")
        if self._held.get(address, 0):
            self._held[address] -= 1
            raise Refused("AuthFailure", "You do not have permission to access the specified resource.")
        for gateway in ec2.nat_gateways.values():
            ids = {one.get("allocationId") for one in gateway.address_set}
            if gateway.state != "deleted" and address in ids:
                raise Refused("AuthFailure", "You do not have permission to access the specified resource.")

    def _interface(self, ec2: Any, parameters: dict[str, Any]) -> None:
        name = parameters["NetworkInterfaceId"]
        interface = ec2.enis.get(name)
        if interface is None:
            return
        if getattr(interface, "requester_managed", False):
            raise Refused("OperationNotPermitted", f"You are not allowed to manage '{name}'.")
        if interface.status == "in-use" or interface.instance is not None:
            raise Refused("InvalidParameterValue", f"Network interface '{name}' is currently in use.")

    def _types(self, call: Call) -> dict[str, Any]:
        names = call.parameters.get("InstanceTypes")
        for name in names or ():
            if name not in DETAILS:
                text = f"The following supplied instance types do not exist: [{name}]"
                raise Refused("InvalidInstanceType", text)
        return {"InstanceTypes": [DETAILS[name] for name in names or DETAILS]}

    def _offerings(self, call: Call) -> dict[str, Any]:
        by_zone = call.parameters.get("LocationType", "region") == "availability-zone"
        filters = {one["Name"]: one["Values"] for one in call.parameters.get("Filters", ())}
        offerings = [
            {"InstanceType": name, "LocationType": "availability-zone" if by_zone else "region", "Location": place}
            for name in DETAILS
            for place in (offered(call.region, name) if by_zone else [call.region])
            if name in filters.get("instance-type", [name]) and place in filters.get("location", [place])
        ]
        return {"InstanceTypeOfferings": offerings}


def _of_aws(call: Call, interface: str, kind: str, about: str) -> None:
    """An interface that a service of AWS has made for itself."""
    network_interface = cloud.backend("ec2", call.region).enis[interface]
    network_interface.requester_managed, network_interface.interface_type, network_interface.description = (
        True,
        kind,
        about,
    )


def unknown(name: str) -> Refused:
    code, text = _UNKNOWN[name.partition("-")[0]]
    return Refused(code, text.format(name))


def _ids(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if _ID.match(value):
            yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key not in ("TagSpecifications", "LaunchTemplateData"):
                yield from _ids(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _ids(inner)


def _result_ids(result: dict[str, Any]) -> Iterator[str]:
    yield from _ids({key: value for key, value in result.items() if key != "ResponseMetadata"})
