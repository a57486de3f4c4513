"""A stream delivers each event once and in order, also across failures of the server."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from orchestune.client.api import Client
from orchestune.client.connection.stream import ServerSentEvent
from orchestune.client.watching import ServerUnreachable, Watch
from orchestune.errors import NotFound, OrchestuneError
from tests.unit.client.fake_server import FakeServer, status, until


def test_events_come_in_order_and_the_stream_ends_with_the_experiment(server: FakeServer) -> None:
    for number in range(1, 4):
        server.event("trial_finished", trial=number)
    server.update("sgd-7f3a", state="completed")
    events = list(Client.connect(server.resolve).events("sgd"))
    assert [event.json()["data"]["trial"] for event in events] == [1, 2, 3]
    assert [event.id for event in events] == ["1", "2", "3"]


def test_a_stream_goes_on_after_a_restart_on_another_port_without_loss_or_repetition(server: FakeServer) -> None:
    client = Client.connect(server.resolve, retry_seconds=0.2)
    trials: list[int] = []

    def read() -> None:
        for event in client.events("sgd"):
            trials.append(event.json()["data"]["trial"])

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    for number in range(1, 4):
        server.event("trial_finished", trial=number)
    until(lambda: len(trials) == 3, "the first events")
    server.stop()
    for number in range(4, 7):
        server.event("trial_finished", trial=number)
    server.start()
    until(lambda: len(trials) == 6, "the events after the restart")
    server.update("sgd-7f3a", state="completed")
    reader.join(60)
    assert trials == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("fault", ["502", "503"])
def test_a_stream_and_a_watch_outlive_a_server_without_its_store_or_behind_a_proxy(
    server: FakeServer, fault: str
) -> None:
    client = Client.connect(server.resolve, retry_seconds=0.0)
    away: list[OrchestuneError] = []
    server.update("sgd-7f3a", state="completed")
    server.event("trial_finished", trial=1)
    server.world.faults += [fault] * 3
    assert [event.id for event in client.events("sgd", on_away=away.append)] == ["1"]
    assert len(away) == 3
    server.world.faults += [fault] * 2
    watch = Watch(client, "sgd")
    asking = client.clone()
    looker = threading.Thread(target=watch._fetch, args=(asking,))
    looker.start()
    updates = [watch.updates.get(timeout=60) for _ in range(3)]
    watch.stop()
    looker.join(60)
    asking.close()
    assert [isinstance(update, ServerUnreachable) for update in updates] == [True, True, False]


def test_following_what_does_not_exist_is_an_error(server: FakeServer) -> None:
    with pytest.raises(NotFound):
        list(Client.connect(server.resolve).events("nothing"))


def test_logs_are_read_page_by_page_and_followed_to_the_end(server: FakeServer) -> None:
    for number in range(1203):
        server.log(f"line {number}\n")
    client = Client.connect(server.resolve)
    assert len(list(client.logs("sgd"))) == 1203
    server.update("sgd-7f3a", state="completed")
    assert len(list(client.follow_logs("sgd"))) == 1203
    assert [chunk["text"] for chunk in client.follow_logs("sgd", after=1201)] == ["line 1201\n", "line 1202\n"]


def test_a_watch_fetches_the_status_far_less_often_than_events_come(server: FakeServer) -> None:
    watch = Watch(Client.connect(server.resolve), "sgd").start()
    for number in range(1, 1001):
        server.event("trial_finished", trial=number)
    server.update("sgd-7f3a", state="completed")
    events, last = 0, None
    while last is None or last["state"] != "completed" or events < 1000:
        update = watch.updates.get(timeout=60)
        if isinstance(update, ServerSentEvent):
            events += 1
        elif isinstance(update, dict):
            last = update
    watch.stop()
    assert events == 1000
    assert len(server.requests_to("GET", "/experiments/sgd$")) < 200


class Rests(threading.Event):
    """Records the requested waiting times, and does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.seconds.append(timeout)
        if len(self.seconds) == 4:
            self.set()
        return True


def test_a_status_that_took_long_is_soon_followed_by_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    took = iter([0.01, 0.5, 60.0, 30.0])
    now = [0.0]

    class Slow(Client):
        def __init__(self) -> None:
            pass

        def experiment(self, ref: str) -> Any:
            now[0] += next(took)
            return status()

    watch = Watch(Slow(), "sgd")
    watch._stopped, watch._changed = rests, _ = Rests(), Rests()
    monkeypatch.setattr("orchestune.client.watching.time.monotonic", lambda: now[0])
    watch._fetch(Slow())
    assert rests.seconds == [0.25, 2.0, 5.0, 5.0], "an outage of a minute is no reason to look away for four"


def test_a_watch_hands_over_the_error_that_ends_it(server: FakeServer) -> None:
    watch = Watch(Client.connect(server.resolve), "nothing").start()
    assert isinstance(watch.updates.get(timeout=60), OrchestuneError)
    watch.stop()
