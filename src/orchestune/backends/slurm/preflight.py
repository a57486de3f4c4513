"""Preflight checks before anything is submitted."""

from __future__ import annotations

from pathlib import Path

from orchestune.backends.slurm import plan
from orchestune.backends.slurm.client import Slurm
from orchestune.domain.resources.placement import Placement
from orchestune.domain.resources.resources import Resources
from orchestune.errors import UsageError


def check(slurm: Slurm, each: Resources, placement: Placement) -> None:
    """Raise UsageError if the request cannot be expressed or Slurm rejects it; TemporaryError if Slurm is down."""
    if each.gpu != int(each.gpu):
        raise UsageError(f"resources.gpu: Slurm allocates whole GPUs (got {each.gpu:g})", "ask for 1")
    if each.gpu_memory:
        raise UsageError(
            "resources.gpu.memory: Slurm selects GPUs by type, not by memory",
            "name the type, or `slurm: {constraint: FEATURE}`",
        )
    if each.pin:
        raise UsageError(
            "`resources.pin` is for processes of this machine; Slurm gives each job its cores",
            "leave it out: --set resources.pin=false",
        )
    if placement.volumes:
        raise UsageError("volumes are for containers and Kubernetes", "nodes of Slurm see shared folders as they are")
    slurm.dry_run(plan.script(Path("/"), Path("/")), plan.resource_options(each, placement, 0.0))
