"""Resources that trials request and that machines have, and the check whether they can ever fit."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from orchestune.domain.resources.gpus import Gpu, GpuRequest, listing, suits

if TYPE_CHECKING:
    from orchestune.documents import Asked

_AMOUNT = r"\d{1,18}(?:\.\d{1,30})?"
"""decimal number without exponent; a float printed in this form has at most 21 decimals"""
_UNITS = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50,
}  # fmt: skip


def parse_bytes(text: str | int | float) -> int:
    """Parse `2Gi`, `500M` or `1024` (Kubernetes suffixes) to bytes. Raises ValueError with the allowed forms."""
    match = re.fullmatch(rf"\s*({_AMOUNT})\s*([kKMGTP]i?)?[bB]?\s*", str(text))
    if match:
        unit = match[2] or ""
        unit = {"K": "k", "ki": "Ki"}.get(unit, unit)
        if unit in _UNITS:
            return int(float(match[1]) * _UNITS[unit])
    raise ValueError(f"invalid amount of memory: {text!r} (expected such as 512Mi, 2Gi or 4G)")


def parse_cpu(text: str | int | float) -> float:
    """Parse `2`, `0.5` or `500m` to cores. Raises ValueError with the allowed forms."""
    match = re.fullmatch(rf"\s*({_AMOUNT})(m?)\s*", str(text))
    if match and float(match[1]) > 0:
        return float(match[1]) / (1000 if match[2] else 1)
    raise ValueError(f"invalid amount of cpu: {text!r} (expected such as 2, 0.5 or 500m)")


def parse_seconds(text: object) -> float:
    """Parse `90`, `90s`, `5m`, `1h30m` or `2d` to seconds. Raises ValueError with the allowed forms."""
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        if text > 0:
            return float(text)
    elif re.fullmatch(rf"(?:{_AMOUNT}[dhms])+", str(text)):
        parts = re.findall(rf"({_AMOUNT})([dhms])", str(text))
        total = sum(float(number) * {"d": 86400, "h": 3600, "m": 60, "s": 1}[unit] for number, unit in parts)
        if total > 0:
            return total
    elif re.fullmatch(_AMOUNT, str(text)) and float(str(text)) > 0:
        return float(str(text))
    raise ValueError(f"invalid duration: {text!r} (expected such as 30s, 5m, 1h30m or a number of seconds)")


@dataclass(frozen=True)
class Resources:
    """Requests of one trial. None for cpu or memory: unset, nothing is reserved and only `parallelism` limits."""

    cpu: float | None = None
    memory: int | None = None
    """bytes"""
    gpu: float = 0
    """whole GPUs, or a fraction of one"""
    gpu_type: str | None = None
    """words of the GPU's model name, such as a100"""
    gpu_memory: int | None = None
    """minimum bytes of each GPU"""
    pin: bool = False
    """True if each trial gets exclusive cores"""
    has_assumed_cpu: bool = False
    """True if the file names no `cpu` and a cluster that requires one assumed it: it reserves cores and limits none"""
    gpu_ids: tuple[str, ...] | None = None
    """the only GPUs it may use; None: any. Set from the environment of the shell that called `run`, never by a file"""

    @property
    def gpu_request(self) -> GpuRequest:
        """The GPU part of the request."""
        return GpuRequest(self.gpu, self.gpu_type, self.gpu_memory, self.gpu_ids)

    def times(self, slots: int) -> Resources:
        """Return the total request of so many concurrent trials."""
        return replace(
            self,
            cpu=None if self.cpu is None else self.cpu * slots,
            memory=None if self.memory is None else self.memory * slots,
            gpu=self.gpu * slots,
        )

    def to_json(self) -> Asked:
        """Serialize to `{"cpu", "memory", "gpu"}`, memory in bytes, and the other fields that are set."""
        document: Asked = {"cpu": self.cpu, "memory": self.memory, "gpu": self.gpu}
        if self.gpu_type:
            document["gpu_type"] = self.gpu_type
        if self.gpu_memory:
            document["gpu_memory"] = self.gpu_memory
        if self.pin:
            document["pin"] = self.pin
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Resources:
        """Parse the output of `to_json`."""
        gpu = document.get("gpu") or 0
        return cls(
            document.get("cpu"),
            document.get("memory"),
            int(gpu) if gpu == int(gpu) else float(gpu),
            document.get("gpu_type"),
            document.get("gpu_memory"),
            bool(document.get("pin")),
        )

    @property
    def gpu_text(self) -> str:
        """GPU request as text for users; empty without GPUs."""
        if not self.gpu:
            return ""
        text = f"{self.gpu:g} gpu"
        text += f" of type {self.gpu_type}" if self.gpu_type else ""
        text += f" with {self.gpu_memory / 2**30:.3g} GiB" if self.gpu_memory else ""
        if self.gpu_ids is None:
            return text
        only = f"only {', '.join(self.gpu_ids)}" if self.gpu_ids else "no GPU of this machine"
        return f"{text}, and CUDA_VISIBLE_DEVICES names {only}"

    def __str__(self) -> str:
        assumed = " (assumed)" if self.has_assumed_cpu else ""
        parts = [] if self.cpu is None else [f"{self.cpu:g} cpu{assumed}"]
        parts += [] if self.memory is None else [f"{self.memory / 2**30:.3g} GiB memory"]
        parts += [self.gpu_text] if self.gpu else []
        return ", ".join(parts) or "no resources"


