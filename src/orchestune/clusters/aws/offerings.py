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
_MOST_ZONES = 3
_TYPES = 100
"""maximum number of instance types per request"""


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
    card: str = ""
    """GPU model"""
    card_memory: int = 0
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
    wanted = sorted({name for pool in spec.pools for name in pool.instance_types})
    return RegionOffer(zones, machine_types(aws, wanted))


def _zones(aws: Aws) -> Iterable[str]:
    request = {"Filters": [{"Name": "zone-type", "Values": ["availability-zone"]},
                           {"Name": "state", "Values": ["available"]}]}  # fmt: skip
    for zone in aws.call("ec2", "DescribeAvailabilityZones", request)["AvailabilityZones"]:
        if zone.get("ZoneId") not in _NO_EKS and zone.get("OptInStatus") != "not-opted-in":
            yield str(zone["ZoneName"])


def machine_types(aws: Aws, names: list[str]) -> dict[str, MachineType]:
    """Return those of `names` that any zone of the region offers."""
    zones: dict[str, set[str]] = {}
    for start in range(0, len(names), _TYPES):
        filters = [{"Name": "instance-type", "Values": names[start : start + _TYPES]}]
        request = {"LocationType": "availability-zone", "Filters": filters}
        for item in aws.pages("ec2", "DescribeInstanceTypeOfferings", "InstanceTypeOfferings", request):
            if item["InstanceType"] in names:
                zones.setdefault(item["InstanceType"], set()).add(item["Location"])
    if not zones:
        return {}
    found = {}
    for item in _described(aws, sorted(zones)):
        cards = (item.get("GpuInfo") or {}).get("Gpus") or []
        name = str(item["InstanceType"])
        found[name] = MachineType(
            name, int(item["VCpuInfo"]["DefaultVCpus"]), architecture(item["ProcessorInfo"]["SupportedArchitectures"]),
            sum(int(card.get("Count", 0)) for card in cards), frozenset(zones[name]),
            all(card.get("Manufacturer", "NVIDIA") == "NVIDIA" for card in cards),
            "spot" in (item.get("SupportedUsageClasses") or ["spot"]),
            str(cards[0].get("Name", "")) if cards else "",
            int((cards[0].get("MemoryInfo") or {}).get("SizeInMiB", 0)) if cards else 0,
        )  # fmt: skip
    return found


def _described(aws: Aws, names: list[str]) -> Iterator[dict[str, Any]]:
    for start in range(0, len(names), _TYPES):
        asked = {"InstanceTypes": names[start : start + _TYPES]}
        yield from aws.pages("ec2", "DescribeInstanceTypes", "InstanceTypes", asked)


def architecture(supported: list[str]) -> str:
    """Return `arm64` or `x86_64`."""
    return "arm64" if "arm64" in supported else "x86_64"


def settled(spec: ClusterSpec, offered: RegionOffer) -> ClusterSpec:
    """Reduce pools with interchangeable instance types to the offered ones; keep all if none is offered."""

    def pool(each: Pool) -> Pool:
        there = tuple(name for name in each.instance_types if name in offered.types)
        return replace(each, instance_types=there) if each.any_type and there else each

    return replace(spec, pools=tuple(pool(each) for each in spec.pools))


def offered_names(aws: Aws) -> list[str]:
    """Return all instance types of the region, for suggestions on typos."""
    pages = aws.pages("ec2", "DescribeInstanceTypeOfferings", "InstanceTypeOfferings", {"LocationType": "region"})
    return sorted({str(item["InstanceType"]) for item in pages})


def chosen_zones(spec: ClusterSpec, offered: RegionOffer) -> tuple[str, ...]:
    """Return the zones for a new network: the file's, or those that offer instances for most pools (at most 3)."""
    if spec.zones:
        return spec.zones

    def pools(zone: str) -> int:
        return sum(any(zone in machine.zones for machine in offered.machines(pool)) for pool in spec.pools)

    best = sorted(offered.zones, key=lambda zone: (-pools(zone), zone))[:_MOST_ZONES]
    return tuple(sorted(best))


def pool_zones(pool: Pool, zones: Iterable[str], offered: RegionOffer) -> list[str]:
    """Return the zones that offer any of the pool's instance types."""
    return [zone for zone in zones if any(zone in machine.zones for machine in offered.machines(pool))]


def versions(aws: Aws) -> tuple[str, list[str]]:
    """Return the default Kubernetes version, and all versions with standard support, newest first."""
    found = list(aws.pages("eks", "DescribeClusterVersions", "clusterVersions", {"versionStatus": "STANDARD_SUPPORT"}))
    default = next((str(item["clusterVersion"]) for item in found if item.get("defaultVersion")), "")
    known = sorted((str(item["clusterVersion"]) for item in found), key=_minor, reverse=True)
    if not known:
        raise NotFound(f"EKS offers no version of Kubernetes in {aws.region}", "name another region")
    return default or known[0], known


def _minor(version: str) -> int:
    return int(version.partition(".")[2] or 0)


def addon_version(aws: Aws, name: str, kubernetes: str) -> str:
    """Return the default version of an add-on for this Kubernetes version."""
    request = {"addonName": name, "kubernetesVersion": kubernetes}
    builds = [build for addon in aws.pages("eks", "DescribeAddonVersions", "addons", request)
              for build in addon["addonVersions"]]  # fmt: skip
    for build in builds:
        if any(
            fit.get("defaultVersion") and fit.get("clusterVersion") == kubernetes for fit in build["compatibilities"]
        ):
            return str(build["addonVersion"])
    if not builds:
        raise OrchestuneError(f"EKS has no add-on {name} for Kubernetes {kubernetes}")
    return str(builds[0]["addonVersion"])
