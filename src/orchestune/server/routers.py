"""Routers that make their routes whole at once, so that the application takes them as they are.

FastAPI's `include_router` makes each route a second time with the first request, which then waits for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from inspect import iscoroutinefunction
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.convertors import PathConvertor, register_url_convertor

from orchestune import documents
from orchestune.server.context import Context
from orchestune.server.decoding import decoded

V1 = "/api/v1"
_TOKEN = HTTPBearer(auto_error=False, description="an owner's token")  # for the document: `access` checks it


class _Decoding(Request):
    """A request whose JSON is parsed in a thread if it is large."""

    async def json(self) -> object:
        return await decoded(await self.body())


class _Route(APIRoute):
    """A route that hands a `_Decoding` to the framework, which asks it for the JSON.

    One whose function is no coroutine runs in a thread: it waits until its caller may occupy one more of them.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        in_thread = not iscoroutinefunction(self.endpoint)

        async def handle(request: Request) -> Response:
            decoding = _Decoding(request.scope, request.receive)
            if not in_thread:
                return await handler(decoding)
            await decoding.body()  # before its turn, which a slow client would hold
            context: Context = request.app.state.context
            async with context.cold_turn():
                return await handler(decoding)

        return handle


class _File(PathConvertor):
    """The path of a file: names may hold line breaks."""

    regex = "(?s:.*)"


register_url_convertor("file", _File())


def of_clients(tag: str, prefix: str = "") -> APIRouter:
    """Part of the documented API, below `/api/v1`."""
    return APIRouter(
        prefix=V1 + prefix,
        tags=[tag],
        dependencies=[Depends(_TOKEN)],
        responses={"default": {"model": documents.Error}},
        route_class=_Route,
        strict_content_type=False,  # a browser cannot send our header with the token unasked, which this guards against
    )


def of_trials(prefix: str, tag: str = "") -> APIRouter:
    """Routes that workers and trials call, below `/api/v1`. With a `tag` FastAPI describes them in the document."""
    return APIRouter(
        prefix=V1 + prefix,
        tags=[tag],
        include_in_schema=bool(tag),
        responses={"default": {"model": documents.Error}},
        route_class=_Route,
        strict_content_type=False,
    )


def of_pages() -> APIRouter:
    """What browsers and probes call."""
    return APIRouter(include_in_schema=False, strict_content_type=False)
