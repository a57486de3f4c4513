"""What a trial needs, what a machine has, and who gets it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_UNITS = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50,
}  # fmt: skip


def parse_bytes(text: str | int | float) -> int:
    """`2Gi`, `500M`, `1024` in bytes (the suffixes of Kubernetes). ValueError says what is allowed."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kKMGTP]i?)?[bB]?\s*", str(text))
    if match:
        unit = match[2] or ""
        unit = {"K": "k", "ki": "Ki"}.get(unit, unit)
        if unit in _UNITS:
            return int(float(match[1]) * _UNITS[unit])
    raise ValueError(f"{text!r} is no amount of memory; write 512Mi, 2Gi or 4G")


def parse_cpu(text: str | int | float) -> float:
    """`2`, `0.5` or `500m` in cores. ValueError says what is allowed."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)(m?)\s*", str(text))
    if match and float(match[1]) > 0:
        return float(match[1]) / (1000 if match[2] else 1)
    raise ValueError(f"{text!r} is no amount of cpu; write 2, 0.5 or 500m")


def parse_seconds(text: str | int | float) -> float:
    """`90`, `90s`, `5m`, `1h30m`, `2d` in seconds. ValueError says what is allowed."""
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        if text > 0:
            return float(text)
    elif re.fullmatch(r"(?:\d+(?:\.\d+)?[dhms])+", str(text)):
        parts = re.findall(r"(\d+(?:\.\d+)?)([dhms])", str(text))
        total = sum(float(number) * {"d": 86400, "h": 3600, "m": 60, "s": 1}[unit] for number, unit in parts)
        if total > 0:
            return total
    elif re.fullmatch(r"\d+(?:\.\d+)?", str(text)) and float(text) > 0:
        return float(text)
    raise ValueError(f"{text!r} is no length of time; write 30s, 5m, 1h30m or seconds as a number")


@dataclass(frozen=True)
class Resources:
    """What one trial needs. None for cpu or memory: not said, so nothing is reserved and `parallelism` alone rules."""

    cpu: float | None = None
    memory: int | None = None
    """bytes"""
    gpu: int = 0

    def times(self, slots: int) -> Resources:
        """What that many trials side by side need."""
        return Resources(
            None if self.cpu is None else self.cpu * slots,
            None if self.memory is None else self.memory * slots,
            self.gpu * slots,
        )

    def to_json(self) -> dict[str, Any]:
        """`{"cpu", "memory", "gpu"}`, memory in bytes."""
        return {"cpu": self.cpu, "memory": self.memory, "gpu": self.gpu}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Resources:
        """The inverse of `to_json`."""
        return cls(document.get("cpu"), document.get("memory"), int(document.get("gpu") or 0))

    def __str__(self) -> str:
        parts = [] if self.cpu is None else [f"{self.cpu:g} cpu"]
        parts += [] if self.memory is None else [f"{self.memory / 2**30:.3g} GiB memory"]
        parts += [f"{self.gpu} gpu"] if self.gpu else []
        return ", ".join(parts) or "nothing in particular"


@dataclass(frozen=True)
class Capacity:
    """What a machine has: cores, bytes, and its GPUs by id."""

    cpu: float
    memory: int
    gpus: tuple[str, ...] = ()


class Room:
    """What is free of the cores and the memory of a machine; less than nothing where more was handed out."""

    def __init__(self, capacity: Capacity) -> None:
        self._cpu, self._memory = capacity.cpu, float(capacity.memory)

    def take(self, each: Resources, slots: int) -> None:
        """So many trials hold what they need."""
        self._cpu -= (each.cpu or 0) * slots
        self._memory -= (each.memory or 0) * slots

    def fit(self, each: Resources, slots: int) -> int:
        """How many of so many trials find a place."""
        if each.cpu:
            slots = min(slots, int((self._cpu + 1e-9) // each.cpu))
        if each.memory:
            slots = min(slots, int(self._memory // each.memory))
        return max(slots, 0)


@dataclass(frozen=True)
class Demand:
    """How many slots an experiment could use now, and what each of them takes."""

    experiment: str
    slots: int
    each: Resources


def fits(capacity: Capacity, each: Resources) -> str | None:
    """Why a trial could never run on this machine, or None where it could."""
    for name, wanted, have, unit in (
        ("cpu", each.cpu or 0, capacity.cpu, 1),
        ("GiB memory", each.memory or 0, capacity.memory, 2**30),
        ("gpu", each.gpu, len(capacity.gpus), 1),
    ):
        if wanted > have:
            return f"a trial needs {wanted / unit:g} {name}, this machine has {have / unit:.3g}"
    return None


def allocate(capacity: Capacity, demands: Sequence[Demand]) -> dict[str, int]:
    """Slots per experiment: the demands in the order given (priority, then age) take what is left."""
    cpu, memory, gpus = capacity.cpu, capacity.memory, len(capacity.gpus)
    granted: dict[str, int] = {}
    for demand in demands:
        each, slots = demand.each, demand.slots
        if each.cpu:
            slots = min(slots, int((cpu + 1e-9) / each.cpu))
        if each.memory:
            slots = min(slots, memory // each.memory)
        if each.gpu:
            slots = min(slots, gpus // each.gpu)
        slots = max(slots, 0)
        granted[demand.experiment] = slots
        cpu -= (each.cpu or 0) * slots
        memory -= (each.memory or 0) * slots
        gpus -= each.gpu * slots
    return granted
