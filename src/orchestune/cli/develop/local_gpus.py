"""Assignment of this machine's GPUs to a trial without a server."""

from __future__ import annotations

from collections.abc import Mapping

from orchestune.backends.local import capacity
from orchestune.domain.resources.gpus import GpuSet
from orchestune.domain.resources.resources import Capacity, Resources, fits


def assign_gpus(resources: Resources, environ: Mapping[str, str]) -> tuple[tuple[str, ...], str]:
    """Return the GPUs that a worker of this idle machine would assign, or none and the reason.

    A trial run by hand without GPUs still shows whether the command works.
    """
    if not resources.gpu:
        return (), ""
    local_gpus = capacity.gpus(environ)  # runs a program, which is slow
    assigned = GpuSet(local_gpus).take(resources.gpu_request)
    if assigned:
        return assigned, ""
    gpu_request = Resources(gpu=resources.gpu, gpu_type=resources.gpu_type, gpu_memory=resources.gpu_memory)
    reason = fits(Capacity((capacity.with_cards(local_gpus, environ=environ),)), gpu_request)
    return (), f"continuing without an assigned GPU: {reason}"
