"""FastAPI parameters shared by several routes: from the path, the query, the headers or the application state."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request

from orchestune.server.auditing import RequestNotes, notes_of
from orchestune.server.context import Context
from orchestune.services.core import Caller
from orchestune.services.idempotency import IdempotentRequest


async def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


async def _actor(request: Request) -> str:
    caller: Caller = request.state.caller
    return caller.name


async def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


async def _notes(request: Request) -> RequestNotes:
    return notes_of(request.scope)


async def _idempotent_request(request: Request) -> IdempotentRequest | None:
    return getattr(request.state, "asked", None)


async def _experiment(request: Request) -> str | None:
    caller: Caller = request.state.caller
    return caller.experiment if caller.role == "worker" else None


RequestContext = Annotated[Context, Depends(_context)]
Actor = Annotated[str, Depends(_actor)]
"""the actor: the caller's name, which events and reasons show"""
RequestCaller = Annotated[Caller, Depends(_caller)]
Audit = Annotated[RequestNotes, Depends(_notes)]
"""Collector of audit events."""
IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", max_length=200, include_in_schema=False)]
"""Key that makes retries of a request idempotent."""
Repeatable = Annotated[IdempotentRequest | None, Depends(_idempotent_request)]
"""The idempotency key and digest of the request; None if it has no key."""
Tail = Annotated[int | None, Query(ge=0, le=1_000_000)]
"""Number of lines from the end of a log."""
AllowedExperiment = Annotated[str | None, Depends(_experiment)]
"""The only experiment that the caller may access; None for callers other than workers."""
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
"""Number of a trial."""
MaybeNumber = Annotated[int | None, Query(ge=1, le=2**31 - 1)]
"""Number of a trial or revision."""
Digest = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]
Cursor = Annotated[int, Query(ge=0, lt=2**53)]
"""Position in a log, a list of events or a file to resume from."""
MaybeCursor = Annotated[int | None, Query(ge=0, lt=2**53)]
Where = Annotated[str | None, Query(description="JSON: column → [low, high] or a list of words")]
Range = Annotated[str | None, Header(alias="Range")]