@dataclass(frozen=True)
class Machine:
    """Resources of one machine for Orchestune's trials: cores, bytes, GPUs; without what other workloads hold."""

    cpu: float
    memory: int
    gpus: tuple[Gpu, ...] = ()
    name: str = "this machine"
    pool: str = ""
    """the node pool, if the cluster has several"""
    lent: Resources = Resources(0.0, 0, 0)
    """held by other workloads that may release it later; `gpu_type` and `gpu_memory` describe these GPUs"""
    hides: str = ""
    """setting that may hide GPUs of the machine, as text such as `NAME='value'`; empty if none"""

    @property
    def whole(self) -> Resources:
        """Resources of the machine without other workloads."""
        lent = self.lent
        return Resources(self.cpu + (lent.cpu or 0), self.memory + (lent.memory or 0), len(self.gpus) + lent.gpu)

    def suitable(self, each: Resources) -> float:
        """Return the number of GPUs that match the request, including those that other workloads hold."""
        own = sum(each.gpu_request.suited_by(gpu) for gpu in self.gpus)
        lent = self.lent
        fits = suits(lent.gpu_type or "", lent.gpu_memory or 0, each.gpu_type, each.gpu_memory)
        return own + (lent.gpu if fits else 0)


@dataclass(frozen=True)
class Capacity:
    """Resources of a cluster for Orchestune's trials, including those that its trials already use."""

    machines: tuple[Machine, ...] = ()
    elastic: bool = False
    """machines may be added on demand, or the cluster does not show its machines"""
    quarantined: frozenset[str] = frozenset()
    """machines on which nothing is started for now, because trials failed there"""
    unschedulable: frozenset[str] = frozenset()
    """machines that accept no new trials but may still run some (cordoned, not ready, draining)"""

    def without(self, quarantined: frozenset[str]) -> Capacity:
        """Return this capacity with the named machines moved to `quarantined`."""
        if not quarantined:
            return self
        available = tuple(machine for machine in self.machines if machine.name not in quarantined)
        return replace(self, machines=available, quarantined=self.quarantined | quarantined)

    @property
    def gpus(self) -> tuple[Gpu, ...]:
        """All GPUs of the cluster."""
        return tuple(gpu for machine in self.machines for gpu in machine.gpus)


def fits(
    capacity: Capacity, each: Resources, pool: str | None = None, avoid: frozenset[str] = frozenset()
) -> str | None:
    """Return the reason why no machine can ever satisfy the request; None if one can, or if capacity is elastic.

    `avoid`: machines that the trial must not use.
    """
    if capacity.elastic:
        return None
    offered = [machine for machine in capacity.machines if offers(machine, pool)]
    machines = [machine for machine in offered if machine.name not in avoid]
    if offered and not machines:
        of = f" of the pool {pool}" if pool else ""
        return f"no machine{of} accepts the trial: their taints or labels do not match its tolerations or node selector"
    if not machines:
        pools = sorted({machine.pool for machine in capacity.machines if machine.pool})
        pools_hint = f"; pools with machines: {', '.join(pools)}" if pools else ""
        return f"the pool {pool} has no machine{pools_hint}" if pool else "the cluster has no machine"
    if any(holds(machine, each) for machine in machines):
        return None
    lacking = _lacking(machines, each, pool)
    if lacking:
        return f"a trial needs {'; it needs '.join(lacking)}"
    if each.gpu and not any(machine.suitable(each) >= each.gpu for machine in machines):
        return f"a trial needs {each.gpu_text}; {_gpus_by_machine(machines)}"
    return f"no single machine has {each}"


