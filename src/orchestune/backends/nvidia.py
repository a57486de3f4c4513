"""The GPUs of this machine as listed by `nvidia-smi`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from orchestune.domain.resources.gpus import Gpu, named

_MIB = 2**20
_MIN_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS = 60.0, 3600.0
"""seconds before a machine without GPUs is queried again: initial and maximum backoff"""


@dataclass(frozen=True)
class ListedGpus:
    """One GPU; `parts` are its MIG instances, by UUID."""

    index: str
    uuid: str
    model: str = ""
    memory: int = 0
    """bytes; 0: not known"""
    parts: tuple[Gpu, ...] = field(default=())

    def usable(self, *, by_uuid: bool) -> tuple[Gpu, ...]:
        """Return the devices that can be allocated to trials."""
        return self.parts or (Gpu(self.uuid if by_uuid else self.index, self.model, self.memory),)


class GpuDiscovery:
    """Cached result of `ask`.

    An empty result is retried with backoff: after a machine has booted, its driver may be ready later than the server.
    Calling `ask` takes seconds.
    """

    def __init__(self, ask: Callable[[], tuple[Gpu, ...]], clock: Callable[[], float] = time.monotonic) -> None:
        self._ask, self._clock = ask, clock
        self._gpus: tuple[Gpu, ...] = ()
        self._next: float | None = None
        self._pause = _MIN_BACKOFF_SECONDS

    def here(self) -> tuple[Gpu, ...]:
        """Return the GPUs known so far."""
        if not self._gpus and (self._next is None or self._clock() >= self._next):
            self._gpus = self._ask()
            self._next = self._clock() + self._pause
            self._pause = min(2 * self._pause, _MAX_BACKOFF_SECONDS)
        return self._gpus


def listed(environ: Mapping[str, str] = os.environ) -> list[ListedGpus]:
    """Return the machine's GPUs; empty if `nvidia-smi` is not on the PATH or fails. Takes seconds."""
    program = shutil.which("nvidia-smi", path=environ.get("PATH", os.defpath))
    if program is None:
        return []
    text = _output_of([program, "-L"])
    if text is None or "GPU " not in text:
        return []
    return cards(text, _output_of([program, "--query-gpu=uuid,memory.total", "--format=csv,noheader,nounits"]) or "")


def _output_of(command: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def cards(text: str, memory: str = "") -> list[ListedGpus]:
    """Parse the output of `nvidia-smi -L`; `memory` has lines with a UUID and its MiB."""
    sizes = {uuid: int(size) * _MIB for uuid, size in re.findall(r"(?m)^(GPU-[^,\s]+),\s*(\d+)\s*$", memory)}
    gpus: list[ListedGpus] = []
    for line in text.splitlines():
        if gpu := re.match(r"GPU (\d+):\s*(.*?)\s*\(UUID:\s*(GPU-[^)\s]+)\)", line):
            gpus.append(ListedGpus(gpu[1], gpu[3], gpu[2], sizes.get(gpu[3], 0)))
        elif (part := re.match(r"\s+MIG (\S+).*\(UUID:\s*(MIG-[^)\s]+)\)", line)) and gpus:
            whole = gpus[-1]
            slice_ = Gpu(part[2], f"{whole.model} MIG {part[1]}", _size_of(part[1]))
            gpus[-1] = ListedGpus(whole.index, whole.uuid, whole.model, whole.memory, (*whole.parts, slice_))
    return gpus


def _size_of(profile: str) -> int:
    """`3g.20gb` → 20 GiB."""
    match = re.search(r"\.(\d+)gb", profile)
    return int(match[1]) * 2**30 if match else 0


def visible(gpus: Sequence[ListedGpus], named: str | None, *, by_uuid: bool) -> tuple[Gpu, ...]:
    """Return all, or those that `CUDA_VISIBLE_DEVICES` names by index or UUID, each once."""
    if named is None:
        return tuple(device for gpu in gpus for device in gpu.usable(by_uuid=by_uuid))
    chosen: list[Gpu] = []
    for word in (part.strip() for part in named.split(",")):
        matching = [device for gpu in gpus for device in _matching(gpu, word, by_uuid)]
        if not matching:
            break  # like CUDA: ids after an invalid one are not visible
        chosen += [device for device in matching if device not in chosen]
    return tuple(chosen)


def among(devices: Iterable[Gpu], words: str, gpus: Sequence[ListedGpus]) -> tuple[str, ...]:
    """Return the ids of those cards that this value of `CUDA_VISIBLE_DEVICES` also names, by index or UUID.

    `gpus`: the machine's GPUs. Names that are not among them are compared literally.
    """

    def uuids(word: str) -> set[str]:
        return {device.id for gpu in gpus for device in _matching(gpu, word, by_uuid=True)} or {word}

    named_uuids = {uuid for word in named(words) for uuid in uuids(word)}
    return tuple(device.id for device in devices if uuids(device.id) & named_uuids)


def _matching(gpu: ListedGpus, word: str, by_uuid: bool) -> tuple[Gpu, ...]:
    if word and (word == gpu.index or (word.startswith("GPU-") and gpu.uuid.startswith(word))):
        return gpu.usable(by_uuid=by_uuid)
    return tuple(part for part in gpu.parts if word.startswith("MIG-") and part.id.startswith(word))
