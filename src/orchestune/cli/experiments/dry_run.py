"""`run --dry-run`: the plan of an experiment, checked as far as possible without its server. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from orchestune.bootstrap import worker_planner
from orchestune.cli.experiments.prepare import PreparedExperiment, located
from orchestune.cli.terminal.console import Console
from orchestune.client.local.launch_context import owner
from orchestune.clusters.existing.text import as_yaml
from orchestune.domain.lifecycle.ids import slug
from orchestune.domain.resources.gpus import GpuSet
from orchestune.ports.backend import PlannedWorker, WorkerOrder
from orchestune.sdk.submitting import launch
from orchestune.services.commands.preflight import check_methods, check_workers
from orchestune.services.commands.size_limits import refuse_large

_ASSIGNED_LATER = "00000000-0000-0000-0000-000000000000"
"""placeholder of an id that the server generates"""


def check(console: Console, prepared: PreparedExperiment) -> tuple[PlannedWorker | None, Sequence[str]]:
    """Return a planned worker of the experiment, and notes on the checks that only the server can make.

    The worker is None if only the server can plan one.

    Raises the errors with which the server would refuse the experiment.
    """
    with located(prepared):
        return _check(console, prepared)


def _check(console: Console, prepared: PreparedExperiment) -> tuple[PlannedWorker | None, Sequence[str]]:
    specification, place, environ = prepared.specification, console.place, console.environ
    if prepared.install or prepared.dockerfile:
        placement = replace(specification.placement, image="(known once it is built)")
        specification = replace(specification, placement=placement)
    context = launch(place, prepared.project.root, prepared.project.links, prepared.project.code, environ)
    check_methods(specification)
    refuse_large(specification, context)
    planner = worker_planner(place, environ)
    resources = specification.resources
    if planner is None:
        limited = resources.cpu or resources.memory or resources.gpu
        return None, (f"not checked: only the server knows whether it has room for {resources}",) if limited else ()
    notes = check_workers(planner, specification, context)
    each = planner.needs(resources, context)
    has_assigned_gpus = planner.assigns_gpus and each.gpu
    order = WorkerOrder(
        worker=_ASSIGNED_LATER,
        experiment=_ASSIGNED_LATER,
        token="",
        slots=1,
        gpus=GpuSet(planner.capacity().gpus).take(each.gpu_request) if has_assigned_gpus else (),
        launch=context,
        each=each,
        placement=specification.placement,
        handle=f"{slug(specification.name)}-0000",
        owner=(place.cluster and place.cluster.user) or owner(environ),
        grace=specification.grace,
    )
    return planner.plan(order), notes


def show(console: Console, worker: PlannedWorker) -> None:
    """Print the objects of a planned worker."""
    console.say(worker.title)
    console.out.write(as_yaml(worker.objects))
