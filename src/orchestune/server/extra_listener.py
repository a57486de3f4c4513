"""An additional listener of a running server, opened on demand: other machines cannot reach a loopback address."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from orchestune.errors import TemporaryError, UsageError
from orchestune.server.addresses import Addresses

OPEN_TIMEOUT_SECONDS = 30.0
Opener = Callable[[str, int], Coroutine[Any, Any, int]]


class ExtraListener:
    """Opens additional listeners. Passed to the parts behind the server before the server exists."""

    def __init__(self, addresses: Addresses | None = None) -> None:
        """Each opened address is added to `addresses`."""
        self._addresses = addresses or Addresses()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opener: Opener | None = None

    def attach(self, opener: Opener) -> None:
        """Connect to the server, whose event loop must be the running one. `open` works from now on."""
        self._loop, self._opener = asyncio.get_running_loop(), opener

    def open(self, host: str, port: int) -> int:
        """Listen at another address, with any port if `port` is taken or 0, and return the port.

        Blocks; do not call on the server's event loop. Raises UsageError if the server cannot listen there,
        TemporaryError if it has not started yet.
        """
        if self._loop is None or self._opener is None:
            raise TemporaryError("the server has not started yet")
        for candidate in dict.fromkeys((port, 0)):
            try:
                number = asyncio.run_coroutine_threadsafe(self._opener(host, candidate), self._loop).result(
                    OPEN_TIMEOUT_SECONDS
                )
            except OSError as exc:
                error = exc
                continue
            self._addresses.add(host, number)
            return number
        raise UsageError(
            f"the server cannot listen on {host}: {error.strerror or error}",
            "set ORCHESTUNE_SLURM_ADDRESS to the address at which the nodes reach this machine",
        )
