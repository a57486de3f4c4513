"""Trials and their artifacts."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import Query, Request, Response

from orchestune import documents
from orchestune.domain.lifecycle.states import TrialState
from orchestune.server import live_stream, requests, routers, streams
from orchestune.server.answers import answer, encoded_in_parts, file_answer
from orchestune.server.context import Context
from orchestune.server.drawing import shared_document
from orchestune.server.live_stream import LiveView, log_of
from orchestune.server.parameters import (
    Actor,
    IdempotencyKey,
    MaybeCursor,
    Number,
    Range,
    Repeatable,
    RequestCaller,
    RequestContext,
    Tail,
    Where,
)
from orchestune.services.commands import queue_trial, rerun_trial, stop_trial
from orchestune.services.commands.rerun_trial import Rerun
from orchestune.services.execution import usage as read_usage
from orchestune.services.ownership import principal_of_new
from orchestune.services.queries import read_experiments, read_trials

router = routers.of_clients("trials", "/experiments/{ref}/trials")

_MAX_SHARED_TRIALS = 200
"""larger documents, which are exports, are not cached for other pages"""
_READ_SECONDS = 10.0
"""interval of reads without a signal: usage samples cause none"""


@router.get("", response_model=documents.TrialPage)
async def trials(
    context: RequestContext,
    ref: str,
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    state: TrialState | None = None,
    sort: Annotated[
        str | None, Query(description="a column, such as number, or -metrics.loss for descending order")
    ] = None,
    where: Where = None,
    offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    tails: Annotated[bool, Query(description="add the log tail of each attempt (only without `sort`)")] = False,
) -> Response:
    """List trials by number, in pages. With `sort`: in that order, from `offset` on, with their total number."""
    state_name = None if state is None else state.value
    if sort is None and where is None:
        read = read_trials.trials
        return answer(await context.cold(read, context.core, ref, after, limit, state_name, tails))
    part = (sort or "number", where, state_name, offset, limit)
    ordered = partial(read_trials.ordered, context.core, ref, *part)
    return await shared_document(context, f"trials {ref} {part}" if limit <= _MAX_SHARED_TRIALS else None, ordered)


@router.post("", status_code=201, response_model=documents.Trial)
def queue(context: RequestContext, actor: Actor, asked: Repeatable, ref: str, body: requests.QueueTrial) -> Response:
    """Queue a trial with this configuration."""
    return answer(queue_trial.queue_trial(context.core, ref, body.parameters, actor, asked), 201)


@router.get("/{number}", response_model=documents.Trial)
async def trial(
    context: RequestContext,
    request: Request,
    ref: str,
    number: Number,
    after: str = "",
    logs: bool = False,
    tail: Tail = None,
    log_after: MaybeCursor = None,
) -> Response:
    """Return a trial with its artifacts and the log tail of each attempt.

    With `Accept: text/event-stream` it is a stream of four documents, each sent whenever it changes: the status of the
    experiment, the trial, its points and its usage; with `logs` also the trial's output.
    """
    if not streams.wants_stream(request):
        # encoded in the thread, too: it may have 16 MiB
        body = await context.reading_logs(lambda: encoded_in_parts(read_trials.trial(context.core, ref, number)))
        return Response(body, media_type="application/json")
    experiment = await context.streaming(read_experiments.resolve, context.core, ref)
    read = partial(_documents, context, experiment, number)
    log = log_of(context, experiment, number, log_after, tail) if logs else None
    view = LiveView(
        f"{experiment}/{number}", f"events:{experiment}", read, _READ_SECONDS, kind=str, log=log, has_logs=True
    )
    return await live_stream.stream(context, request, view, after)


def _documents(context: Context, ref: str, number: int) -> dict[str, object]:
    core = context.core
    return {
        "status": read_experiments.status(core, ref),
        "trial": read_trials.trial(core, ref, number),
        "points": read_trials.points(core, ref, number),
        "usage": read_usage.usage(core, ref, number),
    }


@router.get("/{number}/points", response_model=documents.Points)
def points(context: RequestContext, ref: str, number: Number) -> Response:
    """Return all values that a trial reported, with their steps."""
    return answer(read_trials.points(context.core, ref, number))


@router.get("/{number}/usage", response_model=documents.Usage)
def usage(context: RequestContext, ref: str, number: Number) -> Response:
    """Return the resource usage of a trial's attempts over time: CPUs, memory, GPUs."""
    return answer(read_usage.usage(context.core, ref, number))


@router.post("/{number}/stop", response_model=documents.Trial)
def stop(
    context: RequestContext, actor: Actor, ref: str, number: Number, body: requests.Nothing | None = None
) -> Response:
    """Cancel a trial. It does not count toward the budget."""
    return answer(stop_trial.stop_trial(context.core, ref, number, actor))


@router.post("/{number}/rerun", status_code=201, response_model=documents.Status)
def rerun(
    context: RequestContext,
    caller: RequestCaller,
    ref: str,
    number: Number,
    body: requests.RerunTrial | None = None,
    key: IdempotencyKey = None,
) -> Response:
    """Rerun a trial with the same parameters and seed, as a new experiment with budget 1."""
    body = body or requests.RerunTrial()
    rerun_options = Rerun(
        from_checkpoint=body.continue_,
        run=body.run,
        cluster=body.cluster,
        launch=body.launch.document() if body.launch else None,
        secrets=body.secrets,
        environment=body.environment,
        folder=body.folder,
        owner=body.owner,
        idempotency_key=key or None,
    )
    principal = principal_of_new(context.core, caller, body.owner)
    return answer(
        rerun_trial.rerun_trial(context.core, ref, number, rerun_options, caller.name, principal=principal), 201
    )


@router.get("/{number}/artifacts", response_model=list[documents.Artifact])
def artifacts(context: RequestContext, ref: str, number: Number) -> Response:
    """List the artifacts of a trial."""
    return answer(read_trials.artifacts(context.core, ref, number))


@router.get("/{number}/artifacts/{path:file}", response_class=Response)
async def artifact(context: RequestContext, ref: str, number: Number, path: str, byte_range: Range = None) -> Response:
    """Download an artifact; `Range: bytes=N-` resumes an interrupted download."""
    file, size = await context.filing(read_trials.open_artifact, context.core, ref, number, path)
    return file_answer(file, size, byte_range, context.file_threads)
