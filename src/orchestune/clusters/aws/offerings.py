"""Offerings of a region, always looked up: zones, instance types, versions of Kubernetes and add-ons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from orchestune.clusters.aws.client import Aws
from orchestune.domain.clusters.cluster import ClusterSpec, Pool
from orchestune.errors import NotFound, OrchestuneError

_NO_EKS = frozenset({"use1-az3", "usw1-az2", "cac1-az3"})
"""IDs of zones that EKS control planes do not support: docs.aws.amazon.com/eks/latest/userguide/network-reqs.html"""
_MAX_ZONES = 3
_MAX_TYPES_PER_REQUEST = 100
"""instance types per request, a limit of EC2's filters"""


@dataclass(frozen=True)
class MachineType:
    """One instance type that the region offers."""

    name: str
    cores: int
    architecture: str
    gpus: int
    zones: frozenset[str]
    nvidia: bool = True
    spot: bool = True
    gpu_model: str = ""
    gpu_memory_mib: int = 0
    """memory per GPU in MiB"""


@dataclass(frozen=True)
class RegionOffer:
    """Offerings of a region that concern a spec."""

    zones: tuple[str, ...]
    """zones of the region that EKS supports"""
    types: Mapping[str, MachineType]
    """the pools' instance types that are offered in the region"""

    def machines(self, pool: Pool) -> list[MachineType]:
        """Return the offered instance types of a pool."""
        return [self.types[name] for name in pool.instance_types if name in self.types]


def offer(aws: Aws, spec: ClusterSpec) -> RegionOffer:
    """Look up the zones and the pools' instance types."""
    zones = tuple(sorted(_zones(aws)))
    type_names = sorted({name for pool in spec.pools for name in pool.instance_types})
    return RegionOffer(zones, machine_types(aws, type_names))


def _zones(aws: Aws) -> Iterable[str]:
    request = {"Filters": [{"Name": "zone-type", "Values": ["availability-zone"]},
                           {"Name": "state", "Values": ["available"]}]}  # fmt: skip
    for zone in aws.call("ec2", "DescribeAvailabilityZones", request)["AvailabilityZones"]:
        if zone.get("ZoneId") not in _NO_EKS and zone.get("OptInStatus") != "not-opted-in":
            yield str(zone["ZoneName"])


def machine_types(aws: Aws, names: list[str]) -> dict[str, MachineType]:
    """Return those of `names` that any zone of the region offers."""
    zones: dict[str, set[str]] = {}
    for start in range(0, len(names), _MAX_TYPES_PER_REQUEST):
        filters = [{"Name": "instance-type", "Values": names[start : start + _MAX_TYPES_PER_REQUEST]}]
        request = {"LocationType": "availability-zone", "Filters": filters}
        for offering in aws.pages("ec2", "DescribeInstanceTypeOfferings", "InstanceTypeOfferings", request):
            if offering["InstanceType"] in names:
                zones.setdefault(offering["InstanceType"], set()).add(offering["Location"])
    if not zones:
        return {}
    machines = {}
    for description in _describe_types(aws, sorted(zones)):
        gpus = (description.get("GpuInfo") or {}).get("Gpus") or []
        name = str(description["InstanceType"])
        machines[name] = MachineType(
            name, int(description["VCpuInfo"]["DefaultVCpus"]),
            architecture(description["ProcessorInfo"]["SupportedArchitectures"]),
            sum(int(gpu.get("Count", 0)) for gpu in gpus), frozenset(zones[name]),
            all(gpu.get("Manufacturer", "NVIDIA") == "NVIDIA" for gpu in gpus),
            "spot" in (description.get("SupportedUsageClasses") or ["spot"]),
            str(gpus[0].get("Name", "")) if gpus else "",
            int((gpus[0].get("MemoryInfo") or {}).get("SizeInMiB", 0)) if gpus else 0,
        )  # fmt: skip
    return machines


def _describe_types(aws: Aws, names: list[str]) -> Iterator[dict[str, Any]]:
    for start in range(0, len(names), _MAX_TYPES_PER_REQUEST):
        request = {"InstanceTypes": names[start : start + _MAX_TYPES_PER_REQUEST]}
        yield from aws.pages("ec2", "DescribeInstanceTypes", "InstanceTypes", request)


def architecture(supported: list[str]) -> str:
    """Return `arm64` or `x86_64`."""
    return "arm64" if "arm64" in supported else "x86_64"


def with_offered_types(spec: ClusterSpec, offered: RegionOffer) -> ClusterSpec:
    """Reduce pools with interchangeable instance types to the offered ones; keep all if none is offered."""

    def reduce(pool: Pool) -> Pool:
        offered_types = tuple(name for name in pool.instance_types if name in offered.types)
        return replace(pool, instance_types=offered_types) if pool.any_type and offered_types else pool

    return replace(spec, pools=tuple(map(reduce, spec.pools)))


def offered_names(aws: Aws) -> list[str]:
    """Return all instance types of the region, for suggestions on typos."""
    pages = aws.pages("ec2", "DescribeInstanceTypeOfferings", "InstanceTypeOfferings", {"LocationType": "region"})
    return sorted({str(offering["InstanceType"]) for offering in pages})


def choose_zones(spec: ClusterSpec, offered: RegionOffer) -> tuple[str, ...]:
    """Return the zones for a new network: the file's, or those that offer instances for most pools (at most 3)."""
    if spec.zones:
        return spec.zones

    def count_pools(zone: str) -> int:
        return sum(any(zone in machine.zones for machine in offered.machines(pool)) for pool in spec.pools)

    best = sorted(offered.zones, key=lambda zone: (-count_pools(zone), zone))[:_MAX_ZONES]
    return tuple(sorted(best))


def pool_zones(pool: Pool, zones: Iterable[str], offered: RegionOffer) -> list[str]:
    """Return the zones that offer any of the pool's instance types."""
    return [zone for zone in zones if any(zone in machine.zones for machine in offered.machines(pool))]


def versions(aws: Aws) -> tuple[str, list[str]]:
    """Return the default Kubernetes version, and all versions with standard support, newest first."""
    request = {"versionStatus": "STANDARD_SUPPORT"}
    offered = list(aws.pages("eks", "DescribeClusterVersions", "clusterVersions", request))
    default = next((str(version["clusterVersion"]) for version in offered if version.get("defaultVersion")), "")
    supported = sorted((str(version["clusterVersion"]) for version in offered), key=_minor, reverse=True)
    if not supported:
        raise NotFound(f"EKS offers no Kubernetes version in {aws.region}", "choose another region")
    return default or supported[0], supported


def _minor(version: str) -> int:
    return int(version.partition(".")[2] or 0)


def addon_version(aws: Aws, name: str, kubernetes: str) -> str:
    """Return the default version of an add-on for this Kubernetes version."""
    request = {"addonName": name, "kubernetesVersion": kubernetes}
    builds = [build for addon in aws.pages("eks", "DescribeAddonVersions", "addons", request)
              for build in addon["addonVersions"]]  # fmt: skip
    for build in builds:
        compatible = [each for each in build["compatibilities"] if each.get("clusterVersion") == kubernetes]
        if any(each.get("defaultVersion") for each in compatible):
            return str(build["addonVersion"])
    if not builds:
        raise OrchestuneError(f"EKS has no add-on {name} for Kubernetes {kubernetes}")
    return str(builds[0]["addonVersion"])
