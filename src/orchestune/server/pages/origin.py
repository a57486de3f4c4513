"""The origin of an embedded server's pages, `http://RANDOM.localhost:PORT`, which no later server reuses.

After a server has shut down, another user can bind its port and answer requests of pages still open in the browser.
Scripts in such a response, including service workers, stay confined to that origin, and so do cookies, which browsers
send to every port of a host. Browsers resolve all names below `localhost` to a loopback address themselves.
"""

from __future__ import annotations

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestune.errors import UsageError
from orchestune.server.access import API
from orchestune.server.context import Context
from orchestune.server.cookies import SAFE, header, host_name

_PROBES = ("/healthz", "/metrics", "/readyz")
_LOOPBACK = ("127.0.0.1", "[::1]", "localhost")


class Misdirected(UsageError):
    """The request for a page has the wrong host name."""

    code = "misdirected"
    status = 421


class Origin:
    """The middleware that serves pages under one host name, and redirects loopback names to it after `PeerCheck`."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self.app = app
        self._host = context.core.pages_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._host or _is_for_programs(scope["path"]):
            await self.app(scope, receive, send)
            return
        host = host_name(scope)
        if host == self._host:
            await self.app(scope, receive, send)
        elif host in _LOOPBACK and scope["method"] in SAFE:
            await self._redirect(scope)(scope, receive, send)
        else:
            raise Misdirected("the pages of this server have another address", "`orchestune ui` opens them")

    def _redirect(self, scope: Scope) -> RedirectResponse:
        port = header(scope, b"host").lower().removeprefix(host_name(scope))  # the browser's port, if it is forwarded
        path, query = scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")
        address = f"http://{self._host}{port}{path}" + (f"?{query}" if query else "")
        return RedirectResponse(address, 303, {"Cache-Control": "no-store"})


def _is_for_programs(path: str) -> bool:
    return path.startswith(API) or path in _PROBES
