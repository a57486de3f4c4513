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


def resource_kinds(aws: Aws, names: Names) -> list[ResourceKind]:
    """Return the kinds in removal order."""
    return [
        ResourceKind("EC2", "VPC endpoint of GuardDuty", lambda: _endpoints(aws, names)),
        ResourceKind("EC2", "security group of GuardDuty", lambda: _groups(aws, names)),
    ]


def _guardduty_resources(aws: Aws, names: Names, operation: str, key: str) -> Iterator[dict[str, Any]]:
    """Yield resources with GuardDuty's tag in the cluster's own VPC."""
    ours = [{"Name": f"tag:{TAG}", "Values": [names.cluster]}]
    networks = [str(vpc["VpcId"]) for vpc in aws.pages("ec2", "DescribeVpcs", "Vpcs", {"Filters": ours})]
    if networks:
        filters = [{"Name": "vpc-id", "Values": networks}, {"Name": f"tag:{GUARDED}", "Values": ["true"]}]
        yield from aws.pages("ec2", operation, key, {"Filters": filters})


def _endpoints(aws: Aws, names: Names) -> list[Resource]:
    """Return the endpoints; one that is being deleted still blocks its subnets."""
    resources = []
    for endpoint in _guardduty_resources(aws, names, "DescribeVpcEndpoints", "VpcEndpoints"):
        endpoint_id, state = str(endpoint["VpcEndpointId"]), str(endpoint.get("State", "")).lower()
        if state != "deleted":
            delete = None if state == "deleting" else partial(delete_endpoint, aws, endpoint_id)
            resources.append(Resource(endpoint_id, "", delete))
    return resources


def _groups(aws: Aws, names: Names) -> list[Resource]:
    resources = []
    for group in _guardduty_resources(aws, names, "DescribeSecurityGroups", "SecurityGroups"):
        group_id = str(group["GroupId"])

        def delete(group_id: str = group_id) -> None:
            aws.call("ec2", "DeleteSecurityGroup", {"GroupId": group_id}, about=f"security group {group_id}")

        resources.append(Resource(group_id, str(group.get("GroupName") or ""), delete))
    return resources


def delete_endpoint(aws: Aws, endpoint_id: str) -> None:
    """Delete a VPC endpoint. Raises Conflict on failures, which AWS reports inside a successful response."""
    about = f"VPC endpoint {endpoint_id}"
    response = aws.call("ec2", "DeleteVpcEndpoints", {"VpcEndpointIds": [endpoint_id]}, about=about)
    for failure in response.get("Unsuccessful") or ():
        error = failure.get("Error") or {}
        if "NotFound" not in str(error.get("Code", "")):
            raise Conflict(f"{about}: {error.get('Message') or 'not deleted'}")
