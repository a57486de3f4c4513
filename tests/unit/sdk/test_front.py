"""What Python asks the server for to know the best trials."""

from __future__ import annotations

from typing import Any, cast

from orchestune.client.api import Client
from orchestune.sdk.experiments import Experiment


class Server:
    """Has a front of so many trials, and counts those that it is asked for."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.asked: list[int] = []

    def best(self, ref: str) -> list[dict[str, Any]]:
        return [{"trial": number} for number in range(1, self.length + 1)]

    def trial(self, ref: str, number: int) -> dict[str, Any]:
        self.asked.append(number)
        return {"number": number, "state": "completed", "parameters": {"x": number}, "metrics": {}, "source": "tpe",
                "attempts": [], "reason": None}  # fmt: skip

    def close(self) -> None:
        pass


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
