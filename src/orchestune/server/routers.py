"""Routers that make their routes whole at once, so that the application takes them as they are.

FastAPI's `include_router` makes each route a second time with the first request, which then waits for all of them.
"""

from __future__ import annotations

from fastapi import APIRouter, Depends
from fastapi.security import HTTPBearer
from starlette.convertors import PathConvertor, register_url_convertor

from orchestune import documents

V1 = "/api/v1"
_TOKEN = HTTPBearer(auto_error=False, description="an owner's token")  # for the document: `access` checks it


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
        strict_content_type=False,  # a browser cannot send our header with the token unasked, which this guards against
    )


def of_trials(prefix: str, tag: str = "") -> APIRouter:
    """Routes that workers and trials call, below `/api/v1`. With a `tag` FastAPI describes them in the document."""
    return APIRouter(
        prefix=V1 + prefix,
        tags=[tag],
        include_in_schema=bool(tag),
        responses={"default": {"model": documents.Error}},
        strict_content_type=False,
    )


def of_pages() -> APIRouter:
    """What browsers and probes call."""
    return APIRouter(include_in_schema=False, strict_content_type=False)
