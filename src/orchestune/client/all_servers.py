"""Concurrent requests to several servers, with a timeout for each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Generic, TypeVar

from orchestune.client.address import ServerPlace
from orchestune.client.api import Client
from orchestune.errors import OrchestuneError, Unreachable

TIMEOUT_SECONDS = 8.0
"""timeout in seconds, counted from a server's last response to any request"""

T = TypeVar("T")


@dataclass
class ServerResult(Generic[T]):
    """Result of one server: `value`, or `error`."""

    place: ServerPlace
    value: T | None = None
    error: OrchestuneError | None = None


def ask(
    places: Sequence[ServerPlace], question: Callable[[Client], T], timeout: float = TIMEOUT_SECONDS
) -> list[ServerResult[T]]:
    """Query all servers concurrently, and return the answers in the order of `places`.

    The thread of a server that times out is abandoned.
    """
    queries = [_Query(place, question) for place in places]
    for query in queries:
        query.start()
    for query in queries:
        while query.is_alive() and (remaining := query.heard + timeout - time.monotonic()) > 0:
            query.join(remaining)
    timeout_error = Unreachable(f"no answer within {timeout:g} s")
    return [
        ServerResult(query.answer.place, error=timeout_error) if query.is_alive() else query.answer for query in queries
    ]


class _Query(threading.Thread, Generic[T]):
    """Thread that queries one server, possibly over many pages."""

    def __init__(self, place: ServerPlace, question: Callable[[Client], T]) -> None:
        super().__init__(daemon=True)
        self.answer = ServerResult[T](place)
        self._question = question
        self._client = Client.connect(place.resolve, retry_seconds=2.0)
        self._began = time.monotonic()

    @property
    def heard(self) -> float:
        """Monotonic time of its last response; of the start before the first response."""
        return max(self._began, self._client.transport.heard)

    def run(self) -> None:
        try:
            with closing(self._client):
                self.answer.value = self._question(self._client)
        except OrchestuneError as exc:
            self.answer.error = exc
