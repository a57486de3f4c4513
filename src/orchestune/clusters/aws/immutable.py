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
_ELSE = "leave it as it was; a cluster of another name may have it"


def refused(site: ClusterSite, shown: Document) -> Iterator[PlanProblem]:
    """Yield settings that differ from the cluster. `shown`: EKS's description, empty if only the network may exist."""
    spec, version = site.spec, str(shown.get("version", ""))
    if spec.version and version and spec.version != version:
        yield PlanProblem("kubernetes_version", f"the cluster has {version}, which stays", _ELSE)
    yield from _network(site, str((shown.get("resourcesVpcConfig") or {}).get("vpcId", "")))
    if not shown:
        return
    bucket = _in_bucket(site, shown)
    if spec.bucket and not bucket:
        yield PlanProblem("bucket", "the files of the cluster lie on its server's disk, where they stay", _ELSE)
    if bucket and not spec.bucket:
        yield PlanProblem("bucket", "the files of the cluster lie in its bucket, where they stay", "write bucket: true")


def notes(site: ClusterSite, shown: Document) -> Iterator[str]:
    """Yield settings that only apply to newly created resources."""
    has = shown.get("tags") or {}
    if shown and any(has.get(key) != value for key, value in site.spec.tags.items()):
        yield "tags: what is there keeps the tags that it was made with; what is made from now on gets these"


def _network(site: ClusterSite, vpc: str) -> Iterator[PlanProblem]:
    """Yield network settings that differ, for a VPC of Orchestune or an existing one."""
    network = site.spec.network
    ours = _own(site)
    if network.vpc:
        if vpc and network.vpc != vpc:
            yield PlanProblem("network.vpc", f"the cluster is in {vpc}, where it stays", _ELSE)
        return
    if ours is None:
        if vpc:
            hint = f"network: {{vpc: {vpc}, subnets: [...]}} names it"
            yield PlanProblem("network", f"the cluster is in {vpc}, where it stays", hint)
        return
    if ours["CidrBlock"] != network.cidr:
        yield PlanProblem("network.cidr", f"the network has {ours['CidrBlock']}, which stays", _ELSE)
    there = existing_zones(site.aws, site.names)
    if site.spec.zones and not set(there) <= set(site.spec.zones):
        hint = "name these too; others may come"
        yield PlanProblem("zones", f"the cluster stands in {', '.join(there)}, where it stays", hint)


def _own(site: ClusterSite) -> Document | None:
    """Return the VPC that Orchestune created for the cluster; None if absent."""
    filters = [{"Name": f"tag:{TAG}", "Values": [site.names.cluster]}, {"Name": f"tag:{PART}", "Values": ["network"]}]
    return next(iter(site.aws.pages("ec2", "DescribeVpcs", "Vpcs", {"Filters": filters})), None)


def _in_bucket(site: ClusterSite, shown: Document) -> bool:
    """Return True if the cluster was created with a bucket, even if the bucket was deleted since."""
    made_so = (shown.get("tags") or {}).get(FILES) == BUCKET
    return made_so or bucket_owner(site.aws, site.names) == site.names.cluster
