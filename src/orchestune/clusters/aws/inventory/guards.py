"""What GuardDuty puts into every network in which machines of EKS run: an endpoint of its own, and its security group.

AWS makes them by itself in a network that we have made, and leaves them there; they cost money, and hold its subnets.
docs.aws.amazon.com/guardduty/latest/ug/runtime-monitoring-agent-resource-clean-up.html
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.inventory.things import Shelf, Thing
from orchestune.clusters.aws.names import TAG, Names
from orchestune.clusters.aws.rights import GUARDED
from orchestune.errors import Conflict


def shelves(aws: Aws, names: Names) -> list[Shelf]:
    """In the order of removal."""
    return [
        Shelf("EC2", "VPC endpoint of GuardDuty", lambda: _endpoints(aws, names)),
        Shelf("EC2", "security group of GuardDuty", lambda: _groups(aws, names)),
    ]


def _guarded(aws: Aws, names: Names, operation: str, key: str) -> Iterator[dict[str, Any]]:
    """What has GuardDuty's tag in a network of ours."""
    ours = [{"Name": f"tag:{TAG}", "Values": [names.cluster]}]
    networks = [str(item["VpcId"]) for item in aws.pages("ec2", "DescribeVpcs", "Vpcs", {"Filters": ours})]
    if networks:
        filters = [{"Name": "vpc-id", "Values": networks}, {"Name": f"tag:{GUARDED}", "Values": ["true"]}]
        yield from aws.pages("ec2", operation, key, {"Filters": filters})


def _endpoints(aws: Aws, names: Names) -> list[Thing]:
    """One that is being removed still holds its subnets."""
    found = []
    for item in _guarded(aws, names, "DescribeVpcEndpoints", "VpcEndpoints"):
        identity, state = str(item["VpcEndpointId"]), str(item.get("State", "")).lower()
        if state != "deleted":
            remove = None if state == "deleting" else partial(remove_endpoint, aws, identity)
            found.append(Thing(identity, "", remove))
    return found


def _groups(aws: Aws, names: Names) -> list[Thing]:
    found = []
    for item in _guarded(aws, names, "DescribeSecurityGroups", "SecurityGroups"):
        identity = str(item["GroupId"])

        def remove(identity: str = identity) -> None:
            aws.call("ec2", "DeleteSecurityGroup", {"GroupId": identity}, about=f"security group {identity}")

        found.append(Thing(identity, str(item.get("GroupName") or ""), remove))
    return found


def remove_endpoint(aws: Aws, identity: str) -> None:
    """AWS tells in an answer that looks like success why it does not remove one. Conflict with that."""
    answer = aws.call("ec2", "DeleteVpcEndpoints", {"VpcEndpointIds": [identity]}, about=f"VPC endpoint {identity}")
    for item in answer.get("Unsuccessful") or ():
        error = item.get("Error") or {}
        if "NotFound" not in str(error.get("Code", "")):
            raise Conflict(f"VPC endpoint {identity}: {error.get('Message') or 'it is not removed'}")
