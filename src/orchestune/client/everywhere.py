"""Asks several servers the same thing at the same time, and waits for none of them for long."""

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
"""seconds after which a server counts as one that does not answer"""

T = TypeVar("T")


@dataclass
class Answer(Generic[T]):
    """What one server said: `value`, or `error`."""

    place: Place
    value: T | None = None
    error: OrchestuneError | None = None


def ask(places: Sequence[Place], question: Callable[[Client], T], patience: float = PATIENCE) -> list[Answer[T]]:
    """The answers in the order of `places`. A server that is late has its thread left behind."""
    answers = [Answer[T](place) for place in places]
    threads = [threading.Thread(target=_ask, args=(answer, question), daemon=True) for answer in answers]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + patience
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = Unreachable(f"it did not answer within {patience:g} s")
    return [
        Answer(answer.place, error=late) if thread.is_alive() else answer
        for answer, thread in zip(answers, threads, strict=True)
    ]


def _ask(answer: Answer[T], question: Callable[[Client], T]) -> None:
    try:
        with closing(Client.connect(answer.place.resolve, patience=2.0)) as client:
            answer.value = question(client)
    except OrchestuneError as exc:
        answer.error = exc
