"""Documents that go on: everything at first, then what has changed, and one reading for all who look."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPResponse
from typing import Any

import pytest

from orchestune.server.context import Pace
from orchestune.server.shared import Reading, Shared
from orchestune.services import change_experiment, read_experiments
from orchestune.services.core import Core
from tests.testbeds.seed import TOKEN
from tests.unit.server.harness import Live, live

HEADERS = {"Accept": "text/event-stream"}


@pytest.fixture(scope="module")
def server(core: Core, handles: dict[str, str]) -> Iterator[Live]:
    with live(core, pace=Pace(ping=0.3, look=0.05, shared=0.0)) as found:
        yield found


def events(stream: HTTPResponse) -> Iterator[tuple[str, Any]]:
    """Kind and document of each event."""
    kind = ""
    for line in stream:
        if line.startswith(b"event: "):
            kind = line[7:].strip().decode()
        elif line.startswith(b"data: "):
            yield kind, json.loads(line[6:])


def test_a_list_begins_with_everything_and_goes_on_with_what_changes(
    server: Live, core: Core, handles: dict[str, str]
) -> None:
    stream = events(server.send("GET", "/api/v1/experiments", token=TOKEN, headers=HEADERS))
    first = []
    while (event := next(stream))[0] != "ready":
        first.append(event[1]["handle"])
    assert sorted(first) == sorted(handles.values())
    change_experiment.change_experiment(core, handles["one trial"], {"budget": 5}, "ada")
    changed = (event[1] for event in stream if event[0] == "status" and event[1]["handle"] == handles["one trial"])
    assert next(changed)["budget"] == 5
    gone = read_experiments.resolve(core, handles["broken script"])
    change_experiment.delete(core, gone, False, "ada")
    assert next(event for event in stream if event[0] == "gone") == ("gone", gone)


def test_an_experiment_that_rests_is_told_of_by_pings(server: Live, handles: dict[str, str]) -> None:
    path = f"/api/v1/experiments/{handles['size against speed']}"
    stream = events(server.send("GET", path, token=TOKEN, headers=HEADERS))
    kinds = [next(stream)[0] for _ in range(4)]
    assert kinds == ["status", "ready", "ping", "ping"]


def test_what_is_not_there_has_its_status(server: Live) -> None:
    assert server.ask("GET", "/api/v1/experiments/there-is-none", token=TOKEN, headers=HEADERS).status == 404


def test_fifty_pages_cost_one_reading(core: Core, handles: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    real = read_experiments.status

    def counted(core: Core, ref: str) -> dict[str, Any]:
        read.append(ref)
        return real(core, ref)

    monkeypatch.setattr(read_experiments, "status", counted)
    with live(replace(core), pace=Pace(shared=3600.0)) as server:
        path = f"/api/v1/experiments/{handles['sgd classifier']}"
        for _ in range(50):
            stream = events(server.send("GET", path, token=TOKEN, headers=HEADERS))
            assert next(stream)[1]["handle"] == handles["sgd classifier"]
    assert read.count(read_experiments.resolve(core, handles["sgd classifier"])) == 1


def test_a_page_that_is_shown_what_another_one_read_hears_of_what_happened_since(
    core: Core, handles: dict[str, str]
) -> None:
    with live(replace(core), pace=Pace(ping=3600.0, look=1.0, shared=0.9)) as server:
        path = f"/api/v1/experiments/{handles['one trial']}"
        next(events(server.send("GET", path, token=TOKEN, headers=HEADERS)))
        change_experiment.change_experiment(core, handles["one trial"], {"budget": 7}, "ada")
        later = events(server.send("GET", path, token=TOKEN, headers=HEADERS))
        assert 7 in (event[1]["budget"] for event in later if event[0] == "status")


def test_a_folder_is_not_taken_for_none(core: Core, handles: dict[str, str]) -> None:
    with live(replace(core), pace=Pace(shared=3600.0)) as server:
        everything = events(server.send("GET", "/api/v1/experiments", token=TOKEN, headers=HEADERS))
        assert next(everything)[0] == "status"
        of_folder = events(server.send("GET", "/api/v1/experiments?folder=None", token=TOKEN, headers=HEADERS))
        assert next(of_folder)[0] == "ready"


def test_a_reading_that_failed_is_shown_to_nobody() -> None:
    async def fails() -> Reading:
        raise OSError

    async def succeeds() -> Reading:
        return Reading(1, {"a": b"{}"})

    async def look() -> Reading:
        shared = Shared()
        with pytest.raises(OSError):
            await shared.read("k", 3600.0, fails)
        return await shared.read("k", 3600.0, succeeds)

    assert asyncio.run(look()).items == {"a": b"{}"}


def test_a_server_that_is_looked_at_is_not_idle(server: Live, handles: dict[str, str]) -> None:
    audience = server.server.config.app.state.context.audience  # type: ignore[union-attr]
    stream = server.send("GET", f"/api/v1/experiments/{handles['one trial']}", token=TOKEN, headers=HEADERS)
    next(events(stream))
    assert not audience.gone(0)
