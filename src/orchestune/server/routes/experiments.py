"""Experiments, as their owners see and change them."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import Query, Request, Response

from orchestune import documents
from orchestune.server import live, requests, routers, streams
from orchestune.server.answers import answer
from orchestune.server.context import Actor, Here, Known, RequestKey
from orchestune.server.live import View
from orchestune.services.signals import EXPERIMENTS

router = routers.of_clients("experiments", "/experiments")


@router.post("", status_code=201, response_model=documents.Status)
def create(context: Here, actor: Actor, body: requests.CreateExperiment, key: RequestKey = None) -> Response:
    """Start an experiment."""
    document = body.model_dump(exclude_none=True) | ({"request_key": key} if key else {})
    return answer(context.services.create_experiment.create_experiment(context.core, document, actor), 201)


@router.get("", response_model=documents.StatusPage)
async def statuses(
    context: Here,
    request: Request,
    folder: str | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    before: Annotated[str | None, Query(pattern=r"^\d{1,20}(\.\d{1,20})?$")] = None,
    hidden: bool = False,
    details: bool = False,
) -> Response:
    """The newest experiments, those of `folder` alone where it is given; with `details` each with its workers.

    With `Accept: text/event-stream` each of them again whenever it changes.
    """
    service = partial(context.services.read_experiments.statuses, context.core, folder, limit)
    if not streams.wants_stream(request):
        return answer(await context.cold(service, before, hidden, details))

    def read() -> dict[str, Any]:
        return {item["id"]: item for item in service(None, hidden, details)["items"]}

    key = f"experiments {folder!r} {limit} {hidden} {details}"
    return await live.stream(context, View(key, EXPERIMENTS, read))


@router.get("/{ref}", response_model=documents.Status)
async def status(context: Here, request: Request, ref: str) -> Response:
    """One experiment. With `Accept: text/event-stream` again whenever it changes."""
    service = context.services.read_experiments
    if not streams.wants_stream(request):
        return answer(await context.cold(service.status, context.core, ref))
    experiment = await context.streaming(service.resolve, context.core, ref)
    view = View(experiment, f"events:{experiment}", lambda: {experiment: service.status(context.core, experiment)})
    return await live.stream(context, view)


@router.get("/{ref}/specification", response_model=documents.Specification)
def specification(
    context: Here, caller: Known, ref: str, revision: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None
) -> Response:
    """What it was started with, as it is now, or as it was at the revision of a trial.

    A guest does not see the environment: what stands there was not meant for others.
    """
    document = context.services.read_experiments.specification(context.core, ref, revision)
    if caller.role == "guest":
        document |= {"launch": {}, "specification": document["specification"] | {"env": {}}}
    return answer(document)


@router.put("/{ref}/code", response_model=documents.Status)
def change_code(context: Here, actor: Actor, ref: str, body: requests.ChangeCode) -> Response:
    """Go on with other code: trials that have begun end with the old one, all others take this one."""
    document = body.model_dump(exclude_unset=True)
    return answer(context.services.change_code.change_code(context.core, ref, document, actor))


@router.patch("/{ref}", response_model=documents.Status)
def change(context: Here, actor: Actor, ref: str, body: requests.ChangeExperiment) -> Response:
    """Change budget, parallelism, priority or labels; a finished one goes on where its budget grew."""
    document = body.model_dump(exclude_unset=True)
    return answer(context.services.change_experiment.change_experiment(context.core, ref, document, actor))


@router.post("/{ref}/pause", response_model=documents.Status)
def pause(context: Here, actor: Actor, ref: str, body: requests.Pause | None = None) -> Response:
    """Start no more trials."""
    now = body is not None and body.now
    return answer(context.services.change_experiment.pause(context.core, ref, now, actor))


@router.post("/{ref}/resume", response_model=documents.Status)
def resume(context: Here, actor: Actor, ref: str, body: requests.Nothing | None = None) -> Response:
    """Go on."""
    return answer(context.services.change_experiment.resume(context.core, ref, actor))


@router.post("/{ref}/stop", response_model=documents.Status)
def stop(context: Here, actor: Actor, ref: str, body: requests.Nothing | None = None) -> Response:
    """End it; results stay."""
    return answer(context.services.change_experiment.stop(context.core, ref, actor))


@router.delete("/{ref}", status_code=204, response_class=Response)
def delete(context: Here, actor: Actor, ref: str, purge: bool = False) -> Response:
    """Stop and hide it; with `purge` its records and files are removed."""
    context.services.change_experiment.delete(context.core, ref, purge, actor)
    return Response(status_code=204)


@router.get("/{ref}/best", response_model=list[documents.Best])
def best(context: Here, ref: str) -> Response:
    """The best trial, or the Pareto front."""
    return answer(context.services.read_experiments.best(context.core, ref))


@router.get("/{ref}/importance", response_model=documents.Importance)
def importance(context: Here, ref: str, metric: str | None = None) -> Response:
    """Which parameters matter for a metric, the first one where none is named."""
    return answer(context.services.explain_experiment.importance(context.core, ref, metric))


@router.get("/{ref}/explain", response_model=documents.Explanation)
def explain(context: Here, ref: str, metric: str | None = None) -> Response:
    """Which parameters matter, and measured facts about the search in plain words."""
    return answer(context.services.explain_experiment.explain(context.core, ref, metric))
