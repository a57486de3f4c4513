from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from orchestune.errors import Conflict, StoreUnavailable
from orchestune.services import idempotency
from orchestune.services.core import Caller
from orchestune.store.database import open_store
from tests.contract.world import CoreWorld
from tests.unit.server.harness import CALLERS, WORKER, Live, live, until

PATH = "/api/v1/experiments/sgd/trials"
BODY = {"parameters": {"lr": 0.1}}


class Memory:
    """A stand-in for `services.idempotency`."""

    def __init__(self, server: Live) -> None:
        self.kept: dict[str, tuple[str, int, str]] = {}
        server.script.answers.update(remembered=self.remembered, remember=self.remember)

    def remembered(self, core: Any, key: str, digest: str) -> tuple[int, str] | None:
        if key not in self.kept:
            return None
        known_digest, status, answer = self.kept[key]
        if known_digest != digest:
            raise Conflict("this Idempotency-Key was used for another request")
        return status, answer

    def remember(self, core: Any, key: str, digest: str, status: int, answer: str) -> None:
        self.kept[key] = (digest, status, answer)


@pytest.fixture
def memory(server: Live) -> Memory:
    numbers = iter(range(1, 100))
    server.script.answers["queue_trial"] = lambda core, *args: {"number": next(numbers)}
    return Memory(server)


def test_a_repeated_request_is_carried_out_once_and_answered_twice(server: Live, memory: Memory) -> None:
    first = server.ask("POST", PATH, BODY, headers={"Idempotency-Key": "k1"})
    again = server.ask("POST", PATH, BODY, headers={"Idempotency-Key": "k1"})
    assert (first.status, first.json()) == (201, {"number": 1})
    assert (again.status, again.json(), again.headers["content-type"]) == (201, {"number": 1}, "application/json")
    assert again.headers["idempotent-replayed"] == "true"
    assert len(server.script.of("queue_trial")) == 1
    assert server.ask("POST", PATH, BODY, headers={"Idempotency-Key": "k2"}).json() == {"number": 2}


