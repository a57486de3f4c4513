"""GPUs: their properties, which ones match a request, and how much of each is available."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

_MIN_NOMINAL_RATIO = 11 / 12
"""minimum ratio of reported to nominal memory: the system reserves some (a T4 of 16 GiB reports 15)"""
_ROUNDING = 1e-6
_MAX_SHARES = 1000  # trials on one GPU: specifications request at least a thousandth
_END_OF_LIST = re.compile(r"-\d+|NoDevFiles|none|void", re.IGNORECASE)


@dataclass(frozen=True)
class Gpu:
    """One GPU, or one partition of a GPU."""

    id: str
    """id as used in `CUDA_VISIBLE_DEVICES`"""
    model: str = ""
    """name given by the manufacturer; empty: unknown"""
    memory: int = 0
    """bytes; 0: unknown"""

    def __str__(self) -> str:
        size = f"{self.memory / 2**30:.3g} GiB" if self.memory else "memory unknown"
        return f"{self.model or 'type unknown'} ({size})"


@dataclass(frozen=True)
class GpuRequest:
    """GPU request of a trial."""

    count: float
    """number of whole GPUs, or a fraction of one"""
    type: str | None = None
    memory: int | None = None
    """minimum bytes per GPU"""
    ids: tuple[str, ...] | None = None
    """ids of the only allowed GPUs; None: any"""

    def suited_by(self, gpu: Gpu) -> bool:
        """Return True if `gpu` matches the request."""
        allowed = self.ids is None or gpu.id in self.ids
        return allowed and suits(gpu.model, gpu.memory, self.type, self.memory)


def suits(model: str, memory: int, type: str | None, min_bytes: int | None) -> bool:
    """Return True if a GPU is of the requested type and has at least `min_bytes` bytes."""
    return (type is None or _is_type(model, type)) and (not min_bytes or memory >= min_bytes * _MIN_NOMINAL_RATIO)


def _is_type(model: str, type: str) -> bool:
    """Return True if `type` matches consecutive whole words of `model`, separators ignored: `a10` is not an `a100`."""
    requested_words = "".join(_words(type))
    words = _words(model)
    starts = range(len(words))
    return any(
        "".join(words[start:end]) == requested_words for start in starts for end in range(start + 1, len(words) + 1)
    )


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def listing(gpus: Iterable[Gpu]) -> str:
    """Return `2 x NVIDIA A100-SXM4-40GB (40 GiB), 1 x Tesla T4 (15 GiB)`; empty if all GPUs are unknown."""
    counted = Counter(replace(gpu, id="") for gpu in gpus)
    if not any(gpu.model or gpu.memory for gpu in counted):
        return ""
    return ", ".join(f"{count} x {gpu}" for gpu, count in counted.items())


def named(visible: str) -> tuple[str, ...]:
    """Return the ids in `CUDA_VISIBLE_DEVICES`, without duplicates."""
    ids: list[str] = []
    for word in (part.strip() for part in visible.split(",")):
        if not word or _END_OF_LIST.fullmatch(word):
            break  # as CUDA does: ids after an invalid one are not visible
        if word not in ids:
            ids.append(word)
    return tuple(ids)


class GpuSet:
    """Available capacity of a set of GPUs: a whole GPU goes to one trial, the rest of a shared GPU to others."""

    def __init__(self, gpus: Iterable[Gpu]) -> None:
        self._gpus = tuple(gpus)
        self._free = {gpu.id: 1.0 for gpu in self._gpus}

    def hold(self, held: Mapping[str, float]) -> None:
        """Mark fractions of GPUs (id → fraction) as in use."""
        for gpu, part in held.items():
            if gpu in self._free:
                self._free[gpu] = max(self._free[gpu] - part, 0.0)

    def available(self, request: GpuRequest) -> float:
        """Return how many of the GPUs that match the request are free; of a shared GPU the free fraction counts."""
        return sum(self._free[gpu.id] for gpu in self._gpus if request.suited_by(gpu))

    def fit(self, request: GpuRequest) -> int:
        """Return how many trials with this request fit."""
        free = [self._free[gpu.id] for gpu in self._gpus if request.suited_by(gpu)]
        if request.count < 1:
            return sum(int(min((part + _ROUNDING) // request.count, _MAX_SHARES)) for part in free)
        return int(sum(part > 1 - _ROUNDING for part in free) // request.count)

    def take(self, request: GpuRequest) -> tuple[str, ...]:
        """Allocate GPUs to one more trial and return their ids; empty if it does not fit.

        Among matching GPUs, a fraction comes from the one with the least available, so that whole ones stay free, and
        smaller and older GPUs are used first, so that larger ones remain for trials that name them.
        """
        if not self.fit(request):
            return ()
        suitable = [gpu for gpu in self._gpus if request.suited_by(gpu)]
        enough = [gpu for gpu in suitable if self._free[gpu.id] >= min(request.count, 1) - _ROUNDING]
        enough.sort(key=lambda gpu: (round(self._free[gpu.id], 6), gpu.memory))
        chosen = enough[: max(int(request.count), 1)]
        self.hold({gpu.id: min(request.count, 1.0) for gpu in chosen})
        return tuple(gpu.id for gpu in chosen)
