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
        (1, "one completed trial is too few (at least 10 are needed)"),
        (9, "9 completed trials are too few (at least 10 are needed)"),
        (12, "the loss of the 12 completed trials does not vary with the parameters beyond noise"),
    ],
)
def test_a_search_of_which_nothing_can_be_said_says_why(
    server: FakeServer, cli: Cli, monkeypatch: pytest.MonkeyPatch, trials: int, why: str
) -> None:
    importances = {"metric": "loss", "trials": trials, "parameters": []}
    monkeypatch.setattr(Client, "importance", lambda *_: importances)
    handle = next(iter(server.world.experiments))
    assert cli("importance", handle).out == f"no importances: {why}\n"


@pytest.mark.parametrize(
    ("ended", "why"),
    [
        ({"failed": 6}, "no trial completed: all 6 failed"),
        ({"failed": 1}, "no trial completed: 1 failed"),
        ({"failed": 2, "pruned": 1}, "no trial completed: 2 failed, 1 was pruned"),
        ({}, "no trial completed"),
    ],
)
def test_a_search_that_ended_without_a_result_says_how_its_trials_did(
    server: FakeServer, cli: Cli, monkeypatch: pytest.MonkeyPatch, ended: dict[str, int], why: str
) -> None:
    none = {"queued": 0, "running": 0, "completed": 0, "failed": 0, "pruned": 0, "cancelled": 0}
    handle = next(iter(server.world.experiments))
    server.update(handle, state="failed", counts=none | ended, best=[])
    monkeypatch.setattr(Client, "importance", lambda *_: {"metric": "loss", "trials": 0, "parameters": []})
    assert cli("importance", handle).out == f"no importances: {why}\n"
    assert cli("best", handle).out == f"{why}\n"


def test_no_finding_moves_the_cursor(server: FakeServer, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    findings = [
        {"code": "x", "message": f"the best has {name}=a\x1b[2J\nb", "parameter": name} for name in (None, "opt")
    ]
    explanation = {
        "metric": "loss",
        "trials": 20,
        "parameters": [{"name": "opt", "importance": 1.0}],
        "findings": findings,
    }
    monkeypatch.setattr(Client, "explain", lambda *_: explanation)
    lines = cli("explain", next(iter(server.world.experiments))).out.splitlines()
    assert [line.partition("the best has ")[2] for line in (lines[0], lines[-1])] == ["None=a [2J b", "opt=a [2J b"]
