"""Preflight checks of a cluster file against AWS: instance types, zones, versions, network, quotas. Read-only."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping

from orchestune.clusters.aws import quotas
from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.names import Names
from orchestune.clusters.aws.offerings import RegionOffer, offered_names, pool_zones
from orchestune.domain.clusters.cluster import SYSTEM, ClusterSpec, PlanProblem, Pool
from orchestune.domain.words import did_you_mean, plural
from orchestune.errors import Denied, NotFound, Unreachable
from orchestune.images.registries.manifests import parse_platform


def check(
    aws: Aws,
    spec: ClusterSpec,
    offer: RegionOffer,
    zones: tuple[str, ...],
    versions: list[str],
    node_counts: Mapping[str, int],
) -> tuple[list[PlanProblem], list[str]]:
    """Return problems and notes. `node_counts`: number of existing nodes per pool; empty for a new cluster."""
    problems = [*_check_zones(aws, spec, offer), *_check_version(spec, versions)]
    problems += _check_types(aws, spec, offer)
    for pool in spec.pools:
        problems += _check_pool(pool, offer, zones)
    notes = _zone_notes(spec, offer, zones)
    if problems:
        return problems, notes
    quota_problems, quota_notes = quotas.check(aws, spec, offer, node_counts)
    server_notes = () if node_counts else (*_server_note(spec, offer, zones), *_image_note(spec, offer))
    return quota_problems, [*notes, *quota_notes, *server_notes]


def check_region(aws: Aws, check_identity: Callable[[], object]) -> PlanProblem | None:
    """Return a problem if no endpoint answers and the region's name looks mistyped; newer SDKs may know more regions.

    `check_identity` sends a request to the region. Raises Unreachable if the name looks right.
    """
    try:
        check_identity()
    except Unreachable:
        known_regions = aws.known_regions()
        hint = did_you_mean(aws.region, known_regions)
        if aws.region in known_regions or not hint:
            raise
        return PlanProblem("region", f"cannot reach AWS in the region '{aws.region}'", hint)
    return None


def check_subnets(aws: Aws, spec: ClusterSpec) -> tuple[dict[str, str], list[PlanProblem]]:
    """Return the zone of each subnet named in the file, and the problems of the subnets."""
    network = spec.network
    if not network.vpc:
        return {}, []
    problems: list[PlanProblem] = []
    zones: dict[str, str] = {}
    request = {"Filters": [{"Name": "subnet-id", "Values": list(network.subnets)}]}
    pages = aws.pages("ec2", "DescribeSubnets", "Subnets", request)
    descriptions = {str(subnet["SubnetId"]): subnet for subnet in pages}
    for subnet_id in network.subnets:
        subnet = descriptions.get(subnet_id)
        if subnet is None:
            problems.append(PlanProblem("network.subnets", f"no such subnet in {aws.region}: {subnet_id}"))
        elif subnet["VpcId"] != network.vpc:
            text = f"{subnet_id} is in {subnet['VpcId']}, not in {network.vpc}"
            problems.append(PlanProblem("network.subnets", text))
        else:
            zones[subnet_id] = str(subnet["AvailabilityZone"])
    if not problems and len(set(zones.values())) < 2:
        hint = "name subnets in at least two zones, which EKS requires"
        problems.append(PlanProblem("network.subnets", "all are in one zone", hint))
    return zones, problems


def check_archive(aws: Aws, names: Names, spec: ClusterSpec) -> tuple[list[PlanProblem], list[str]]:
    """Check that the archive bucket of an idle cluster exists and outlives the cluster."""
    if spec.retirement is None:
        return [], []
    bucket = spec.retirement.archive.removeprefix("s3://").partition("/")[0]
    if bucket == names.bucket:
        text = "is the cluster's own bucket, which is deleted with the cluster"
        return [PlanProblem("idle.archive", text, "name another bucket")], []
    try:
        aws.call("s3", "HeadBucket", {"Bucket": bucket}, about=f"bucket {bucket}")
    except NotFound:
        return [PlanProblem("idle.archive", f"no such bucket: '{bucket}'", "create it, or name another one")], []
    except Denied:
        return [], [f"idle.archive: cannot check the bucket '{bucket}': this user has no access to it"]
    return [], []


def _check_zones(aws: Aws, spec: ClusterSpec, offer: RegionOffer) -> list[PlanProblem]:
    return [
        PlanProblem("zones", f"no such zone with EKS in {aws.region}: '{zone}'",
                    f"choose from {', '.join(offer.zones)}")
        for zone in spec.zones if zone not in offer.zones
    ]  # fmt: skip


def _check_version(spec: ClusterSpec, versions: list[str]) -> list[PlanProblem]:
    if not spec.version or spec.version in versions:
        return []
    hint = f"choose from {', '.join(versions)}, or leave it out for EKS's default"
    text = f"EKS has no standard support for Kubernetes {spec.version}"
    return [PlanProblem("kubernetes_version", text, hint)]


def _check_types(aws: Aws, spec: ClusterSpec, offer: RegionOffer) -> list[PlanProblem]:
    offered: list[str] = []
    problems = []
    for pool in spec.pools:
        for name in pool.instance_types:
            if name in offer.types:
                continue
            offered = offered or offered_names(aws)
            hint = did_you_mean(name, offered) or "choose another type or region"
            text = f"no such instance type in {aws.region}: '{name}'"
            problems.append(PlanProblem(f"{pool.key}.instance_type", text, hint))
    return problems


def _check_pool(pool: Pool, offer: RegionOffer, zones: tuple[str, ...]) -> list[PlanProblem]:
    key = f"{pool.key}.instance_type"
    types = offer.machines(pool)
    if len(types) < len(pool.instance_types):
        return []
    problems = []
    without_gpus = [machine.name for machine in types if not machine.gpus]
    if pool.gpu and without_gpus:
        text = f"{', '.join(without_gpus)} has no GPUs, but the pool is declared with GPUs"
        hint = "use a type with GPUs, such as g5.xlarge, or rename the pool"
        problems.append(PlanProblem(key, text, hint))
    if 0 < len(without_gpus) < len(types):
        problems.append(PlanProblem(key, "some types have GPUs and some have none", "split them into two pools"))
    other_vendors = [machine.name for machine in types if machine.gpus and not machine.nvidia]
    if other_vendors:
        text = f"the GPUs of {', '.join(other_vendors)} are not NVIDIA's: EKS's images have no driver for them"
        problems.append(PlanProblem(key, text))
    if len({machine.architecture for machine in types}) > 1:
        problems.append(PlanProblem(key, "the types have different architectures", "split them into two pools"))
    if pool.spot and not all(machine.spot for machine in types):
        problems.append(PlanProblem(f"{pool.key}.spot", "not all types are offered as spot instances"))
    if not pool_zones(pool, zones, offer):
        offering_zones = ", ".join(sorted(set().union(*(machine.zones for machine in types))))
        text = f"no type is offered in {', '.join(zones)}"
        problems.append(PlanProblem(key, text, f"add a zone that offers one: {offering_zones}"))
    return problems


def _zone_notes(spec: ClusterSpec, offer: RegionOffer, zones: tuple[str, ...]) -> list[str]:
    notes = []
    for pool in spec.pools:
        offering_zones = pool_zones(pool, zones, offer)
        if offering_zones and len(offering_zones) < len(zones):
            notes.append(f"{pool.key}: its instance types are offered only in {', '.join(offering_zones)}")
    return notes


def _server_note(spec: ClusterSpec, offer: RegionOffer, zones: tuple[str, ...]) -> Iterator[str]:
    """Yield a note if the server's node may be replaced in another zone than its disk."""
    schedulable = [pool for pool in spec.pools if pool.min_nodes and not pool.taints]
    suitable = [pool for pool in schedulable if not any(machine.gpus for machine in offer.machines(pool))]
    if any(pool.name == SYSTEM or pool.min_nodes >= len(pool_zones(pool, zones, offer)) for pool in suitable):
        return
    for pool in suitable[:1]:
        nodes = plural(pool.min_nodes, "node")
        yield (
            f"{pool.key}: {nodes} in {len(pool_zones(pool, zones, offer))} zones: a lost node may be replaced in"
            " another zone than the server's disk, and the server stays pending; a pool `system` of one node stays in"
            " its zone"
        )


def _image_note(spec: ClusterSpec, offer: RegionOffer) -> Iterator[str]:
    """Yield a note if no node pool for the server matches the architecture of images built on this machine."""
    local_platform = parse_platform(platform.machine())
    types = {pool.key: offer.machines(pool) for pool in spec.pools if not pool.taints}
    schedulable = {key: machines for key, machines in types.items() if not any(machine.gpus for machine in machines)}
    platforms = {parse_platform(machine.architecture) for machines in schedulable.values() for machine in machines}
    if platforms and local_platform not in platforms:
        architectures = ", ".join(sorted(map(str, platforms)))
        yield (
            f"{next(iter(schedulable))}: its nodes are {architectures}, but the server's image would be built for"
            f" {local_platform}: name another image with --server-image, or run this on a matching machine"
        )


def require_two_zones(aws: Aws, zones: tuple[str, ...]) -> None:
    """Raise NotFound if the region has fewer than two usable zones."""
    if len(zones) < 2:
        raise NotFound(f"{aws.region} has fewer than two zones with EKS", "choose another region")
