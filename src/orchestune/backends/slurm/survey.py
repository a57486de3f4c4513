"""Nodes and their allocations, parsed from `scontrol` and `squeue`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from orchestune.backends.slurm.client import SlurmJob
from orchestune.backends.slurm.quantities import gpu_count
from orchestune.domain.resources.resources import Resources
from orchestune.domain.resources.survey import MachineAllocation

_MEBI = 2**20
_UP = re.compile(r"(IDLE|MIXED|ALLOCATED|COMPLETING|PLANNED)(\+(CLOUD|PLANNED|COMPLETING|POWERED_DOWN))*[~#]?")
"""states in which a node accepts jobs, at once or after it is powered up"""


def survey(nodes: str, ours: Iterable[SlurmJob]) -> list[MachineAllocation]:
    """Return every node of `scontrol --oneliner show nodes`; `ours` are running single-node jobs."""
    jobs_by_node: dict[str, list[SlurmJob]] = {}
    for job in ours:
        jobs_by_node.setdefault(job.node, []).append(job)
    allocations = [_node(line, jobs_by_node) for line in nodes.splitlines() if line.startswith("NodeName=")]
    return sorted(allocations, key=lambda node: (node.pool, node.name))


def _node(line: str, jobs_by_node: dict[str, list[SlurmJob]]) -> MachineAllocation:
    fields = dict(re.findall(r"(\w+)=(\S*)", line))
    jobs = jobs_by_node.get(fields["NodeName"], [])
    mine = Resources(
        float(sum(job.cpus for job in jobs)), sum(job.memory for job in jobs), sum(job.gpus for job in jobs)
    )
    allocated = Resources(
        float(fields.get("CPUAlloc") or 0),
        int(fields.get("AllocMem") or 0) * _MEBI,
        gpu_count(fields.get("AllocTRES", "")),
    )
    return MachineAllocation(
        fields["NodeName"],
        fields.get("Partitions", ""),
        Resources(
            float(fields.get("CPUTot") or 0),
            int(fields.get("RealMemory") or 0) * _MEBI,
            gpu_count(fields.get("Gres", "")),
        ),
        mine,
        Resources(
            max((allocated.cpu or 0) - (mine.cpu or 0), 0.0),
            max((allocated.memory or 0) - (mine.memory or 0), 0),
            max(allocated.gpu - mine.gpu, 0),
        ),
        _trouble(line, fields.get("State", "")),
    )


def _trouble(line: str, state: str) -> str:
    if _UP.fullmatch(state):
        return ""
    reason = re.search(r"\bReason=(.*?)(?: \[|$)", line)
    return f"{state.lower()}: {reason[1]}" if reason else state.lower() or "its state is unknown"
