"""The GPUs of this machine for a trial that is run by hand."""

from __future__ import annotations

from collections.abc import Mapping

from orchestune.backends.local import capacity
from orchestune.domain.resources.gpus import GpuSet
from orchestune.domain.resources.resources import Capacity, Resources, fits


def cards(each: Resources, environ: Mapping[str, str]) -> tuple[tuple[str, ...], str]:
    """Those that a worker of this machine would give to it if nothing else ran; else none, and why.

    A trial by hand may find out about its command where the cards are not: it goes on without.
    """
    if not each.gpu:
        return (), ""
    there = capacity.gpus(environ)  # asks a program, which takes a while
    chosen = GpuSet(there).take(each.wanted)
    if chosen:
        return chosen, ""
    wanted = Resources(gpu=each.gpu, gpu_type=each.gpu_type, gpu_memory=each.gpu_memory)
    why = fits(Capacity((capacity.with_cards(there, environ=environ),)), wanted)
    return (), f"goes on without a GPU of its own: {why}"
