"""An embedded server imports most routes after it has begun to serve; no request notices that."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from orchestune.server.deferred_routes import DeferredRoutes


def route(path: str, *methods: str) -> Route:
    async def answer(request: Request) -> Response:
        return PlainTextResponse(f"{request.method} {path}")

    return Route(path, answer, methods=methods or ("GET",))


async def request(app: Starlette, method: str, path: str) -> tuple[int, str]:
    """Return the status and the body of the answer."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b"", "root_path": ""}
    await app(scope, receive, send)
    return sent[0]["status"], sent[1]["body"].decode()


def test_a_request_for_a_deferred_route_loads_all_of_them_once() -> None:
    app, loads = Starlette(routes=[route("/first")]), list[str]()

    def load() -> Sequence[BaseRoute]:
        loads.append(threading.current_thread().name)
        return [route("/second"), route("/first", "DELETE")]

    async def requests() -> None:
        assert await request(app, "GET", "/first") == (200, "GET /first") and not loads
        assert await request(app, "GET", "/second") == (200, "GET /second") and len(loads) == 1
        assert await request(app, "DELETE", "/first") == (200, "DELETE /first")
        assert (await request(app, "GET", "/third"))[0] == 404
        assert (await request(app, "PUT", "/second"))[0] == 405

    app.router.routes.append(DeferredRoutes(app.router, load))
    asyncio.run(requests())
    assert len(loads) == 1 and loads[0] != "MainThread"


def test_requests_that_arrive_during_the_import_wait_for_it() -> None:
    app, loads = Starlette(), list[int]()

    def load() -> Sequence[BaseRoute]:
        loads.append(1)
        return [route("/second")]

    deferred = DeferredRoutes(app.router, load)
    app.router.routes.append(deferred)

    async def load_many_times() -> None:
        await asyncio.gather(*(deferred.load() for _ in range(5)))

    asyncio.run(load_many_times())
    assert loads == [1] and deferred not in app.router.routes


def test_starting_an_experiment_needs_neither_numpy_nor_the_pages() -> None:
    program = """
import sys
import orchestune.server.main
names = ("numpy", "jinja2", "alembic", "orchestune.server.routes.plots", "orchestune.server.pages.routes")
print([name for name in names if name in sys.modules])
"""
    output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert output == "[]\n"
