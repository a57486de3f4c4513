"""Trials, and the files they left."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Path, Query, Response

from orchestune import documents
from orchestune.domain.states import TrialState
from orchestune.server import requests, routers
from orchestune.server.answers import answer, file_answer
from orchestune.server.context import Actor, Here, RequestKey

router = routers.of_clients("trials", "/experiments/{ref}/trials")

Number = Annotated[int, Path(ge=1, le=2**31 - 1)]


@router.get("", response_model=documents.TrialPage)
def trials(
    context: Here,
    ref: str,
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    state: TrialState | None = None,
    sort: Annotated[str | None, Query(description="a column, such as number or -metrics.loss: downwards")] = None,
    where: Annotated[str | None, Query(description="JSON: column → [low, high] or a list of words")] = None,
    offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
) -> Response:
    """Trials by number, page by page; with `sort`, in that order, from `offset` on, with how many there are."""
    wanted = None if state is None else state.value
    if sort is None and where is None:
        return answer(context.services.read_trials.trials(context.core, ref, after, limit, wanted))
    service = context.services.read_columns
    return answer(service.ordered(context.core, ref, sort or "number", where, wanted, offset, limit))


@router.post("", status_code=201, response_model=documents.Trial)
def queue(context: Here, actor: Actor, ref: str, body: requests.QueueTrial) -> Response:
    """Queue a configuration."""
    return answer(context.services.queue_trial.queue_trial(context.core, ref, body.parameters, actor), 201)


@router.get("/{number}", response_model=documents.Trial)
def trial(context: Here, ref: str, number: Number) -> Response:
    """One trial, with the last lines of each attempt and its artifacts."""
    return answer(context.services.read_trials.trial(context.core, ref, number))


@router.get("/{number}/points", response_model=documents.Points)
def points(context: Here, ref: str, number: Number) -> Response:
    """What it reported while it ran."""
    return answer(context.services.read_columns.points(context.core, ref, number))


@router.get("/{number}/usage", response_model=documents.Usage)
def usage(context: Here, ref: str, number: Number) -> Response:
    """What its attempts used over time: processors, memory, GPUs."""
    return answer(context.services.read_usage.usage(context.core, ref, number))


@router.post("/{number}/stop", response_model=documents.Trial)
def stop(context: Here, actor: Actor, ref: str, number: Number, body: requests.Nothing | None = None) -> Response:
    """Cancel it; another one takes its place in the budget."""
    return answer(context.services.stop_trial.stop_trial(context.core, ref, number, actor))


@router.post("/{number}/rerun", status_code=201, response_model=documents.Status)
def rerun(
    context: Here,
    actor: Actor,
    ref: str,
    number: Number,
    body: requests.RerunTrial | None = None,
    key: RequestKey = None,
) -> Response:
    """Repeat it exactly, as a new experiment of budget 1."""
    document = body.model_dump(by_alias=True, exclude_none=True) if body else {}
    document |= {"request_key": key} if key else {}
    return answer(context.services.rerun_trial.rerun_trial(context.core, ref, number, document, actor), 201)


@router.get("/{number}/artifacts", response_model=list[documents.Artifact])
def artifacts(context: Here, ref: str, number: Number) -> Response:
    """What it left."""
    return answer(context.services.read_trials.artifacts(context.core, ref, number))


@router.get("/{number}/artifacts/{path:path}", response_class=Response)
def artifact(
    context: Here, ref: str, number: Number, path: str, wanted: Annotated[str | None, Header(alias="Range")] = None
) -> Response:
    """One file; `Range: bytes=N-` goes on with an interrupted download."""
    file, size = context.services.read_trials.open_artifact(context.core, ref, number, path)
    return file_answer(file, size, wanted, context.stream_threads)
