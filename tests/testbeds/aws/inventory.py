"""The resources of the account, read without the API."""

from __future__ import annotations

from typing import Any

from tests.testbeds.aws import cloud
from tests.testbeds.aws.eks.service import Eks


def everything(eks: Eks, region: str) -> dict[str, set[str]]:
    """Names or ids by kind; kinds of which there is nothing are left out."""
    ec2, iam = cloud.backend("ec2", region), cloud.backend("iam", "aws")
    clusters = [cluster for (where, _), cluster in eks.clusters.known.items() if where == region]
    resources = {
        "vpc": set(ec2.vpcs), "subnet": {one for zone in ec2.subnets.values() for one in zone},
        "internet gateway": set(ec2.internet_gateways),
        "NAT gateway": {one.id for one in ec2.nat_gateways.values() if one.state != "deleted"},
        "address": {one.allocation_id for one in ec2.addresses}, "route table": set(ec2.route_tables),
        "security group": {one for groups in ec2.groups.values() for one in groups},
        "network interface": set(ec2.enis), "launch template": set(ec2.launch_templates),
        "volume": set(ec2.volumes),
        "endpoint": {one.id for one in ec2.vpc_end_points.values() if one.state != "deleted"},
        "instance": {one.id for one in ec2.all_instances() if one.state not in ("terminated", "shutting-down")},
        "Auto Scaling group": set(cloud.backend("autoscaling", region).autoscaling_groups),
        "role": {one.name for one in iam.get_roles() if not one.name.startswith("AWSServiceRoleFor")},
        "policy": {one.arn for one in iam.managed_policies.values() if ":aws:policy" not in one.arn},
        "instance profile": {one.name for one in iam.get_instance_profiles()},
        "cluster": {cluster.name for cluster in clusters},
        "node group": {f"{cluster.name}/{one}" for cluster in clusters for one in cluster.nodegroups},
        "add-on": {f"{cluster.name}/{one}" for cluster in clusters for one in cluster.addons},
        "access entry": {f"{cluster.name}/{one}" for cluster in clusters for one in cluster.entries},
        "pod identity": {f"{cluster.name}/{one['namespace']}/{one['serviceAccount']}"
                         for cluster in clusters for one in cluster.associations.values()},
        "repository": set(cloud.backend("ecr", region).repositories),
        "bucket": set(cloud.backend("s3", "aws").buckets),
        "load balancer": set(cloud.backend("elbv2", region).load_balancers),
        "classic load balancer": set(cloud.backend("elb", region).load_balancers),
    }  # fmt: skip
    return {kind: names for kind, names in resources.items() if names}


def tags(eks: Eks, arn: str) -> dict[str, str] | None:
    """The tags of one resource; None where it is not known."""
    parts = arn.split(":", 5)
    if len(parts) != 6:
        return None
    service, region, rest = parts[2], parts[3], parts[5]
    if service == "eks":
        return eks.tagged().get(arn) or _by_start(eks.tagged(), arn)
    if service == "ec2":
        return _pairs(cloud.backend("ec2", region).describe_tags({"resource-id": [rest.rpartition("/")[2]]}))
    if service == "iam" and rest.startswith("role/"):
        role = next((one for one in cloud.backend("iam", "aws").get_roles() if one.arn == arn), None)
        return None if role is None else _pairs(role.tags)
    if service == "elasticloadbalancing":
        return _balancer(region, arn)
    if service == "ecr":
        ecr = cloud.backend("ecr", region)
        exists = rest.partition("/")[2] in ecr.repositories
        return _pairs(ecr.tagger.list_tags_for_resource(arn)["tags"]) if exists else None
    return None


def _balancer(region: str, arn: str) -> dict[str, str] | None:
    new, classic = cloud.backend("elbv2", region), cloud.backend("elb", region).load_balancers
    if arn in new.load_balancers:
        return dict(new.tagging_service.get_tag_dict_for_resource(arn))
    name = arn.rpartition("/")[2]
    return dict(classic[name].tags) if name in classic else None


def _by_start(tagged: dict[str, dict[str, str]], arn: str) -> dict[str, str] | None:
    start = arn.removesuffix("*")
    return next(
        (resource_tags for name, resource_tags in tagged.items() if arn != start and name.startswith(start)), None
    )


def _pairs(pairs: Any) -> dict[str, str]:
    return {str(one.get("Key", one.get("key"))): str(one.get("Value", one.get("value"))) for one in pairs}
