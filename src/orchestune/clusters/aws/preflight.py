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
    have: Mapping[str, int],
) -> tuple[list[PlanProblem], list[str]]:
    """Return complaints and notes. `have`: number of existing nodes per pool."""
    said = [*_region(aws, spec, offer), *_version(spec, versions)]
    said += _types(aws, spec, offer)
    for pool in spec.pools:
        said += _pool(pool, offer, zones)
    notes = _zone_notes(spec, offer, zones)
    if said:
        return said, notes
    over, more = quotas.check(aws, spec, offer, have)
    server = () if have else (*_server_note(spec, offer, zones), *_image_note(spec, offer))
    return over, [*notes, *more, *server]


def region(aws: Aws, ask: Callable[[], object]) -> PlanProblem | None:
    """Return a complaint if no endpoint answers and the region's name looks mistyped; newer SDKs may know more regions.

    Raises Unreachable otherwise.
    """
    try:
        ask()
    except Unreachable:
        known = aws.known_regions()
        hint = did_you_mean(aws.region, known)
        if aws.region in known or not hint:
            raise
        return PlanProblem("region", f"AWS does not answer in a region '{aws.region}'", hint)
    return None


def subnets(aws: Aws, spec: ClusterSpec) -> tuple[dict[str, str], list[PlanProblem]]:
    """Return the zone of each subnet named in the file, and complaints about the subnets."""
    network = spec.network
    if not network.vpc:
        return {}, []
    said: list[PlanProblem] = []
    zones: dict[str, str] = {}
    request = {"Filters": [{"Name": "subnet-id", "Values": list(network.subnets)}]}
    found = {str(item["SubnetId"]): item for item in aws.pages("ec2", "DescribeSubnets", "Subnets", request)}
    for identity in network.subnets:
        item = found.get(identity)
        if item is None:
            said.append(PlanProblem("network.subnets", f"there is no subnet {identity} in {aws.region}"))
        elif item["VpcId"] != network.vpc:
            said.append(PlanProblem("network.subnets", f"{identity} is in {item['VpcId']}, not in {network.vpc}"))
        else:
            zones[identity] = str(item["AvailabilityZone"])
    if not said and len(set(zones.values())) < 2:
        said.append(PlanProblem("network.subnets", "all are in one zone", "EKS needs subnets in two zones at least"))
    return zones, said


def archive(aws: Aws, names: Names, spec: ClusterSpec) -> tuple[list[PlanProblem], list[str]]:
    """Check that the archive bucket of an idle cluster exists and outlives the cluster."""
    if spec.retirement is None:
        return [], []
    bucket = spec.retirement.archive.removeprefix("s3://").partition("/")[0]
    if bucket == names.bucket:
        return [PlanProblem("idle.archive", "is the cluster's own bucket, which goes with it", "name another one")], []
    try:
        aws.call("s3", "HeadBucket", {"Bucket": bucket}, about=f"bucket {bucket}")
    except NotFound:
        return [PlanProblem("idle.archive", f"there is no bucket '{bucket}'", "make it, or name another one")], []
    except Denied:
        return [], [f"idle.archive: whether the bucket '{bucket}' is there cannot be seen by this user"]
    return [], []


def _region(aws: Aws, spec: ClusterSpec, offer: RegionOffer) -> list[PlanProblem]:
    return [
        PlanProblem("zones", f"'{zone}' is no zone of {aws.region} that EKS works in",
                  f"there are {', '.join(offer.zones)}")
        for zone in spec.zones if zone not in offer.zones
    ]  # fmt: skip


def _version(spec: ClusterSpec, versions: list[str]) -> list[PlanProblem]:
    if not spec.version or spec.version in versions:
        return []
    hint = f"there are {', '.join(versions)}; left out, EKS's default is taken"
    text = f"EKS has no standard support for Kubernetes {spec.version}"
    return [PlanProblem("kubernetes_version", text, hint)]


