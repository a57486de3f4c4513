"""Creation, status, changes and analysis of experiments."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from fastapi import Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from orchestune import documents
from orchestune.domain.access.audit import AuditKind
from orchestune.domain.lifecycle.states import ExperimentState
from orchestune.server import live_stream, requests, routers, streams
from orchestune.server.answers import answer
from orchestune.server.live_stream import LiveView, log_of
from orchestune.server.parameters import (
    Actor,
    Audit,
    IdempotencyKey,
    MaybeCursor,
    MaybeNumber,
    RequestCaller,
    RequestContext,
    Tail,
)
from orchestune.services.commands import change_code as code_change
from orchestune.services.commands import change_experiment, create_experiment
from orchestune.services.commands.change_experiment import Changes
from orchestune.services.commands.create_experiment import InitialTrial, NewExperiment, WarmStartResults
from orchestune.services.core import Caller, Core
from orchestune.services.memory.signals import EXPERIMENTS
from orchestune.services.ownership import owned_by, principal_of_new
from orchestune.services.queries import list_experiments, read_experiments, read_findings

router = routers.of_clients("experiments", "/experiments")


@router.post("", status_code=201, response_model=documents.Status)
async def create(
    context: RequestContext, caller: RequestCaller, body: requests.CreateExperiment, key: IdempotencyKey = None
) -> Response:
    """Create an experiment."""
    # To refuse constraints that no configuration satisfies takes up to 25 s, as long as an analysis; to map the results
    # of a warm start to a large space up to 10 s.
    run = context.analysing if body.specification.get("constraints") or body.warm_start else context.cold
    return await run(_create, context.core, caller, body, key)


def _create(core: Core, caller: Caller, body: requests.CreateExperiment, key: str | None) -> Response:
    first = body.first
    new = NewExperiment(
        specification=body.specification,
        cluster=body.cluster,
        bundle=body.bundle,
        warm_start=_warm_start_results(body.warm_start) if body.warm_start else None,
        first=InitialTrial(first.parameters, first.seed) if first else None,
        owner=body.owner,
        folder=body.folder,
        launch=body.launch.document(),
        secrets=body.secrets,
        environment=body.environment,
        outgoing=body.outgoing,
        idempotency_key=key or None,
    )
    principal = principal_of_new(core, caller, body.owner)
    return answer(create_experiment.create_experiment(core, new, caller.name, principal=principal), 201)


def _warm_start_results(request: requests.WarmStartRequest) -> WarmStartResults:
    try:
        checked = request.checked_results()
    except ValidationError as exc:
        at = ("body", "warm_start", "results")
        raise RequestValidationError([{**error, "loc": (*at, *error["loc"])} for error in exc.errors()]) from exc
    return WarmStartResults(request.source, [each.model_dump(exclude_none=True) for each in checked])


@router.get("", response_model=documents.StatusPage)
async def statuses(
    context: RequestContext,
    request: Request,
    caller: RequestCaller,
    folder: str | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    before: Annotated[str | None, Query(pattern=r"^\d{1,20}(\.\d{1,20})?$")] = None,
    hidden: bool = False,
    details: bool = False,
    search: Annotated[str, Query(max_length=500, description="words to find in names, owners and labels")] = "",
    state: ExperimentState | None = None,
    sort: Annotated[str | None, Query(description="a column, such as age, or -failed for descending order")] = None,
    offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    only: Annotated[Sequence[str], Query(max_length=20)] = (),
    mine: Annotated[bool, Query(description="only those of the caller; not with `search`, `state` and `sort`")] = False,
    after: str = "",
) -> Response:
    """List the newest experiments, optionally of one `folder`; `details` adds their workers, `mine` omits others' ones.

    `search`, `state`, `sort` and `offset` select and order them, and the response then has their total number; `only`
    selects by name. With `Accept: text/event-stream` it is a stream that sends changed documents.
    """
    part = partial(
        list_experiments.listed,
        context.core,
        search=search,
        state=state.value if state else None,
        sort=sort or "age",
        offset=offset,
        limit=limit,
        folder=folder,
        hidden=hidden,
    )
    if streams.wants_stream(request):

        def read() -> dict[str, object]:  # each `Status` by its id; for a list also the ids in order
            if only:
                return {item["id"]: item for item in list_experiments.several(context.core, only)}
            page = part()
            items_by_id = {item["id"]: item for item in page["items"]}
            return {**items_by_id, _LIST: {"ids": list(items_by_id), "total": page["total"], "known": page["known"]}}

        key = f"experiments {[*only]} {part.keywords}"
        return await live_stream.stream(context, request, LiveView(key, EXPERIMENTS, read, kind=_kind), after)
    if only:
        return answer({"items": await context.cold(list_experiments.several, context.core, only), "next": None})
    if search or state or sort or offset:
        return answer(await context.cold(part))
    owner = owned_by(context.core, caller) if mine else None
    newest = await context.cold(read_experiments.statuses, context.core, folder, limit, before, hidden, details, owner)
    return answer(newest)


_LIST = "list"
_READ_SECONDS = 5.0
"""interval of reads without a signal: reports of trials cause none"""


def _kind(name: str) -> str:
    return _LIST if name == _LIST else "status"


@router.get("/{ref}", response_model=documents.Status)
async def status(
    context: RequestContext,
    request: Request,
    ref: str,
    after: str = "",
    logs: bool = False,
    trial: MaybeNumber = None,
    log_after: MaybeCursor = None,
    tail: Tail = None,
) -> Response:
    """Return the status of an experiment.

    With `Accept: text/event-stream` it is a stream that sends the status whenever it changes, and with `logs` also the
    output of all trials, or of `trial`: after the cursor `log_after`, or from `tail` lines before the end.
    """
    if not streams.wants_stream(request):
        return answer(await context.cold(read_experiments.status, context.core, ref))
    experiment = await context.streaming(read_experiments.resolve, context.core, ref)
    view = LiveView(
        experiment,
        f"events:{experiment}",
        lambda: {experiment: read_experiments.status(context.core, experiment)},
        _READ_SECONDS,
        log=log_of(context, experiment, trial, log_after, tail) if logs else None,
    )
    return await live_stream.stream(context, request, view, after)


@router.get("/{ref}/specification", response_model=documents.Specification)
def specification(context: RequestContext, caller: RequestCaller, ref: str, revision: MaybeNumber = None) -> Response:
    """Return the specification: the current one, or the one at the revision of a trial.

    For guests it omits everything that may contain secrets: the environment, the user's configuration file, lines of
    the script, standard input, the pod, Slurm's options, the names of secrets, notifications and MLflow.
    """
    document = read_experiments.specification(context.core, ref, revision, caller)
    if caller.role == "guest":
        stored = document["specification"]
        config, constants, placement = stored["config"], stored.get("constants"), stored["placement"]
        hidden: dict[str, object] = {
            "env": {},
            "secrets": [],
            "stdin": "",
            "notify": [],
            "mlflow": None,
            "placement": {**placement, "pod": {}, "slurm": {}},
        }
        hidden |= {"config": config and {**config, "parts": []}, "constants": constants and {**constants, "lines": []}}
        document |= {"launch": {}, "specification": stored | hidden}
    return answer(document)


@router.put("/{ref}/code", response_model=documents.Status)
def change_code(context: RequestContext, actor: Actor, ref: str, body: requests.ChangeCode) -> Response:
    """Change the code of trials that have not started; running trials keep the old code."""
    launch = body.launch.model_dump(exclude_unset=True)
    return answer(code_change.change_code(context.core, ref, body.bundle, launch, actor))


@router.patch("/{ref}", response_model=documents.Status)
def change(context: RequestContext, actor: Actor, ref: str, body: requests.ChangeExperiment) -> Response:
    """Change budget, parallelism, priority or labels. A larger budget resumes a finished experiment."""
    changes = Changes(
        budget=body.budget,
        parallelism=body.parallelism,
        priority=body.priority,
        labels=body.labels,
        environment=body.environment,
    )
    return answer(change_experiment.change_experiment(context.core, ref, changes, actor))


@router.post("/{ref}/pause", response_model=documents.Status)
def pause(context: RequestContext, actor: Actor, ref: str, body: requests.Pause | None = None) -> Response:
    """Pause an experiment: start no more trials."""
    now = body is not None and body.now
    return answer(change_experiment.pause(context.core, ref, now, actor))


@router.post("/{ref}/resume", response_model=documents.Status)
def resume(context: RequestContext, actor: Actor, ref: str, body: requests.Resume | None = None) -> Response:
    """Resume a paused experiment."""
    return answer(change_experiment.resume(context.core, ref, actor, body.environment if body else {}))


@router.post("/{ref}/stop", response_model=documents.Status)
def stop(context: RequestContext, actor: Actor, ref: str, body: requests.Nothing | None = None) -> Response:
    """Stop an experiment; its results are kept."""
    return answer(change_experiment.stop(context.core, ref, actor))


@router.delete("/{ref}", status_code=204, response_class=Response)
def delete(context: RequestContext, actor: Actor, audit: Audit, ref: str, purge: bool = False) -> Response:
    """Stop and hide an experiment; `purge` deletes its record and files."""
    row = change_experiment.delete(context.core, ref, purge, actor)
    if row is not None:  # `ref` may be a prefix of the name, which may be ambiguous later
        is_purge = "true" if purge else "false"
        audit.add(AuditKind.EXPERIMENT_DELETED, row.handle, experiment=row.id, purge=is_purge)
    return Response(status_code=204)


@router.get("/{ref}/best", response_model=list[documents.Best])
def best(context: RequestContext, ref: str) -> Response:
    """Return the best trial, or the Pareto front."""
    return answer(read_experiments.best(context.core, ref))


@router.get("/{ref}/importance", response_model=documents.Importance)
async def importance(context: RequestContext, ref: str, metric: str | None = None) -> Response:
    """Return the importance of each parameter for a metric, by default the first."""
    return answer(await context.analysing(read_findings.importance, context.core, ref, metric))


@router.get("/{ref}/explain", response_model=documents.Explanation)
async def explain(context: RequestContext, ref: str, metric: str | None = None) -> Response:
    """Return parameter importance and other findings about the search as text."""
    return answer(await context.analysing(read_findings.explain, context.core, ref, metric))
