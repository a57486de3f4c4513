"""Trials, and the files they left."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import Query, Request, Response

from orchestune import documents
from orchestune.domain.lifecycle.states import TrialState
from orchestune.server import live_stream, requests, routers, streams
from orchestune.server.answers import answer, file_answer
from orchestune.server.context import Context
from orchestune.server.drawing import drawn
from orchestune.server.live_stream import LiveView, log_of
from orchestune.server.parameters import (
    Actor,
    Here,
    Known,
    MaybeCursor,
    Number,
    Range,
    Repeatable,
    RequestKey,
    Tail,
    Where,
)
from orchestune.services.commands import queue_trial, rerun_trial, stop_trial
from orchestune.services.commands.rerun_trial import Rerun
from orchestune.services.execution import usage as read_usage
from orchestune.services.ownership import principal_of_new
from orchestune.services.queries import read_columns, read_experiments, read_trials

router = routers.of_clients("trials", "/experiments/{ref}/trials")

_SHARED = 200
"""trials that are kept for the next page that asks for them; who asks for more exports them"""
_EVERY = 10.0
"""seconds after which a trial is looked at again though nothing was said: what it uses grows without a word"""


@router.get("", response_model=documents.TrialPage)
async def trials(
    context: Here,
    ref: str,
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    state: TrialState | None = None,
    sort: Annotated[str | None, Query(description="a column, such as number or -metrics.loss: downwards")] = None,
    where: Where = None,
    offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    tails: Annotated[bool, Query(description="with the last lines of each attempt, in lists by number")] = False,
) -> Response:
    """Trials by number, page by page; with `sort`, in that order, from `offset` on, with how many there are."""
    wanted = None if state is None else state.value
    if sort is None and where is None:
        read = read_trials.trials
        return answer(await context.cold(read, context.core, ref, after, limit, wanted, tails))
    part = (sort or "number", where, wanted, offset, limit)
    ordered = partial(read_columns.ordered, context.core, ref, *part)
    return await drawn(context, f"trials {ref} {part}" if limit <= _SHARED else None, ordered)


@router.post("", status_code=201, response_model=documents.Trial)
def queue(context: Here, actor: Actor, asked: Repeatable, ref: str, body: requests.QueueTrial) -> Response:
    """Queue a configuration."""
    return answer(queue_trial.queue_trial(context.core, ref, body.parameters, actor, asked), 201)


@router.get("/{number}", response_model=documents.Trial)
async def trial(
    context: Here,
    request: Request,
    ref: str,
    number: Number,
    after: str = "",
    logs: bool = False,
    tail: Tail = None,
    log_after: MaybeCursor = None,
) -> Response:
    """One trial, with the last lines of each attempt and its artifacts.

    With `Accept: text/event-stream` the status of its experiment, the trial, its points and what it used, each again
    whenever it changes, with what it prints if `logs`.
    """
    if not streams.wants_stream(request):
        return answer(await context.printed(read_trials.trial, context.core, ref, number))
    experiment = await context.streaming(read_experiments.resolve, context.core, ref)
    read = partial(_everything, context, experiment, number)
    log = log_of(context, experiment, number, log_after, tail) if logs else None
    view = LiveView(f"{experiment}/{number}", f"events:{experiment}", read, _EVERY, kind=str, log=log, printed=True)
    return await live_stream.stream(context, request, view, after)


def _everything(context: Context, ref: str, number: int) -> dict[str, object]:
    core = context.core
    return {
        "status": read_experiments.status(core, ref),
        "trial": read_trials.trial(core, ref, number),
        "points": read_columns.points(core, ref, number),
        "usage": read_usage.usage(core, ref, number),
    }


@router.get("/{number}/points", response_model=documents.Points)
def points(context: Here, ref: str, number: Number) -> Response:
    """Return the values that a trial reported while it ran."""
    return answer(read_columns.points(context.core, ref, number))


@router.get("/{number}/usage", response_model=documents.Usage)
def usage(context: Here, ref: str, number: Number) -> Response:
    """Return the resource usage of its attempts over time: CPUs, memory, GPUs."""
    return answer(read_usage.usage(context.core, ref, number))


@router.post("/{number}/stop", response_model=documents.Trial)
def stop(context: Here, actor: Actor, ref: str, number: Number, body: requests.Nothing | None = None) -> Response:
    """Cancel it; another one takes its place in the budget."""
    return answer(stop_trial.stop_trial(context.core, ref, number, actor))


@router.post("/{number}/rerun", status_code=201, response_model=documents.Status)
def rerun(
    context: Here,
    caller: Known,
    ref: str,
    number: Number,
    body: requests.RerunTrial | None = None,
    key: RequestKey = None,
) -> Response:
    """Repeat it exactly, as a new experiment of budget 1."""
    body = body or requests.RerunTrial()
    again = Rerun(
        from_checkpoint=body.continue_,
        run=body.run,
        cluster=body.cluster,
        launch=body.launch.document() if body.launch else None,
        secrets=body.secrets,
        folder=body.folder,
        owner=body.owner,
        request_key=key or None,
    )
    principal = principal_of_new(context.core, caller, body.owner)
    return answer(rerun_trial.rerun_trial(context.core, ref, number, again, caller.name, principal=principal), 201)


@router.get("/{number}/artifacts", response_model=list[documents.Artifact])
def artifacts(context: Here, ref: str, number: Number) -> Response:
    """List the artifacts of a trial."""
    return answer(read_trials.artifacts(context.core, ref, number))


@router.get("/{number}/artifacts/{path:file}", response_class=Response)
async def artifact(context: Here, ref: str, number: Number, path: str, wanted: Range = None) -> Response:
    """One file; `Range: bytes=N-` goes on with an interrupted download."""
    file, size = await context.filing(read_trials.open_artifact, context.core, ref, number, path)
    return file_answer(file, size, wanted, context.file_threads)
