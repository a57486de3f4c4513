"""Documents that many pages request whenever an experiment has changed: plots, and parts of long tables."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from anyio import to_thread
from fastapi import Response

from orchestune.server.answers import encoded
from orchestune.server.context import Context
from orchestune.services.memory.signals import EXPERIMENTS


async def shared_document(context: Context, key: str | None, read: Callable[[], object]) -> Response:
    """Respond with the document that `read` returns, read and encoded once per change for all callers with this key.

    If `key` is None, the document is read for this request only.
    """

    def encode() -> bytes:
        return encoded(read())

    if key is None:
        return Response(await context.cold(encode), media_type="application/json")
    # other servers on the same database change it without a signal to this process: do not reuse earlier reads then
    version = partial(context.core.signals.version, EXPERIMENTS) if context.core.store.in_process else time.monotonic
    in_thread = partial(to_thread.run_sync, encode)
    body = await context.plots.fresh(key, version, context.pace.shared, context.cold_turn, in_thread)
    return Response(body, media_type="application/json")
