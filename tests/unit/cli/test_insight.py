"""Why nothing can be said of the parameters, in words that fit the number of trials."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestune.client.api import Client
from tests.unit.cli.conftest import Result
from tests.unit.client.fake_server import FakeServer

Cli = Callable[..., Result]


@pytest.mark.parametrize(
    ("trials", "why"),
    [
        (0, "no trial has completed yet"),
        (1, "one completed trial is too few"),
        (9, "the 9 completed trials are too few, or their loss is the same"),
    ],
)
def test_a_search_of_which_nothing_can_be_said_says_why(
    server: FakeServer, cli: Cli, monkeypatch: pytest.MonkeyPatch, trials: int, why: str
) -> None:
    found = {"metric": "loss", "trials": trials, "parameters": []}
    monkeypatch.setattr(Client, "importance", lambda *_: found)
    handle = next(iter(server.world.experiments))
    assert cli("importance", handle).out == f"nothing can be said of the parameters: {why}\n"