def test_the_key_of_somebody_else_is_refused(server: Live, memory: Memory) -> None:
    server.ask("POST", PATH, BODY, headers={"Idempotency-Key": "k"})
    CALLERS["another-owner"] = Caller(name="bob", role="owner")
    try:
        other = server.ask("POST", PATH, BODY, headers={"Idempotency-Key": "k"}, token="another-owner")
    finally:
        del CALLERS["another-owner"]
    assert (other.status, other.json()["error"]["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("path", "body"), [(PATH, {"parameters": {"lr": 0.2}}), (PATH.replace("sgd", "mlp"), BODY), (f"{PATH}?x=1", BODY)]
)
def test_a_key_that_comes_with_another_request_is_refused(
    server: Live, memory: Memory, path: str, body: dict[str, Any]
) -> None:
    server.ask("POST", PATH, BODY, headers={"Idempotency-Key": "k"})
    other = server.ask("POST", path, body, headers={"Idempotency-Key": "k"})
    assert (other.status, other.json()["error"]["code"]) == (409, "conflict")
    assert len(server.script.of("queue_trial")) == 1


def test_two_at_the_same_time_are_one(server: Live, memory: Memory) -> None:
    go_on = threading.Event()
    server.script.answers["queue_trial"] = lambda core, *args: {"number": 7} if go_on.wait(60) else {}
    with ThreadPoolExecutor() as pool:
        replies = [
            pool.submit(server.ask, "POST", PATH, BODY, headers={"Idempotency-Key": "k"}),
            pool.submit(server.ask, "POST", PATH, BODY, headers={"Idempotency-Key": "k"}),
        ]
        until(lambda: len(server.server.server_state.tasks) == 2, "both have come")
        go_on.set()
        assert [one.result().json() for one in replies] == [{"number": 7}] * 2
    assert len(server.script.of("queue_trial")) == 1


@pytest.mark.postgres
def test_two_servers_on_one_database_that_get_a_key_at_the_same_moment_carry_it_out_once(
    tmp_path: Path, postgres_database: str
) -> None:
    world = CoreWorld(tmp_path, postgres_database)
    store = open_store(postgres_database, world.clock.now)
    handle = world.create(budget=50)
    both = threading.Barrier(2)

    def ask(server: Live, number: int) -> Any:
        body, key = {"parameters": {"x": number / 10}}, {"Idempotency-Key": f"key-{number}"}
        both.wait(60)
        path = f"/api/v1/experiments/{handle}/trials"
        return server.ask("POST", path, body, token="secret-token", headers=key).json()

    with live(world.core) as one, live(replace(world.core, store=store)) as other, ThreadPoolExecutor(2) as pool:
        for number in range(8):
            first, second = pool.submit(ask, one, number), pool.submit(ask, other, number)
            assert first.result() == second.result()
    world.close()
    store.close()


def test_what_was_done_when_its_server_died_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = CoreWorld(tmp_path)
    experiment = world.create(budget=50)

    def dies(*_: object) -> None:
        raise StoreUnavailable("it dies before it could remember the answer")

    monkeypatch.setattr(idempotency, "remember", dies)
    path, body, key = f"/api/v1/experiments/{experiment}/trials", {"parameters": {"x": 0.5}}, {"Idempotency-Key": "k"}
    with live(world.core) as server:
        first, again = (server.ask("POST", path, body, token="secret-token", headers=key) for _ in range(2))
        other = server.ask("POST", path, {"parameters": {"x": 0.6}}, token="secret-token", headers=key)
    assert (first.status, again.status, other.status) == (201, 201, 409)
    assert (
        first.json()
        == again.json()
        == world.trials(experiment)[0]
        | {name: first.json()[name] for name in ("checkpoint", "folds", "artifacts", "command")}
    )
    assert len(world.trials(experiment)) == 1
    world.close()


def test_an_error_is_not_remembered(server: Live, memory: Memory) -> None:
    working = server.script.answers["queue_trial"]
    server.script.answers["queue_trial"] = Conflict("the budget is spent")
    assert server.ask("POST", PATH, BODY, headers={"Idempotency-Key": "k"}).status == 409
    server.script.answers["queue_trial"] = working
    assert server.ask("POST", PATH, BODY, headers={"Idempotency-Key": "k"}).status == 201


def test_what_was_done_is_told_even_where_it_could_not_be_remembered(server: Live, memory: Memory) -> None:
    server.script.answers["remember"] = StoreUnavailable("the disk is full")
    assert server.ask("POST", PATH, BODY, headers={"Idempotency-Key": "k"}).json() == {"number": 1}


def test_without_a_key_every_request_counts(server: Live, memory: Memory) -> None:
    assert [server.ask("POST", PATH, BODY).json()["number"] for _ in range(2)] == [1, 2]
    assert server.script.of("remembered") == []


def test_workers_calls_are_safe_by_themselves_and_not_remembered(server: Live, memory: Memory) -> None:
    server.script.answers["checkpoint"] = {"accepted": True}
    body = {"attempt": "a", "token": 1, "digest": "a" * 64}
    path = "/api/v1/workers/worker-1/checkpoint"
    assert server.ask("POST", path, body, token=WORKER, headers={"Idempotency-Key": "k"}).status == 200
    assert server.script.of("remembered") == []


def test_a_record_may_be_repeated_as_it_is_and_is_not_read_whole_before_its_route_gets_it(
    server: Live, memory: Memory
) -> None:
    read: list[bytes] = []

    def take(core: Any, record: BinaryIO, trust: str) -> dict[str, Any]:
        read.append(record.read())
        return {"experiment": "id", "handle": "sgd-7f3a", "imported": len(read) == 1, "rows": {}}

    server.script.answers["read"] = take
    sent = [server.ask("POST", "/api/v1/archive", b"record", headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert [one.json()["imported"] for one in sent] == [True, False]
    assert read == [b"record"] * 2
    assert server.script.of("remembered") == []


def test_a_key_without_end_is_refused(server: Live, memory: Memory) -> None:
    assert server.ask("POST", PATH, BODY, headers={"Idempotency-Key": "k" * 201}).status == 400
