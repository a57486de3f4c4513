"""A further address at which a running server listens, once one is needed: others reach no loopback address."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from orchestune.errors import TemporaryError, UsageError
from orchestune.server.addresses import Addresses

SECONDS = 30.0
Opening = Callable[[str, int], Coroutine[Any, Any, int]]


class Door:
    """Handed to the parts behind the server before there is one."""

    def __init__(self, addresses: Addresses | None = None) -> None:
        """`addresses` gets those at which it is opened."""
        self._addresses = addresses or Addresses()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening: Opening | None = None

    def attach(self, opening: Opening) -> None:
        """From now on it can be opened, by the server whose loop this is called on."""
        self._loop, self._opening = asyncio.get_running_loop(), opening

    def open(self, host: str, port: int) -> int:
        """Listen there too, at another port where that one is taken (0: any); the port. Not on the server's own loop.

        UsageError where the address is none of this machine's, TemporaryError where the server is not up yet.
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
