"""The HTTP application: routes, middleware and error handlers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from anyio import to_thread
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from orchestune import __version__
from orchestune.errors import (
    PROBLEMS_SHOWN,
    BadInput,
    NotFound,
    OrchestuneError,
    Problem,
    UsageError,
    more_problems,
)
from orchestune.ports.clock import rfc3339
from orchestune.server import openapi
from orchestune.server.access import API, AccessMiddleware
from orchestune.server.addresses import Addresses
from orchestune.server.auditing import Auditing
from orchestune.server.boundary import Boundary
from orchestune.server.caller_address import Network
from orchestune.server.context import Context, ServerTimeouts
from orchestune.server.deferred_routes import DeferredRoutes
from orchestune.server.draining import DrainSignal
from orchestune.server.idempotency import IdempotentResponses
from orchestune.server.pages.origin import Origin
from orchestune.server.pages.render import refused
from orchestune.server.peers import PeerCheck
from orchestune.server.readiness import Readiness
from orchestune.server.routes import bundles, experiments, following, proof, report, server, trials, work, workers
from orchestune.server.strict_transport import StrictTransport
from orchestune.server.thread_pools import COLD_THREADS
from orchestune.server.token_file import REREAD_SECONDS, TokenFile, note_owners
from orchestune.services.core import Core
from orchestune.services.memory.loop_clock import TICK_SECONDS

_TIMEOUTS = ServerTimeouts()
_DEFERRED_SECONDS = 3.0
"""seconds after the start at which an embedded server imports the routes that starting an experiment does not need"""


class NotAllowed(UsageError):
    """The path does not support the method."""

    code = "method_not_allowed"
    status = 405


def create_app(
    core: Core,
    *,
    on_shutdown: Callable[[], None],
    started_at: float | None = None,
    home: str = "hosted",
    draining: DrainSignal | None = None,
    pace: ServerTimeouts = _TIMEOUTS,
    addresses: Addresses | None = None,
    proxies: Sequence[Network] = (),
    folders: Sequence[Path] = (),
    deferred: bool = False,
) -> FastAPI:
    """Build the application.

    `on_shutdown`: called if an owner requests the shutdown. `draining`: ends long polls and streams. `started_at`: Unix
    time in seconds, by default now. `addresses`: listening addresses other than `core.url` that workers use. `proxies`:
    trusted sources of `X-Forwarded-For`. `folders`: folders that the server writes to, for `/readyz`.
    `deferred`: import the routes that an experiment does not need to start after the server has begun to serve.
    """
    context = Context(
        core=core,
        draining=draining or DrainSignal(),
        on_shutdown=on_shutdown,
        started_at=rfc3339(time.time() if started_at is None else started_at),
        home=home,
        readiness=Readiness(core, folders),
        pace=pace,
        addresses=addresses or Addresses(),
        proxies=proxies,
    )
    layers = [
        Middleware(layer, context=context)
        for layer in (
            StrictTransport,
            Boundary,
            Auditing,
            PeerCheck,
            Origin,
            AccessMiddleware,
            work.Shortcut,
            IdempotentResponses,
        )
    ]
    app = FastAPI(
        title="Orchestune",
        version=__version__,
        openapi_url=f"{API}openapi.json",
        docs_url=None,  # the page would load scripts from a CDN
        redoc_url=None,
        redirect_slashes=False,
        routes=_routes_of_experiments(),
        middleware=layers,
        lifespan=_lifespan,
        exception_handlers={HTTPException: _routing_error, RequestValidationError: _validation_error},
    )
    app.state.context = context
    if deferred:
        app.state.deferred = DeferredRoutes(app.router, other_routes)
        app.router.routes.append(app.state.deferred)
    else:
        app.router.routes += other_routes()
    openapi.describe(app)
    return app


def _routes_of_experiments() -> list[BaseRoute]:
    """Return the routes by which experiments start, their workers work and a command follows them."""
    clients = (bundles.router, experiments.router, trials.router, following.router, server.router)
    workers_and_trials = (workers.router, report.router, proof.router, server.probes)
    return [work.route, *(route for router in (*clients, *workers_and_trials) for route in router.routes)]


def other_routes() -> list[BaseRoute]:
    """Import and return the other routes, which takes 0.5 s."""
    from orchestune.server.pages import routes as pages
    from orchestune.server.routes import archive, audit, code, grants, login, plots, sign_in, terminal

    routers = (sign_in, login, grants, audit, archive, code, plots, terminal)
    all_routers = (*(module.router for module in routers), terminal.of_workers, pages.router)
    return [route for router in all_routers for route in router.routes]


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    to_thread.current_default_thread_limiter().total_tokens = COLD_THREADS
    core: Core = app.state.context.core
    core.listening.tick(core.clock.monotonic())  # before the controllers start
    tasks = [asyncio.create_task(_tick(core))]
    if isinstance(core.owners, TokenFile):
        tasks.append(asyncio.create_task(_reread(core.owners, app.state.context)))
    if deferred := getattr(app.state, "deferred", None):
        tasks.append(asyncio.create_task(_load_later(deferred)))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


async def _load_later(deferred: DeferredRoutes) -> None:
    await asyncio.sleep(_DEFERRED_SECONDS)
    await deferred.load()


async def _reread(tokens: TokenFile, context: Context) -> None:
    """Apply changes of the token file: requests of removed tokens and their sessions are refused from then on."""
    while True:
        await asyncio.sleep(REREAD_SECONDS)
        if await to_thread.run_sync(tokens.reread):
            context.callers.clear()
            await to_thread.run_sync(note_owners, context.core)


async def _tick(core: Core) -> None:
    """Record that this event loop is responsive: `LeaseExpiry` expires leases only if heartbeats could arrive."""
    while True:
        await asyncio.sleep(TICK_SECONDS)
        core.listening.tick(core.clock.monotonic())


async def _routing_error(request: Request, exc: Exception) -> Response:
    """Convert an HTTP error of the framework."""
    assert isinstance(exc, HTTPException)
    if isinstance(exc.__cause__, OrchestuneError):  # raised while the framework read the body
        return refused(request.scope, exc.__cause__)
    if exc.status_code == 404:
        return refused(request.scope, _unknown_path(request))
    if exc.status_code == 405:
        response = refused(request.scope, NotAllowed(f"{request.url.path} does not support {request.method}"))
        response.headers.update(exc.headers or {})
        return response
    response = refused(request.scope, UsageError(str(exc.detail)))
    response.status_code = exc.status_code
    return response


def _unknown_path(request: Request) -> NotFound:
    return NotFound(f"no page or route at {request.scope['path']}")


async def _validation_error(request: Request, exc: Exception) -> Response:
    """Report the first invalid values, and the number of the others."""
    assert isinstance(exc, RequestValidationError)
    errors: Sequence[ErrorDetails] = exc.errors()
    if not request.scope["path"].startswith(API) and any(error["loc"][0] == "path" for error in errors):
        return refused(request.scope, _unknown_path(request))
    problems = []
    for error in errors[:PROBLEMS_SHOWN]:
        location, *path = error["loc"]
        if error["type"] == "json_invalid":
            problems.append(Problem(f"the body is not valid JSON: {error['ctx']['error']}"))
            continue
        key = ".".join(map(str, path)) or str(location)
        problems.append(Problem(_bounds(error) or error["msg"], key=key))
    if len(errors) > PROBLEMS_SHOWN:
        problems.append(more_problems(len(errors) - PROBLEMS_SHOWN))
    content_type = request.headers.get("content-type", "")
    is_json = not content_type or "json" in content_type
    hint = "" if is_json else f"send it with Content-Type: application/json, not {content_type}"
    return refused(request.scope, BadInput(problems, hint))


def _bounds(error: ErrorDetails) -> str:
    """Describe a number out of range like errors of experiment files; empty for any other validation error."""
    for kind, limit, words in (("less_than_equal", "le", "at most"), ("greater_than_equal", "ge", "at least")):
        if error["type"] == kind:
            return f"found {error['input']}, expected {words} {error['ctx'][limit]:,}"
    return ""
