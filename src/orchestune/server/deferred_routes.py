"""Routes that are imported after the start of a server, so that its first experiment need not wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from anyio import to_thread
from starlette.routing import BaseRoute, Match, Router
from starlette.types import Receive, Scope, Send


class DeferredRoutes(BaseRoute):
    """The last route of a router. A request that no earlier one serves waits until the deferred ones replace it."""

    def __init__(self, router: Router, load: Callable[[], Sequence[BaseRoute]]) -> None:
        """`load` imports and returns the deferred routes; it is called once, in a thread."""
        self._router, self._load = router, load
        self._loading = asyncio.Lock()

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match every request."""
        return Match.FULL, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Load the routes and dispatch the request again."""
        await self.load()
        await self._router(scope, receive, send)

    async def load(self) -> None:
        """Replace this route by the deferred ones, unless that was done. Blocks no other request."""
        async with self._loading:
            if self in self._router.routes:
                routes = await to_thread.run_sync(self._load)
                place = self._router.routes.index(self)
                self._router.routes[place : place + 1] = routes
