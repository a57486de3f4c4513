"""Metric reports by HTTP from any language: `echo "url=$ORCHESTUNE_REPORT_URL" | curl -K - -d accuracy=0.92`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl

from fastapi import Request, Response

from orchestune import documents
from orchestune.domain.clusters.builtin import LOCAL
from orchestune.errors import BadInput, Denied
from orchestune.server import routers
from orchestune.server.answers import answer
from orchestune.server.caller_limits import MAX_REQUESTS
from orchestune.server.context import Context
from orchestune.server.decoding import LARGE_BODY_BYTES
from orchestune.server.parameters import RequestContext
from orchestune.server.peers import direct_peer_of
from orchestune.services.execution import report_metrics
from orchestune.services.execution.report_metrics import MAX_VALUES

router = routers.of_trials("/report", "reports")
_VALUES = {
    "type": "object", "additionalProperties": {"anyOf": [{"type": "number"}, {"type": "string"}]}, "minProperties": 1,
}  # fmt: skip
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": _VALUES}, "application/x-www-form-urlencoded": {"schema": _VALUES}},
    }
}


@router.post("/{attempt}/{signature}", response_model=documents.ShouldStop, openapi_extra=_BODY)
async def report(context: RequestContext, request: Request, attempt: str, signature: str) -> Response:
    """Report metric values by name. The response is true if the trial should stop."""
    async with _admitted(context, request, attempt, signature):
        body = await request.body()
        values = parse(body) if len(body) < LARGE_BODY_BYTES else await context.reporting(attempt, parse, body)
        return answer(await context.reporting(attempt, report_metrics.report, context.core, attempt, signature, values))


@router.get("/{attempt}/{signature}", response_model=documents.ShouldStop)
async def should_stop(context: RequestContext, request: Request, attempt: str, signature: str) -> Response:
    """Return true if the trial should stop."""
    async with _admitted(context, request, attempt, signature):
        return answer(await context.reporting(attempt, report_metrics.should_stop, context.core, attempt, signature))


@asynccontextmanager
async def _admitted(context: Context, request: Request, attempt: str, signature: str) -> AsyncIterator[None]:
    """Wait until few enough requests of the attempt are in progress.

    Raises Denied for a wrong signature or another user's request, Throttled if too many requests wait. The body is not
    read before, since any program can call these routes.
    """
    report_metrics.check(context.core, attempt, signature)
    with context.reports.one_of(attempt, MAX_REQUESTS):
        await _refuse_other_users(context, request, attempt, signature)
        async with context.report_body_turns.of(attempt):
            yield


async def _refuse_other_users(context: Context, request: Request, attempt: str, signature: str) -> None:
    """Raise Denied for reports by another user of the machine, who may have learned the URL on a crashed server's port.

    Only trials in containers and on other machines may connect as another user.
    """
    peer = direct_peer_of(request.scope, context) if LOCAL in context.core.backends else None
    if peer is None or await peer.is_owner():
        return
    if await context.reporting(attempt, report_metrics.runs_as_server, context.core, attempt, signature):
        raise Denied("only the user who started the server can report for this trial")


def _form(text: str) -> dict[str, str]:
    return dict(parse_qsl(text, strict_parsing=True, max_num_fields=MAX_VALUES))


def parse(body: bytes) -> dict[str, object]:
    """Parse a JSON object or a form. The body itself shows which it is, since `curl -d` calls everything a form."""
    try:
        text = body.decode()
        values = json.loads(text) if text.lstrip().startswith("{") else _form(text)
    except (ValueError, RecursionError) as exc:
        raise BadInput.one(f"neither a JSON object nor a form: {exc}", hint="write -d accuracy=0.92") from exc
    if not values:
        raise BadInput.one("the report contains no value", hint="write -d accuracy=0.92")
    return {name.encode("utf-8", "replace").decode(): value for name, value in values.items()}
