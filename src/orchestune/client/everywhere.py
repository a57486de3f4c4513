"""Asks several servers the same thing at the same time, and waits for none of them that says nothing for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Generic, TypeVar

from orchestune.client.address import Place
from orchestune.client.api import Client
from orchestune.errors import OrchestuneError, Unreachable

PATIENCE = 8.0
"""seconds without an answer to any request after which a server counts as one that does not answer"""

T = TypeVar("T")


@dataclass
class Answer(Generic[T]):
    """What one server said: `value`, or `error`."""

    place: Place
    value: T | None = None
    error: OrchestuneError | None = None


def ask(places: Sequence[Place], question: Callable[[Client], T], patience: float = PATIENCE) -> list[Answer[T]]:
    """The answers in the order of `places`. A server that falls silent has its thread left behind."""
    asked = [_Asked(place, question) for place in places]
    for each in asked:
        each.start()
    for each in asked:
        while each.is_alive() and (left := each.heard + patience - time.monotonic()) > 0:
            each.join(left)
    late = Unreachable(f"it did not answer within {patience:g} s")
    return [Answer(each.answer.place, error=late) if each.is_alive() else each.answer for each in asked]


class _Asked(threading.Thread, Generic[T]):
    """One server, which may have many pages to give."""

    def __init__(self, place: Place, question: Callable[[Client], T]) -> None:
        super().__init__(daemon=True)
        self.answer = Answer[T](place)
        self._question = question
        self._client = Client.connect(place.resolve, patience=2.0)
        self._began = time.monotonic()

    @property
    def heard(self) -> float:
        """When it answered last, on the monotonic clock; where it has not, when it was asked."""
        return max(self._began, self._client.transport.heard)

    def run(self) -> None:
        try:
            with closing(self._client):
                self.answer.value = self._question(self._client)
        except OrchestuneError as exc:
            self.answer.error = exc
