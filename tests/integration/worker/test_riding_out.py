"""A server that is away, a network that drops and repeats, a worker that dies: nothing is lost, nothing comes twice."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration.worker.conftest import RunningWorker, read_pids, until
from tests.integration.worker.fake_server import FakeServer

Serve = Callable[..., FakeServer]
Employ = Callable[..., RunningWorker]


def test_results_wait_for_a_server_that_comes_back_elsewhere(serve: Serve, employ: Employ, tmp_path: Path) -> None:
    server = serve(["sh", "-c", f"echo loss=1; until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo loss=2"])
    attempts = [server.queue() for _ in range(4)]
    worker = employ(server)
    server.wait(lambda: all(server.attempts[attempt].values("loss") for attempt in attempts))
    old = server.url
    server.stop()
    (tmp_path / "go").touch()
    spool = worker.state / "spool" / worker.name
    until(lambda: len(list(spool.glob("*.json"))) == 4, "the spool on disk")
    server.start()
    assert server.url != old
    worker.point_to(server)
    for attempt in attempts:
        reports = server.finished(attempt)
        assert reports.finished is not None and reports.finished["state"] == "succeeded"
        assert bytes(reports.log) == b"loss=1\nloss=2\n"
        assert reports.values("loss") == [1.0, 2.0]
    until(lambda: not list(spool.iterdir()), "an empty spool")


def test_what_a_dead_worker_spooled_is_delivered_by_the_next_one(serve: Serve, employ: Employ, tmp_path: Path) -> None:
    code = f"echo loss=1; until [ -e {tmp_path}/go ]; do sleep 0.05; done; head -c 3000000 /dev/zero; echo; echo loss=2"
    server = serve(["sh", "-c", code])
    attempt = server.queue()
    worker = employ(server)
    server.wait(lambda: server.attempts[attempt].values("loss"))
    server.stop()
    (tmp_path / "go").touch()
    spool = worker.state / "spool" / worker.name
    until(lambda: list(spool.glob("*.json")), "the spool on disk")
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    server.start()
    worker.point_to(server)
    worker.start()
    reports = server.finished(attempt)
    assert reports.values("loss") == [1.0, 2.0]
    assert bytes(reports.log) == b"loss=1\n" + b"\0" * 3_000_000 + b"\nloss=2\n"
    until(lambda: not list(spool.iterdir()), "an empty spool")


def test_an_end_is_on_disk_soon_where_the_server_takes_calls_and_answers_none(
    serve: Serve, employ: Employ, tmp_path: Path
) -> None:
    server = serve(["sh", "-c", f"echo loss=1; until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo loss=2"])
    attempt = server.queue()
    worker = employ(server)
    server.wait(lambda: server.attempts[attempt].values("loss"))
    server.fault = lambda route, body: "silent"
    (tmp_path / "go").touch()
    until(lambda: list((worker.state / "spool" / worker.name).glob("*.json")), "the spool on disk")
    assert "did not respond" not in worker.log.read_text()
    server.fault = lambda route, body: ""
    server.silence.set()
    assert server.finished(attempt).values("loss") == [1.0, 2.0]


def test_an_end_outlives_a_worker_whose_token_is_refused(serve: Serve, employ: Employ, tmp_path: Path) -> None:
    server = serve(["sh", "-c", f"echo $$ > {tmp_path}/leader.pid; echo loss=1; exec sleep 600"])
    attempt = server.queue()
    worker = employ(server)
    (pid,) = read_pids(tmp_path, 1)
    server.wait(lambda: server.attempts[attempt].values("loss"))
    server.fault = lambda route, body: "503"
    until(lambda: "retrying" in worker.log.read_text(), "a server that is away")
    os.kill(pid, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{pid}").exists(), "the worker to wait for it")
    server.token, right = "another", server.token
    server.fault = lambda route, body: ""
    assert worker.wait() == 1
    server.token = right
    worker.start()
    finished = server.finished(attempt).finished
    assert finished is not None and finished["signal"] == signal.SIGKILL


def test_a_network_that_drops_delays_and_repeats_changes_nothing(serve: Serve, employ: Employ) -> None:
    server = serve("echo loss=$ORCHESTUNE_PARAM_X; echo more", parameters=["x"])
    attempts = [server.queue({"x": index}) for index in range(150)]
    chance = random.Random(7)

    def fault(route: str, body: dict[str, Any]) -> str:
        return chance.choices(["", "drop", "refuse", "repeat", "delay", "last", "503"], [60, 8, 8, 8, 8, 8, 8])[0]

    server.fault = fault
    employ(server)
    for index, attempt in enumerate(attempts):
        reports = server.finished(attempt, 150)
        assert reports.finished is not None and reports.finished["state"] == "succeeded"
        assert bytes(reports.log) == f"loss={index}\nmore\n".encode()
        assert reports.values("loss") == [float(index)]


def test_a_server_that_says_goodbye_with_its_answer_is_asked_anew(serve: Serve, employ: Employ) -> None:
    server = serve("echo loss=1")
    attempts = [server.queue() for _ in range(8)]
    server.fault = lambda route, body: "last"
    employ(server)
    for attempt in attempts:
        assert server.finished(attempt).values("loss") == [1.0]


def test_beats_grow_with_every_call_of_a_boot(serve: Serve, employ: Employ) -> None:
    server = serve("echo loss=1")
    for _ in range(50):
        server.queue()
    employ(server)
    server.wait(lambda: len(server.beats) > 30)
    beats = [beat for _, beat in server.beats]
    assert len({boot for boot, _ in server.beats}) == 1
    assert len(set(beats)) == len(beats)


def test_a_worker_that_is_asked_to_stop_while_the_server_is_away_keeps_its_results(
    serve: Serve, employ: Employ
) -> None:
    server = serve("echo loss=1; sleep 600")
    attempt = server.queue()
    worker = employ(server)
    server.wait(lambda: server.attempts[attempt].values("loss"))
    server.stop()
    worker.guard.send_signal(signal.SIGTERM)
    assert worker.wait() == 0
    server.start()
    worker.point_to(server)
    worker.start()
    finished = server.finished(attempt).finished
    assert finished is not None and finished["state"] == "preempted"


def test_a_worker_starts_before_its_server_does(serve: Serve, employ: Employ) -> None:
    server = serve("echo loss=1")
    attempt = server.queue()
    server.fault = lambda route, body: "503"
    worker = employ(server)
    until(lambda: "retrying" in worker.log.read_text(), "a line about the server")
    server.fault = lambda route, body: ""
    server.finished(attempt)


def test_a_read_only_or_full_disk_for_the_spool_loses_nothing(serve: Serve, employ: Employ, tmp_path: Path) -> None:
    server = serve(["sh", "-c", f"echo loss=1; until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo loss=2"])
    attempt = server.queue()
    worker = employ(server)
    server.wait(lambda: server.attempts[attempt].values("loss"))
    (worker.state / "spool").write_text("no folder can be made here")
    server.stop()
    (tmp_path / "go").touch()
    until(lambda: "results stay in memory" in worker.log.read_text(), "a line about the spool")
    server.start()
    worker.point_to(server)
    assert server.finished(attempt).values("loss") == [1.0, 2.0]
