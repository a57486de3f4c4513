"""The machine's capacity for trials: the cores and memory available to this process, and the GPUs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestune.backends.nvidia import ListedGpus, among, listed, visible
from orchestune.domain.resources.gpus import Gpu, named
from orchestune.domain.resources.resources import Machine
from orchestune.system.control_groups import limiting_groups, memory, words_of

VARIABLE = "CUDA_VISIBLE_DEVICES"


def with_gpus(cards: tuple[Gpu, ...], root: Path = Path("/"), environ: Mapping[str, str] = os.environ) -> Machine:
    """Return the machine's capacity within the limits of this process's container or job, with these GPUs.

    /proc and /sys are below `root`.
    """
    variable = environ.get(VARIABLE)
    return Machine(cores(root), memory(root), cards, hides="" if variable is None else f"{VARIABLE}={variable!r}")


def cores(root: Path = Path("/")) -> float:
    """Return the cores in this process's affinity mask, at most what its control groups allow."""
    allowed = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    for folder in limiting_groups(root, "cpu"):
        words = words_of(folder / "cpu.max") or words_of(folder / "cpu.cfs_quota_us") + words_of(
            folder / "cpu.cfs_period_us"
        )
        if len(words) == 2 and all(word.isdecimal() and int(word) for word in words):  # otherwise "max" or -1: no limit
            allowed = min(allowed, int(words[0]) / int(words[1]))
    return allowed


def gpus(environ: Mapping[str, str] = os.environ) -> tuple[Gpu, ...]:
    """Return the GPUs for `CUDA_VISIBLE_DEVICES`.

    They are those already named by the variable, else all of the machine, by index, or by UUID for parts of a
    partitioned GPU (MIG). Names that `nvidia-smi` does not list are accepted without further data. Runs `nvidia-smi`,
    which may take seconds, unless the variable hides all GPUs.
    """
    variable = environ.get(VARIABLE)
    if variable is None:
        return visible(listed(environ), None, by_uuid=False)
    words = named(variable)
    all_gpus = listed(environ) if words else []
    named_gpus = {word: gpu for word in words for gpu in visible(all_gpus, word, by_uuid=False)[:1]}
    return tuple(
        Gpu(word, *((named_gpus[word].model, named_gpus[word].memory) if word in named_gpus else ())) for word in words
    )


def every_gpu(environ: Mapping[str, str] = os.environ) -> tuple[tuple[Gpu, ...], Sequence[ListedGpus]]:
    """Return all GPUs of the machine regardless of the variable, identified as above, and the list of `nvidia-smi`.

    Names in the variable that `nvidia-smi` does not list are accepted here too.
    """
    all_gpus = listed(environ)
    every = visible(all_gpus, None, by_uuid=False)
    words = named(environ.get(VARIABLE, ""))
    return (*every, *(Gpu(word) for word in words if not among(every, word, all_gpus))), all_gpus
