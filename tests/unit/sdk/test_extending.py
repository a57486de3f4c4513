"""Another budget from Python."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from orchestune.client.api import Client
from orchestune.errors import UsageError
from orchestune.sdk.experiments import Experiment


class Server:
    """Keeps what it is asked to change."""

    place = None

    def __init__(self) -> None:
        self.changes: list[tuple[str, dict[str, Any]]] = []

    def change(self, ref: str, **changes: Any) -> None:
        self.changes.append((ref, changes))

    def close(self) -> None:
        pass


def test_what_is_named_is_changed_and_nothing_else() -> None:
    server = Server()
    status: Any = {"id": "i", "handle": "sgd-7f3a", "name": "sgd"}
    experiment = Experiment(cast(Client, server), status)
    assert experiment.extend(budget=80) is experiment
    assert asyncio.run(experiment.extend_async(parallelism=4)) is experiment
    with pytest.raises(UsageError, match=r"extend\(\) needs budget, parallelism or both"):
        experiment.extend()
    assert server.changes == [("i", {"budget": 80}), ("i", {"parallelism": 4})]
