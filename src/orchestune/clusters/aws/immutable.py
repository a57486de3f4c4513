"""Immutable properties of an existing cluster: version, network, zones, and storage of files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestune.clusters.aws.inputs import ClusterSite
from orchestune.clusters.aws.names import PART, TAG
from orchestune.clusters.aws.requests.control import BUCKET, FILES
from orchestune.clusters.aws.steps.network import existing_zones
from orchestune.clusters.aws.steps.storage import bucket_owner
from orchestune.domain.clusters.cluster import PlanProblem

Document = dict[str, Any]
_KEEP_HINT = "restore the old value, or create a cluster of another name"


def problems(site: ClusterSite, cluster: Document) -> Iterator[PlanProblem]:
    """Yield settings that differ from the cluster. `cluster`: EKS's description; empty if only the network exists."""
    spec, version = site.spec, str(cluster.get("version", ""))
    if spec.version and version and spec.version != version:
        yield PlanProblem("kubernetes_version", f"cannot be changed: the cluster has {version}", _KEEP_HINT)
    yield from _network(site, str((cluster.get("resourcesVpcConfig") or {}).get("vpcId", "")))
    if not cluster:
        return
    bucket = _in_bucket(site, cluster)
    if spec.bucket and not bucket:
        yield PlanProblem("bucket", "cannot be changed: the cluster's files are on its server's disk", _KEEP_HINT)
    if bucket and not spec.bucket:
        yield PlanProblem("bucket", "cannot be changed: the cluster's files are in its bucket", "write `bucket: true`")


def notes(site: ClusterSite, cluster: Document) -> Iterator[str]:
    """Yield settings that only apply to newly created resources."""
    tags = cluster.get("tags") or {}
    if cluster and any(tags.get(key) != value for key, value in site.spec.tags.items()):
        yield "tags: existing resources keep their tags; only resources created from now on get these"


def _network(site: ClusterSite, vpc: str) -> Iterator[PlanProblem]:
    """Yield network settings that differ, for a VPC of Orchestune or an existing one."""
    network = site.spec.network
    own_network = _find_own_network(site)
    if network.vpc:
        if vpc and network.vpc != vpc:
            yield PlanProblem("network.vpc", f"cannot be changed: the cluster is in {vpc}", _KEEP_HINT)
        return
    if own_network is None:
        if vpc:
            hint = f"write `network: {{vpc: {vpc}, subnets: [...]}}`"
            yield PlanProblem("network", f"cannot be changed: the cluster is in {vpc}", hint)
        return
    if own_network["CidrBlock"] != network.cidr:
        yield PlanProblem("network.cidr", f"cannot be changed: the network has {own_network['CidrBlock']}", _KEEP_HINT)
    zones = existing_zones(site.aws, site.names)
    if site.spec.zones and not set(zones) <= set(site.spec.zones):
        hint = "name these zones too; further ones may be added"
        yield PlanProblem("zones", f"cannot be removed: the cluster is in {', '.join(zones)}", hint)


def _find_own_network(site: ClusterSite) -> Document | None:
    """Return the VPC that Orchestune created for the cluster; None if absent."""
    filters = [{"Name": f"tag:{TAG}", "Values": [site.names.cluster]}, {"Name": f"tag:{PART}", "Values": ["network"]}]
    return next(iter(site.aws.pages("ec2", "DescribeVpcs", "Vpcs", {"Filters": filters})), None)


def _in_bucket(site: ClusterSite, cluster: Document) -> bool:
    """Return True if the cluster was created with a bucket, even if the bucket was deleted since."""
    has_tag = (cluster.get("tags") or {}).get(FILES) == BUCKET
    return has_tag or bucket_owner(site.aws, site.names) == site.names.cluster
