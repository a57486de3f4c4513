"""Checks of an experiment that the server would make, as far as possible without one: for `--dry-run`."""

from __future__ import annotations

import os
from collections.abc import Mapping

from orchestune.backends.local import capacity
from orchestune.backends.slurm.client import Slurm
from orchestune.backends.slurm.preflight import check
from orchestune.client.address import ServerPlace
from orchestune.domain.lifecycle.ids import slug
from orchestune.domain.resources.resources import Capacity, fits
from orchestune.domain.specification.experiment import Specification
from orchestune.engines import registry
from orchestune.errors import TemporaryError, UsageError
from orchestune.ports.backend import WorkerOrder

UNKNOWN = "00000000-0000-0000-0000-000000000000"
"""placeholder of an id that the server assigns later"""


def dry_run_checks(
    specification: Specification, destination: ServerPlace, environ: Mapping[str, str] = os.environ
) -> tuple[str, ...]:
    """Raise the errors that the server would raise; return notes about checks that only a remote server can make."""
    registry.check(specification.engine, specification.engine_options, specification.space, specification.metrics)
    resources = specification.resources
    if destination.cluster is not None and destination.cluster.provider == "slurm":
        return _check_slurm(specification, environ)
    if not destination.embedded:
        return (
            (f"not checked: only the server knows whether it has room for {resources}",)
            if resources.cpu or resources.memory or resources.gpu
            else ()
        )
    gpus = capacity.gpus(environ) if resources.gpu else ()  # runs a program, which is slow
    problem = fits(Capacity((capacity.with_cards(gpus, environ=environ),)), resources)
    if problem:
        raise UsageError(f"this can never run: {problem}", "lower `resources`")
    return ()


def _check_slurm(specification: Specification, environ: Mapping[str, str]) -> tuple[str, ...]:
    try:
        check(Slurm(environ), specification.resources, specification.placement)
    except TemporaryError as exc:
        return (f"not checked whether Slurm accepts the jobs: {exc}",)
    return ()


def worker_order(specification: Specification) -> WorkerOrder:
    """Build the order for one worker that a backend would get. Ids that are assigned later are zeros."""
    return WorkerOrder(
        worker=UNKNOWN,
        experiment=UNKNOWN,
        token="",
        slots=1,
        each=specification.resources,
        placement=specification.placement,
        handle=f"{slug(specification.name)}-0000",
        grace=specification.grace,
    )
