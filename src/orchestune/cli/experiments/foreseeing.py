"""What a server would refuse of an experiment, as far as it can be known without one: for `--dry-run`."""

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
"""an id that is only known later"""


def foresee(
    specification: Specification, place: ServerPlace, environ: Mapping[str, str] = os.environ
) -> tuple[str, ...]:
    """Raises what the server would raise. Returns what nobody but a server elsewhere can know, as notes."""
    registry.check(specification.engine, specification.engine_options, specification.space, specification.metrics)
    needs = specification.resources
    if place.cluster is not None and place.cluster.provider == "slurm":
        return _foresee_slurm(specification, environ)
    if not place.embedded:
        return (
            (f"only the server can tell whether it has room for {needs}",)
            if needs.cpu or needs.memory or needs.gpu
            else ()
        )
    gpus = capacity.gpus(environ) if needs.gpu else ()  # asks a program, which takes a while
    problem = fits(Capacity((capacity.with_cards(gpus, environ=environ),)), needs)
    if problem:
        raise UsageError(f"this can never run: {problem}", "lower `resources`")
    return ()


def _foresee_slurm(specification: Specification, environ: Mapping[str, str]) -> tuple[str, ...]:
    try:
        check(Slurm(environ), specification.resources, specification.placement)
    except TemporaryError as exc:
        return (f"whether Slurm takes its jobs cannot be told now: {exc}",)
    return ()


def order(specification: Specification) -> WorkerOrder:
    """What would be asked of a place for one worker. What is only known later is zeros."""
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
