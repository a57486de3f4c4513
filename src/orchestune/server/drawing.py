"""What many pages ask for whenever an experiment has changed: plots, and parts of long tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fastapi import Response

from orchestune.server.answers import encoded
from orchestune.server.context import Context
from orchestune.services.signals import EXPERIMENTS


async def drawn(context: Context, key: str | None, read: Callable[[], Mapping[str, Any]]) -> Response:
    """What all pages that ask are shown, read and written once for each change; without a key for this one alone."""

    async def made() -> bytes:
        return await context.cold(lambda: encoded(read()))

    # of what others write into the same store this process hears nothing: there each asks for what is so from now on
    version = partial(context.core.signals.version, EXPERIMENTS) if context.core.store.inline else time.monotonic
    found = await context.plots.fresh(key, version, context.pace.shared, made) if key else await made()
    return Response(found, media_type="application/json")
