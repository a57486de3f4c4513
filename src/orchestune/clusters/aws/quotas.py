"""vCPU quotas of the account per instance family, and their current use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.offerings import MachineType, RegionOffer, machine_types
from orchestune.domain.clusters.cluster import ClusterSpec, PlanProblem, Pool
from orchestune.errors import NotFound

_QUOTA_CODES = {
    "standard": ("L-1216C47A", "L-34B43A08"),
    "g": ("L-DB2E81BA", "L-3819A6DF"),
    "p": ("L-417A185B", "L-7212CCBC"),
    "p5": ("L-417A185B", "L-C4BD4855"),
    "inf": ("L-1945791B", "L-B5D1601B"),
    "trn": ("L-2C3B7624", "L-6B0D517C"),
    "dl": ("L-6E869C2A", "L-85EED4F7"),
    "x": ("L-7295265B", "L-E3A00192"),
    "f": ("L-74FC7D96", "L-88CF9481"),
    "hpc": ("L-F7808C92", ""),
    "u": ("L-43DA4232", ""),
}
"""quota codes of EC2 (on demand, spot; empty: no such quota), listed at
docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html. `u` is High Memory, `g` includes VT"""
_COMBINED_QUOTAS = {"L-C4BD4855": "L-7212CCBC"}
"""quotas that only some accounts have (spot: "All P5", "All P4, P3 and P2"), and the combined quota of the others"""
_STANDARD_LETTERS = frozenset("acdhimrtz")


@dataclass(frozen=True)
class Quota:
    """One quota, in vCPUs."""

    code: str
    limit: float
    used: int


def find_family(instance_type: str) -> str | None:
    """Return the quota family that counts instances of this type; None if unknown."""
    prefix = instance_type.partition(".")[0]
    letters = (re.match(r"[a-z]+?(?=\d|-)", prefix) or re.match(r"[a-z]+", prefix) or [""])[0]
    if letters == "p" and prefix[1:2] in ("5", "6"):
        return "p5"
    if letters in ("g", "gr", "vt"):
        return "g"
    if letters in _QUOTA_CODES:
        return letters
    return "standard" if letters[:1] in _STANDARD_LETTERS and len(letters) <= 2 else None


def find_code(instance_type: str, *, spot: bool) -> str | None:
    """Return the code of the quota that counts such instances; None if unknown."""
    family = find_family(instance_type)
    return None if family is None else _QUOTA_CODES[family][spot] or None


def check(
    aws: Aws, spec: ClusterSpec, offer: RegionOffer, node_counts: Mapping[str, int]
) -> tuple[list[PlanProblem], list[str]]:
    """Check the pools against the account's quotas: problems for `min_nodes`, notes for `max_nodes`.

    `node_counts`: number of running nodes per pool; they already count as used.
    """
    quotas: dict[str, Quota] = {}
    least: dict[str, int] = {}
    most: dict[str, int] = {}
    problems, notes = [], []
    running = _count_used_cores(aws)
    for pool in spec.pools:
        machine = _find_largest(pool, offer)
        code = find_code(machine.name, spot=pool.spot) if machine else None
        if machine is None or code is None:
            continue
        effective_code = code if code in quotas else _find_effective_code(aws, code)
        if effective_code != code:
            running[effective_code] = running.get(effective_code, 0) + running.pop(code, 0)
        code = effective_code
        if code not in quotas:
            quotas[code] = Quota(code, _limit(aws, code), running.get(code, 0))
        existing = node_counts.get(pool.name, 0)
        least[code] = least.get(code, 0) + max(pool.min_nodes - existing, 0) * machine.cores
        most[code] = most.get(code, 0) + max(pool.max_nodes - existing, 0) * machine.cores
        available = quotas[code].limit - quotas[code].used
        usage = (
            f"the quota {code} of {aws.region} allows {quotas[code].limit:.0f} cores of such instances"
            f"{' as spot' if pool.spot else ''}, {quotas[code].used} are in use"
        )
        hint = f"request an increase: https://{aws.region}.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/{code}"
        if least[code] > available:
            text = f"{pool.min_nodes} x {machine.name} have {pool.min_nodes * machine.cores} cores: {usage}"
            problems.append(PlanProblem(f"{pool.key}.min_nodes", text, hint))
        elif most[code] > available:
            notes.append(f"{pool.key}: not all {pool.max_nodes} x {machine.name} may start: {usage}; {hint}")
    return problems, notes


def _find_largest(pool: Pool, offer: RegionOffer) -> MachineType | None:
    return max(offer.machines(pool), key=lambda machine: machine.cores, default=None)


def _find_effective_code(aws: Aws, code: str) -> str:
    """Return the code, or that of the combined quota if this account has no separate one."""
    if code not in _COMBINED_QUOTAS:
        return code
    try:
        _limit(aws, code)
    except NotFound:
        return _COMBINED_QUOTAS[code]
    return code


def _limit(aws: Aws, code: str) -> float:
    request = {"ServiceCode": "ec2", "QuotaCode": code}
    try:
        response = aws.call("service-quotas", "GetServiceQuota", request, about=f"quota {code}")
    except NotFound:
        response = aws.call("service-quotas", "GetAWSDefaultServiceQuota", request, about=f"quota {code}")
    return float(response["Quota"]["Value"])


def _count_used_cores(aws: Aws) -> dict[str, int]:
    """Return the vCPUs in use, by quota code."""
    request = {"Filters": [{"Name": "instance-state-name", "Values": ["pending", "running"]}]}
    counts: dict[tuple[str, bool], int] = {}
    for reservation in aws.pages("ec2", "DescribeInstances", "Reservations", request):
        for instance in reservation["Instances"]:
            key = (str(instance["InstanceType"]), instance.get("InstanceLifecycle") == "spot")
            counts[key] = counts.get(key, 0) + 1
    types = machine_types(aws, sorted({name for name, _ in counts})) if counts else {}
    used: dict[str, int] = {}
    for (name, spot), count in counts.items():
        code = find_code(name, spot=spot)
        if code is not None and name in types:
            used[code] = used.get(code, 0) + count * types[name].cores
    return used
