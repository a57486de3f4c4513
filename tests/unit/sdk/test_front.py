"""Requests of the SDK for the best trials."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from orchestune.client.api import Client
from orchestune.sdk.experiments import Experiment


class Server:
    """Has a front of so many trials, and counts those that it is asked for."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.asked: list[int] = []

    def best(self, ref: str) -> list[dict[str, Any]]:
        return [{"trial": number} for number in range(1, self.length + 1)]

    def trials_of(self, ref: str, numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
        for number in numbers:
            self.asked.append(number)
            yield trial(number)

    def close(self) -> None:
        pass


def trial(number: int) -> dict[str, Any]:
    return {"number": number, "state": "completed", "parameters": {"x": number}, "metrics": {}, "source": "tpe",
            "attempts": [], "reason": None}  # fmt: skip


class Pages:
    """Answers requests for pages of trials like a server with so many trials."""

    def __init__(self, trials: int, most: int = 1000) -> None:
        self.trials, self.most = trials, most
        self.requests = 0

    def request(self, method: str, path: str) -> Any:
        self.requests += 1
        query = parse_qs(urlsplit(path).query)
        after, limit = int(query["after"][0]), int(query["limit"][0])
        assert limit <= 1000, "what a server allows"
        last = min(after + min(limit, self.most), self.trials)
        items = [trial(number) for number in range(after + 1, last + 1)]
        return SimpleNamespace(json=lambda: {"items": items, "next": last if last < self.trials else None})


def experiment(server: Server) -> Experiment:
    status: Any = {"id": "i", "handle": "sgd-7f3a", "name": "sgd"}
    return Experiment(cast(Client, server), status)


def test_the_best_trial_is_asked_for_without_the_rest_of_the_front() -> None:
    server = Server(500)
    best = experiment(server).best()
    assert best is not None
    assert (best.number, server.asked) == (1, [1])


def test_a_front_is_all_of_its_trials() -> None:
    server = Server(3)
    assert [trial.number for trial in experiment(server).front()] == server.asked == [1, 2, 3]
    assert experiment(Server(0)).best() is None


def test_a_long_front_takes_few_requests() -> None:
    pages = Pages(3000)
    client = Client(cast(Any, pages))
    front = [*range(1, 400), 777, *range(1200, 1300), 2999]
    assert [trial_document["number"] for trial_document in client.trials_of("i", front)] == front
    assert pages.requests == 4
    assert list(client.trials_of("i", [])) == []
    assert pages.requests == 4


def test_pages_of_large_trials_that_end_early_are_continued() -> None:
    client = Client(cast(Any, Pages(100, most=7)))
    front = [*range(1, 30), 36, 37, 99, 100]
    assert [trial_document["number"] for trial_document in client.trials_of("i", front)] == front
