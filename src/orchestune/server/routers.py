"""Routers with complete routes, which the application uses as they are.

FastAPI's `include_router` builds each route a second time on the first request, which then waits for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from inspect import iscoroutinefunction
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.convertors import PathConvertor, register_url_convertor

from orchestune import documents
from orchestune.server.context import Context
from orchestune.server.decoding import LARGE_DOCUMENT_BYTES, decoded

V1 = "/api/v1"
_TOKEN = HTTPBearer(auto_error=False, description="an owner's token")  # for the OpenAPI document: `access` checks it


class _Decoding(Request):
    """A request whose JSON is parsed in a thread if it is large."""

    async def json(self) -> object:
        return await decoded(await self.body())


class _Route(APIRoute):
    """A route that parses JSON by `_Decoding`.

    If its function is not a coroutine, it runs in a thread, and first waits until its caller may use another one.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        in_thread = not iscoroutinefunction(self.endpoint)
        has_document = self.body_field is not None

        async def handle(request: Request) -> Response:
            decoding = _Decoding(request.scope, request.receive)
            if not in_thread and not has_document:  # it may stream its body
                return await handler(decoding)
            size = len(await decoding.body())  # read it before any turn, which a slow client would hold
            context: Context = request.app.state.context
            async with AsyncExitStack() as turns:
                if size >= LARGE_DOCUMENT_BYTES:
                    await turns.enter_async_context(context.large_documents.turn())
                    await turns.enter_async_context(context.large_document_places)
                if in_thread:
                    await turns.enter_async_context(context.cold_turn())
                if check := request.scope["state"].get("check_again"):
                    await check()  # the token may have been revoked while the request waited for its turn
                return await handler(decoding)

        return handle


class _File(PathConvertor):
    """The path of a file, whose name may contain line breaks."""

    regex = "(?s:.*)"


register_url_convertor("file", _File())


def of_clients(tag: str, prefix: str = "") -> APIRouter:
    """Build a router of the documented client API, below `/api/v1`."""
    return APIRouter(
        prefix=V1 + prefix,
        tags=[tag],
        dependencies=[Depends(_TOKEN)],
        responses={"default": {"model": documents.Error}},
        route_class=_Route,
        strict_content_type=False,  # it guards against CSRF, but a browser never sends our token header by itself
    )


def of_trials(prefix: str, tag: str = "") -> APIRouter:
    """Build a router for workers and trials, below `/api/v1`. With a `tag` its routes are in the OpenAPI document."""
    return APIRouter(
        prefix=V1 + prefix,
        tags=[tag],
        include_in_schema=bool(tag),
        responses={"default": {"model": documents.Error}},
        route_class=_Route,
        strict_content_type=False,
    )


def of_pages() -> APIRouter:
    """Build a router for browsers and probes."""
    return APIRouter(include_in_schema=False, strict_content_type=False)
