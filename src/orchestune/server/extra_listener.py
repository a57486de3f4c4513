"""An additional listener of a running server, opened on demand: other machines cannot reach a loopback address."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from orchestune.errors import TemporaryError, UsageError
from orchestune.server.addresses import Addresses

SECONDS = 30.0
Opening = Callable[[str, int], Coroutine[Any, Any, int]]


class ExtraListener:
    """Opens additional listeners. Passed to the parts behind the server before the server exists."""

    def __init__(self, addresses: Addresses | None = None) -> None:
        """Each opened address is added to `addresses`."""
        self._addresses = addresses or Addresses()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening: Opening | None = None

    def attach(self, opening: Opening) -> None:
        """Connect to the server, whose event loop must be the running one. `open` works from now on."""
        self._loop, self._opening = asyncio.get_running_loop(), opening

    def open(self, host: str, port: int) -> int:
        """Listen at another address, with any port if `port` is taken or 0, and return the port.

        Blocks; do not call on the server's event loop. Raises UsageError if the server cannot listen there,
        TemporaryError if it has not started yet.
        """
        if self._loop is None or self._opening is None:
            raise TemporaryError("the server is about to start")
        for wanted in dict.fromkeys((port, 0)):
            try:
                opened = asyncio.run_coroutine_threadsafe(self._opening(host, wanted), self._loop).result(SECONDS)
            except OSError as exc:
                error = exc
                continue
            self._addresses.add(host, opened)
            return opened
        raise UsageError(
            f"the server cannot listen on {host}: {error.strerror or error}",
            "say in ORCHESTUNE_SLURM_ADDRESS at which address of this machine the nodes reach it",
        )
