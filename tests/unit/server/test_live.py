"""Live documents: everything at first, then the changes, and one reading for all clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPResponse
from typing import Any

import pytest

from orchestune import documents
from orchestune.server import live_stream as module
from orchestune.server.context import ServerTimeouts
from orchestune.server.shared_reads import SharedReads
from orchestune.services.commands import change_experiment
from orchestune.services.commands.change_experiment import Changes
from orchestune.services.core import Core
from orchestune.services.memory.signals import EXPERIMENTS
from orchestune.services.queries import read_experiments
from orchestune.store import removal
from tests.testbeds.seed import TOKEN
from tests.testbeds.stir import Stir
from tests.unit.server.harness import Live, live

HEADERS = {"Accept": "text/event-stream"}


@pytest.fixture
def server(own_core: Core) -> Iterator[Live]:
    with live(own_core, pace=ServerTimeouts(ping=0.3, page_interval=0.05, shared=0.0)) as live_server:
        yield live_server


def heard(stream: HTTPResponse) -> Iterator[tuple[str, str, Any]]:
    """Return the id, kind and document of each event as a browser parses them."""
    last = kind = ""
    for line in stream:
        if line.startswith(b"id: "):
            last = line[4:].strip().decode()
        elif line.startswith(b"event: "):
            kind = line[7:].strip().decode()
        elif line.startswith(b"data: "):
            yield last, kind, json.loads(line[6:])


def events(stream: HTTPResponse) -> Iterator[tuple[str, Any]]:
    """Kind and document of each event."""
    return ((kind, document) for _, kind, document in heard(stream))


def until_ready(stream: Iterator[tuple[str, str, Any]]) -> tuple[str, list[tuple[str, Any]], bool]:
    """The id to come back with, what was said, and whether that was everything."""
    messages = list[tuple[str, Any]]()
    for last, kind, document in stream:
        if kind == "ready":
            return last, messages, document["whole"]
        if kind != "ping":
            messages.append((kind, document))
    raise AssertionError("the stream ended")


def test_a_list_begins_with_everything_and_goes_on_with_what_changes(
    server: Live, own_core: Core, handles: dict[str, str]
) -> None:
    stream = events(server.send("GET", "/api/v1/experiments", token=TOKEN, headers=HEADERS))
    first = []
    while (event := next(stream))[0] == "status":
        first.append(event[1]["handle"])
    assert sorted(first) == sorted(handles.values())
    assert event == ("list", {"ids": event[1]["ids"], "total": len(first), "known": len(first)})
    change_experiment.change_experiment(own_core, handles["one trial"], Changes(budget=5), "ada")
    changed = (event[1] for event in stream if event[0] == "status" and event[1]["handle"] == handles["one trial"])
    assert next(changed)["budget"] == 5
    experiment = read_experiments.resolve(own_core, handles["broken script"])
    change_experiment.delete(own_core, experiment, False, "ada")
    assert next(event for event in stream if event[0] == "gone") == ("gone", experiment)


def test_an_experiment_that_rests_is_told_of_by_pings(server: Live, handles: dict[str, str]) -> None:
    path = f"/api/v1/experiments/{handles['size against speed']}"
    stream = events(server.send("GET", path, token=TOKEN, headers=HEADERS))
    kinds = [next(stream)[0] for _ in range(4)]
    assert kinds == ["status", "ready", "ping", "ping"]


def test_what_is_not_there_has_its_status(server: Live) -> None:
    assert server.ask("GET", "/api/v1/experiments/there-is-none", token=TOKEN, headers=HEADERS).status == 404


def test_fifty_pages_cost_one_reading(own_core: Core, handles: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    real = read_experiments.status

    def counted(core: Core, ref: str) -> documents.Status:
        read.append(ref)
        return real(core, ref)

    monkeypatch.setattr(read_experiments, "status", counted)
    with live(replace(own_core), pace=ServerTimeouts(shared=3600.0)) as server:
        path = f"/api/v1/experiments/{handles['sgd classifier']}"
        for _ in range(50):
            stream = events(server.send("GET", path, token=TOKEN, headers=HEADERS))
            assert next(stream)[1]["handle"] == handles["sgd classifier"]
    assert read.count(read_experiments.resolve(own_core, handles["sgd classifier"])) == 1


def test_a_page_that_is_shown_what_another_one_read_hears_of_what_happened_since(
    own_core: Core, handles: dict[str, str]
) -> None:
    with live(replace(own_core), pace=ServerTimeouts(ping=3600.0, page_interval=1.0, shared=0.9)) as server:
        path = f"/api/v1/experiments/{handles['one trial']}"
        next(events(server.send("GET", path, token=TOKEN, headers=HEADERS)))
        change_experiment.change_experiment(own_core, handles["one trial"], Changes(budget=7), "ada")
        later = events(server.send("GET", path, token=TOKEN, headers=HEADERS))
        assert 7 in (event[1]["budget"] for event in later if event[0] == "status")


def test_a_folder_is_not_taken_for_none(own_core: Core, handles: dict[str, str]) -> None:
    with live(replace(own_core), pace=ServerTimeouts(shared=3600.0)) as server:
        everything = events(server.send("GET", "/api/v1/experiments", token=TOKEN, headers=HEADERS))
        assert next(everything)[0] == "status"
        of_folder = events(server.send("GET", "/api/v1/experiments?folder=None", token=TOKEN, headers=HEADERS))
        assert next(of_folder) == ("list", {"ids": [], "total": 0, "known": 0})


def test_a_reading_that_failed_is_shown_to_nobody() -> None:
    async def fails() -> str:
        raise OSError

    async def succeeds() -> str:
        return "read"

    async def look() -> str:
        shared = SharedReads[str]()
        with pytest.raises(OSError):
            await shared.read("k", 3600.0, fails)
        return await shared.read("k", 3600.0, succeeds)

    assert asyncio.run(look()) == "read"


def test_a_server_that_is_looked_at_is_not_idle(server: Live, handles: dict[str, str]) -> None:
    open_pages = server.server.config.app.state.context.open_pages  # type: ignore[union-attr]
    stream = server.send("GET", f"/api/v1/experiments/{handles['one trial']}", token=TOKEN, headers=HEADERS)
    next(events(stream))
    assert not open_pages.none_for(0)


def test_who_comes_back_hears_of_what_changed_meanwhile_and_of_nothing_else(
    server: Live, own_core: Core, handles: dict[str, str]
) -> None:
    path = "/api/v1/experiments?sort=name&search=size"
    place, messages, whole = until_ready(heard(server.send("GET", path, token=TOKEN, headers=HEADERS)))
    assert whole and [kind for kind, _ in messages] == ["status", "list"]
    change_experiment.change_experiment(own_core, handles["size against speed"], Changes(labels={"n": "1"}), "ada")
    change_experiment.change_experiment(own_core, handles["size against speed"], Changes(labels={"n": "2"}), "ada")
    again = server.send("GET", path, token=TOKEN, headers=HEADERS | {"Last-Event-ID": place})
    place, messages, whole = until_ready(heard(again))
    assert [(kind, document["handle"], document["labels"]) for kind, document in messages] == [
        ("status", handles["size against speed"], {"n": "2"})
    ]
    assert not whole
    assert until_ready(heard(server.send("GET", f"{path}&after={place}", token=TOKEN, headers=HEADERS)))[1:] == (
        [],
        False,
    )


def test_who_comes_back_to_a_server_that_began_anew_hears_everything(
    server: Live, own_core: Core, handles: dict[str, str]
) -> None:
    path = f"/api/v1/experiments/{handles['sgd classifier']}"
    place, messages, _ = until_ready(heard(server.send("GET", path, token=TOKEN, headers=HEADERS)))
    with live(replace(own_core)) as other:
        stream = other.send("GET", path, token=TOKEN, headers=HEADERS | {"Last-Event-ID": place})
        assert until_ready(heard(stream))[1:] == (messages, True)


@pytest.mark.parametrize("place", ["x", "0a1b2c3d", "0a1b2c3d-1-2-3", "0a1b2c3d-" + "9" * 30])
def test_what_is_no_place_in_a_stream_is_refused(server: Live, handles: dict[str, str], place: str) -> None:
    path = f"/api/v1/experiments/{handles['sgd classifier']}?after={place}"
    assert server.ask("GET", path, token=TOKEN, headers=HEADERS).status == 400


def lines(messages: list[tuple[str, Any]]) -> list[str]:
    """Return the printed text."""
    text = "".join(item["text"] for kind, document in messages if kind == "log" for item in document["items"])
    return [line for line in text.splitlines() if line.startswith("line")]


def test_what_trials_print_comes_in_the_stream_of_the_page_once(
    server: Live, own_core: Core, handles: dict[str, str]
) -> None:
    """A stream that breaks off again and again loses nothing, and repeats nothing."""
    stir = Stir(own_core, handles["image model"], 60, lines=2)
    path = f"/api/v1/experiments/{handles['image model']}?logs=true&log_after=0"
    place, _, _ = until_ready(heard(server.send("GET", path, token=TOKEN, headers=HEADERS)))
    log_lines = list[str]()
    for step in range(1, 8):
        stir.step()
        stream = heard(server.send("GET", path, token=TOKEN, headers=HEADERS | {"Last-Event-ID": place}))
        while not log_lines or log_lines[-1] != f"line 1 of step {step}":
            place, messages, whole = until_ready(stream)
            assert not whole
            log_lines += lines(messages)
    assert log_lines == [f"line {line} of step {step}" for step in range(1, 8) for line in range(2)]
    other = f"{path.partition('?')[0]}?logs=true&trial=1"  # which is over, and looked at from now on
    assert lines(until_ready(heard(server.send("GET", other, token=TOKEN, headers=HEADERS)))[1]) == []


def test_who_missed_more_lines_than_anybody_reads_is_told_so_and_hears_the_last_ones(
    server: Live, own_core: Core, handles: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_MISSED_CHUNKS", 3)
    stir = Stir(own_core, handles["image model"], 60, lines=1)
    path = f"/api/v1/experiments/{handles['image model']}?logs=true&tail=1"
    place, _, _ = until_ready(heard(server.send("GET", path, token=TOKEN, headers=HEADERS)))
    for _ in range(5):
        stir.step()
    stream = heard(server.send("GET", path, token=TOKEN, headers=HEADERS | {"Last-Event-ID": place}))
    _, messages, _ = until_ready(stream)
    assert messages[0][0] == "skipped"
    assert lines(messages)[-1] == "line 0 of step 5"


def test_a_trial_its_points_and_what_it_uses_come_in_one_stream(
    server: Live, own_core: Core, handles: dict[str, str]
) -> None:
    path = f"/api/v1/experiments/{handles['image model']}/trials/60"
    stream = heard(server.send("GET", path, token=TOKEN, headers=HEADERS))
    _, messages, _ = until_ready(stream)
    assert [kind for kind, _ in messages] == ["status", "trial", "points", "usage"]
    change_experiment.change_experiment(own_core, handles["image model"], Changes(budget=321), "ada")
    _, messages, _ = until_ready(stream)
    assert [(kind, document.get("budget")) for kind, document in messages] == [("status", 321)]
    assert server.ask("GET", path.replace("/60", "/9999"), token=TOKEN, headers=HEADERS).status == 404


def test_some_experiments_are_followed_until_one_goes(server: Live, own_core: Core, handles: dict[str, str]) -> None:
    names = ("size against speed", "nothing yet")
    path = "/api/v1/experiments?" + "&".join(f"only={handles[name]}" for name in names)
    stream = heard(server.send("GET", path, token=TOKEN, headers=HEADERS))
    _, messages, _ = until_ready(stream)
    assert [document["handle"] for _, document in messages] == [handles[name] for name in names]
    experiment = read_experiments.resolve(own_core, handles["nothing yet"])
    change_experiment.delete(own_core, experiment, True, "ada")
    with own_core.store.transaction() as session:
        removal.purge(session, experiment)
    own_core.signals.notify(EXPERIMENTS)
    assert next(document for _, kind, document in stream if kind == "gone") == experiment


def test_the_stream_of_an_experiment_that_was_removed_ends(
    server: Live, own_core: Core, handles: dict[str, str]
) -> None:
    ref = handles["size against speed"]
    experiment = read_experiments.resolve(own_core, ref)
    stream = heard(server.send("GET", f"/api/v1/experiments/{ref}", token=TOKEN, headers=HEADERS))
    until_ready(stream)
    with own_core.store.transaction() as session:
        removal.purge(session, experiment)
    own_core.signals.notify(f"events:{experiment}")
    assert [kind for _, kind, _ in stream if kind != "ping"] == []
    assert server.ask("GET", f"/api/v1/experiments/{ref}", token=TOKEN).status == 410
