"""The middleware that sends HSTS headers: browsers then use HTTPS only for this host."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestune.server.context import Context

_YEAR = 365 * 24 * 3600
_HSTS = (b"strict-transport-security", f"max-age={_YEAR}".encode())
"""without `includeSubDomains`: subdomains may belong to other services"""


class StrictTransport:
    """The outermost layer, so that error responses have the header too. Plain HTTP without a TLS proxy is unchanged."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self.app = app
        self._public = context.core.url.startswith("https:")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not (self._public or scope["scheme"] == "https"):
            await self.app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), _HSTS]
            await send(message)

        await self.app(scope, receive, sending)