def _types(aws: Aws, spec: ClusterSpec, offer: RegionOffer) -> list[PlanProblem]:
    known: list[str] = []
    said = []
    for pool in spec.pools:
        for name in pool.instance_types:
            if name in offer.types:
                continue
            known = known or offered_names(aws)
            hint = did_you_mean(name, known) or "another region may offer it"
            said.append(PlanProblem(f"{pool.key}.instance_type", f"{aws.region} has no machines '{name}'", hint))
    return said


def _pool(pool: Pool, offer: RegionOffer, zones: tuple[str, ...]) -> list[PlanProblem]:
    key = f"{pool.key}.instance_type"
    types = offer.machines(pool)
    if len(types) < len(pool.instance_types):
        return []
    said = []
    without = [item.name for item in types if not item.gpus]
    if pool.gpu and without:
        said.append(PlanProblem(key, f"{', '.join(without)} has no GPUs, which this pool says that it has",
                              "g5.xlarge has one; a pool of another name needs none"))  # fmt: skip
    if 0 < len(without) < len(types):
        said.append(PlanProblem(key, "some have GPUs and some have none", "make two pools of them"))
    strange = [item.name for item in types if item.gpus and not item.nvidia]
    if strange:
        said.append(
            PlanProblem(key, f"the GPUs of {', '.join(strange)} are not NVIDIA's, and have no driver in EKS's images")
        )
    if len({item.architecture for item in types}) > 1:
        said.append(PlanProblem(key, "these are of several architectures", "make two pools of them"))
    if pool.spot and not all(item.spot for item in types):
        said.append(PlanProblem(f"{pool.key}.spot", "not all of its types are to be had as spot machines"))
    if not pool_zones(pool, zones, offer):
        there = sorted(set().union(*(item.zones for item in types)))
        said.append(
            PlanProblem(key, f"none of them is offered in {', '.join(zones)}", f"there are some in {', '.join(there)}")
        )
    return said


def _zone_notes(spec: ClusterSpec, offer: RegionOffer, zones: tuple[str, ...]) -> list[str]:
    notes = []
    for pool in spec.pools:
        fits = pool_zones(pool, zones, offer)
        if fits and len(fits) < len(zones):
            notes.append(f"{pool.key}: machines are offered in {', '.join(fits)} alone")
    return notes


def _server_note(spec: ClusterSpec, offer: RegionOffer, zones: tuple[str, ...]) -> Iterator[str]:
    """Yield a note if the server's node may be replaced in another zone than its disk."""
    open_to_it = [pool for pool in spec.pools if pool.least and not pool.taints]
    keeping = [pool for pool in open_to_it if not any(machine.gpus for machine in offer.machines(pool))]
    if any(pool.name == SYSTEM or pool.least >= len(pool_zones(pool, zones, offer)) for pool in keeping):
        return
    for pool in keeping[:1]:
        many = plural(pool.least, "machine")
        yield (
            f"{pool.key}: {many} in {len(pool_zones(pool, zones, offer))} zones: one that is lost may come up again in"
            " another zone than the server's disk, and the server waits; a pool `system` of one machine stays in one"
        )


def _image_note(spec: ClusterSpec, offer: RegionOffer) -> Iterator[str]:
    """Yield a note if no node pool for the server matches the architecture of images built on this machine."""
    own = parse_platform(platform.machine())
    types = {pool.key: offer.machines(pool) for pool in spec.pools if not pool.taints}
    open_to_it = {key: found for key, found in types.items() if not any(machine.gpus for machine in found)}
    kinds = {parse_platform(machine.architecture) for found in open_to_it.values() for machine in found}
    if kinds and own not in kinds:
        there = ", ".join(sorted(map(str, kinds)))
        yield (
            f"{next(iter(open_to_it))}: its machines are {there}, and the image of the server is made here, for {own}:"
            " name another with --server-image, or run this on a machine like those"
        )


def need_two(aws: Aws, zones: tuple[str, ...]) -> None:
    """Raise NotFound if the region has fewer than two usable zones."""
    if len(zones) < 2:
        raise NotFound(f"{aws.region} has no two zones that EKS works in", "name another region")
