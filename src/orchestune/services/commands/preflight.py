"""Preflight checks of an experiment: a server makes them when it creates one, a command line in a dry run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestune.domain.resources.resources import fits, remedy
from orchestune.domain.specification.experiment import Specification
from orchestune.engines import registry
from orchestune.errors import UsageError
from orchestune.ports.backend import Guard, WorkerPlanner
from orchestune.pruners import registry as pruners


def check_workers(
    planner: WorkerPlanner, specification: Specification, launch: Mapping[str, object], *, must_fit: bool = True
) -> Sequence[str]:
    """Return notes on the checks that cannot be made now. `must_fit`: False if the trials are not scheduled.

    Raises UsageError if the experiment's trials can never run there, PolicyRefused if they may not.
    """
    each, placement = planner.needs(specification.resources, launch), specification.placement
    if isinstance(planner, Guard):
        planner.refuse(each, placement, launch)
    notes = planner.check(each, placement)
    capacity, requested = planner.capacity(), planner.total_request(each, placement)
    excluded = planner.infeasible_nodes(each, placement)
    problem = fits(capacity, requested, placement.pool, excluded)
    if problem and must_fit:
        hint = remedy(capacity, requested, placement.pool, excluded)
        hint += "" if requested == each else ", or the requests of other containers in `pod:`"
        if each.gpu_ids is not None:
            hint += ", or list more GPUs in CUDA_VISIBLE_DEVICES"
        elif each.gpu and (hides := next((one.hides for one in capacity.machines if one.hides), "")):
            hint += f", or start the server where {hides.partition('=')[0]} lists more GPUs"
        raise UsageError(f"this can never run: {problem}", hint)
    return notes


def check_methods(specification: Specification) -> None:
    """Raise UsageError if engine, its options or early stopping do not suit the parameters and metrics."""
    registry.check(specification.engine, specification.engine_options, specification.space, specification.metrics)
    if specification.early_stopping is not None:
        pruners.check(specification.early_stopping, specification.metrics)