def remedy(capacity: Capacity, each: Resources, pool: str | None = None, avoid: frozenset[str] = frozenset()) -> str:
    """Return what to change about a request for which `fits` returns a reason, in the keys of an experiment file."""
    offered = [machine for machine in capacity.machines if offers(machine, pool)]
    machines = [machine for machine in offered if machine.name not in avoid]
    if not capacity.machines:
        return "add a machine to the cluster"
    if not offered:
        return "name another `pool`"
    if not machines:
        return "name the `pool` of machines that accept it, or add tolerations to `pod:`"
    names_model = each.gpu_type is not None or each.gpu_memory is not None
    has_gpus = any(machine.whole.gpu for machine in machines)
    has_model = any(machine.suitable(each) for machine in machines)
    if each.gpu and names_model and has_gpus and not has_model:
        return "choose `type` and `memory` of `gpu` as one of these GPUs has them"
    return "name another `pool`, or lower `resources`" if pool else "lower `resources`"


def _lacking(machines: Sequence[Machine], each: Resources, pool: str | None) -> list[str]:
    """Return the resources that even the largest machine lacks, as texts that complete `a trial needs`."""
    shortages = []
    for name, unit, amount in AMOUNTS:
        largest = max(machines, key=lambda machine: amount(machine.whole))
        requested, has = amount(each), amount(largest.whole)
        if requested > has:
            of = f" of the pool {pool}" if pool else ""
            where = largest.name if len(machines) == 1 else f"the largest machine{of}, {largest.name},"
            gpus = listing(largest.gpus) if name == "gpu" else ""
            hides = f" ({largest.hides} may hide others)" if name == "gpu" and largest.hides else ""
            shortages.append(
                f"{requested / unit:g} {name}, {where} has {has / unit:.3g}{f': {gpus}' if gpus else ''}{hides}"
            )
    return shortages


def _gpus_by_machine(machines: Sequence[Machine]) -> str:
    """Return the GPUs by machine as text, the machine with the most first."""
    ranked = sorted(machines, key=lambda machine: -machine.whole.gpu)
    texts = [f"{machine.name} has {_listed(machine)}" for machine in ranked if machine.whole.gpu]
    return "; ".join(texts[:_MAX_LISTED_MACHINES]) + (
        f"; and {len(texts) - _MAX_LISTED_MACHINES} more" if len(texts) > _MAX_LISTED_MACHINES else ""
    )


def _listed(machine: Machine) -> str:
    lent = machine.lent
    lent_gpus = [Gpu("", lent.gpu_type or "", lent.gpu_memory or 0)] * int(lent.gpu)
    gpus = listing([*machine.gpus, *lent_gpus]) or f"{machine.whole.gpu:g} GPUs of unknown type"
    return f"{gpus} ({machine.hides} may hide others)" if machine.hides else gpus


_MAX_LISTED_MACHINES = 5
AMOUNTS: tuple[tuple[str, int, Callable[[Resources], float]], ...] = (
    ("cpu", 1, lambda amount: amount.cpu or 0),
    ("GiB memory", 2**30, lambda amount: amount.memory or 0),
    ("gpu", 1, lambda amount: amount.gpu),
)
"""name of each kind of resource, bytes or 1 per unit, and the function that returns its amount"""


def holds(machine: Machine, each: Resources) -> bool:
    """Return True if the machine satisfies the request of one trial when it is otherwise empty."""
    whole = machine.whole
    enough = (each.cpu or 0) <= (whole.cpu or 0) + 1e-9 and (each.memory or 0) <= (whole.memory or 0)
    return enough and each.gpu <= machine.suitable(each)


def offers(machine: Machine, pool: str | None) -> bool:
    """Return True if trials of this pool may use the machine; a trial without a pool (None) may use any."""
    return pool in (None, machine.pool)
