"""Resources that GuardDuty adds to every VPC with EKS nodes: a VPC endpoint and its security group.

AWS creates them in Orchestune's VPCs too and does not delete them; they cost money and block deleting the subnets.
docs.aws.amazon.com/guardduty/latest/ug/runtime-monitoring-agent-resource-clean-up.html
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.inventory.resources import Resource, ResourceKind
from orchestune.clusters.aws.names import TAG, Names
from orchestune.clusters.aws.rights import GUARDED
from orchestune.errors import Conflict


def shelves(aws: Aws, names: Names) -> list[ResourceKind]:
    """Return the kinds in removal order."""
    return [
        ResourceKind("EC2", "VPC endpoint of GuardDuty", lambda: _endpoints(aws, names)),
        ResourceKind("EC2", "security group of GuardDuty", lambda: _groups(aws, names)),
    ]


def _guarded(aws: Aws, names: Names, operation: str, key: str) -> Iterator[dict[str, Any]]:
    """Yield resources with GuardDuty's tag in the cluster's own VPC."""
    ours = [{"Name": f"tag:{TAG}", "Values": [names.cluster]}]
    networks = [str(item["VpcId"]) for item in aws.pages("ec2", "DescribeVpcs", "Vpcs", {"Filters": ours})]
    if networks:
        filters = [{"Name": "vpc-id", "Values": networks}, {"Name": f"tag:{GUARDED}", "Values": ["true"]}]
        yield from aws.pages("ec2", operation, key, {"Filters": filters})


def _endpoints(aws: Aws, names: Names) -> list[Resource]:
    """Return the endpoints; one that is being deleted still blocks its subnets."""
    found = []
    for item in _guarded(aws, names, "DescribeVpcEndpoints", "VpcEndpoints"):
        identity, state = str(item["VpcEndpointId"]), str(item.get("State", "")).lower()
        if state != "deleted":
            remove = None if state == "deleting" else partial(remove_endpoint, aws, identity)
            found.append(Resource(identity, "", remove))
    return found


def _groups(aws: Aws, names: Names) -> list[Resource]:
    found = []
    for item in _guarded(aws, names, "DescribeSecurityGroups", "SecurityGroups"):
        identity = str(item["GroupId"])

        def remove(identity: str = identity) -> None:
            aws.call("ec2", "DeleteSecurityGroup", {"GroupId": identity}, about=f"security group {identity}")

        found.append(Resource(identity, str(item.get("GroupName") or ""), remove))
    return found


def remove_endpoint(aws: Aws, identity: str) -> None:
    """Delete a VPC endpoint. Raises Conflict on failures, which AWS reports inside a successful response."""
    answer = aws.call("ec2", "DeleteVpcEndpoints", {"VpcEndpointIds": [identity]}, about=f"VPC endpoint {identity}")
    for item in answer.get("Unsuccessful") or ():
        error = item.get("Error") or {}
        if "NotFound" not in str(error.get("Code", "")):
            raise Conflict(f"VPC endpoint {identity}: {error.get('Message') or 'it is not removed'}")
