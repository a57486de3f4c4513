"""The real application under the real uvicorn, with services that a test scripts."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from types import ModuleType, SimpleNamespace
from typing import Any, cast

from orchestune.ports.clock import SystemClock
from orchestune.server.app import create_app, other_routes
from orchestune.server.context import Context, ServerTimeouts
from orchestune.server.draining import DrainSignal
from orchestune.server.serving import UvicornServer
from orchestune.server.settings import Settings
from orchestune.services.core import Caller, Core

OWNER = "the-token-of-an-owner"
WORKER = "the-token-of-a-worker"
CALLERS = {
    OWNER: Caller("ada", "owner"),
    WORKER: Caller("worker-1", "worker", experiment="exp-1", worker="worker-1"),
}
TIMEOUT = 60.0


@dataclass(frozen=True)
class Reply:
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Script:
    """Stands for every function of services: calls are noted, answers are what the test put in."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.answers: dict[str, Any] = {
            "authenticate": lambda core, token: CALLERS.get(token),
            "take": True,
            "leave": None,
            "remembered": None,
            "remember": None,
            "health": None,
            "check": None,
            "metrics": [],
            "record": None,
            "resolve": "exp-1",
        }

    def call(self, name: str, core: Core, *args: Any) -> Any:
        """Record the call of a service and return its prepared answer."""
        if name != "record":  # of the audit log, which follows many requests
            self.calls.append((name, args))
        answer = self.answers[name]
        if isinstance(answer, Exception):
            raise answer
        return answer(core, *args) if callable(answer) else answer

    def of(self, name: str) -> list[tuple[Any, ...]]:
        """The arguments of each call of `name`."""
        return [args for called, args in self.calls if called == name]


SCRIPTS: dict[int, Script] = {}
"""of the servers that have one, by the identity of the core behind them"""


class Scripted:
    """A module of services, as the server sees it: what is called with the core of a script is the script's."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Callable[..., Any]:
        real: Callable[..., Any] = getattr(self._module, name)

        def call(core: Core, *args: Any, **more: Any) -> Any:
            script = SCRIPTS.get(id(core))
            return script.call(name, core, *args) if script else real(core, *args, **more)

        return call


other_routes()  # imports the modules that an embedded server imports later
for _module in [module for name, module in sys.modules.items() if name.startswith("orchestune.server.")]:
    for _name, _value in list(vars(_module).items()):
        if isinstance(_value, ModuleType) and _value.__name__.startswith("orchestune.services."):
            setattr(_module, _name, Scripted(_value))


@dataclass
class Live:
    """A server that answers."""

    port: int
    core: Core
    script: Script
    draining: DrainSignal
    server: UvicornServer
    context: Context
    ordered: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    connections: list[HTTPConnection] = field(default_factory=list)

    def connect(self) -> HTTPConnection:
        """A connection that is closed when the test ends."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        self.connections.append(connection)
        return connection

    def hang_up(self) -> None:
        """Close every connection."""
        while self.connections:
            self.connections.pop().close()

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = OWNER,
        headers: Mapping[str, str] | None = None,
        connection: HTTPConnection | None = None,
    ) -> HTTPResponse:
        """Ask; a body that is not bytes goes as JSON. The answer is still to be read."""
        fields = dict(headers or {})
        if token is not None:
            fields["Authorization"] = f"Bearer {token}"
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            fields.setdefault("Content-Type", "application/json")
        connection = connection or self.connect()
        connection.request(method, path, body, fields)
        return connection.getresponse()

    def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Reply:
        """`send`, and read the answer."""
        with closing(self.connect()) as connection:
            response = self.send(method, path, body, **{"connection": connection, **options})
            content = response.read()
        return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, content)

    def stream(self, path: str, headers: Mapping[str, str] | None = None) -> HTTPResponse:
        return self.send("GET", path, headers={"Accept": "text/event-stream", **(headers or {})})


def scripted_core(in_process: bool = True) -> Core:
    """A core behind which nothing is."""
    return Core(
        store=cast(Any, SimpleNamespace(in_process=in_process, impatient=lambda seconds: nullcontext())),
        files=cast(Any, None),
        secrets=cast(Any, None),
        clock=SystemClock(),
        key=b"k" * 32,
    )


@contextmanager
def live(
    core: Core | None = None,
    *,
    in_process: bool = True,
    pace: ServerTimeouts | None = None,
    scripted: bool = False,
    settings: Settings | None = None,
) -> Iterator[Live]:
    """Serve until the block ends, which has to be in good order.

    With a `core` the real services are behind it, unless `scripted`.
    """
    script, scripted = Script(), scripted or core is None
    core = core or scripted_core(in_process)
    if scripted:
        SCRIPTS[id(core)] = script
    draining = DrainSignal()
    started = threading.Event()
    app = create_app(
        core,
        on_shutdown=lambda: live_server.ordered.append("shutdown"),
        started_at=1769860800.0,
        draining=draining,
        pace=pace or ServerTimeouts(),
    )
    server = UvicornServer(settings or Settings(), app, on_started=started.set, on_draining=draining.begin)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        live_server = Live(listening.getsockname()[1], core, script, draining, server, app.state.context)

        def run() -> None:
            server.run(sockets=[listening])
            live_server.ended.set()

        thread = threading.Thread(target=run)
        thread.start()
        assert started.wait(TIMEOUT)
        try:
            yield live_server
        finally:
            live_server.hang_up()
            server.end()
            thread.join(TIMEOUT)
            SCRIPTS.pop(id(core), None)
            assert not thread.is_alive()


def until(condition: Callable[[], Any], what: str) -> None:
    """Wait for a condition; the deadline is for a machine under load."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.01)
