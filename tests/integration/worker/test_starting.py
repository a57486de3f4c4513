"""Commands run before the worker's loop learns that they were started."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.worker.conftest import SOURCE, RunningWorker, read_pids, until
from tests.integration.worker.fake_server import FakeServer
from tests.integration.worker.test_ending import all_gone, family
from tests.testbeds.processes import alive

Serve = Callable[..., FakeServer]
Hire = Callable[..., RunningWorker]

LATE = """
import itertools, os, runpy, sys, time
sys.path.insert(0, {source!r})
from orchestune.worker.processes import launcher
start, numbers = launcher.spawn, itertools.count(1)
def late(command):
    gate = os.path.join({folder!r}, "told-%d" % next(numbers))
    started = start(command)
    while not os.path.exists(gate):
        time.sleep(0.01)
    return started
launcher.spawn = late
runpy.run_module("orchestune.worker", run_name="__main__")
"""


@pytest.fixture
def hire(employ: Callable[..., RunningWorker], tmp_path: Path) -> Hire:
    """Start a worker whose loop learns of the nth start when there is a file `told-n`; `before`: what it does first."""
    text = LATE.format(source=str(SOURCE), folder=str(tmp_path))

    def start(server: FakeServer, before: str = "") -> RunningWorker:
        return employ(server, command=[sys.executable, "-I", "-W", "error", "-c", before + text])

    return start


def test_a_command_that_ends_first_is_told_as_it_ended(serve: Serve, hire: Hire, tmp_path: Path) -> None:
    server = serve(["sh", "-c", f"echo loss=1; echo $$ > {tmp_path}/command.pid; exit 3"])
    attempt = server.queue()
    hire(server)
    (pid,) = read_pids(tmp_path, 1)
    until(lambda: not Path(f"/proc/{pid}").exists(), "the worker to wait for it")
    (tmp_path / "told-1").touch()
    reports = server.finished(attempt)
    assert reports.finished is not None and reports.finished["exit_code"] == 3
    assert reports.finished["wall"] > 0 and reports.values("loss") == [1.0]


def test_its_end_is_seen_where_nobody_tells_which_child_ended(serve: Serve, hire: Hire, tmp_path: Path) -> None:
    server = serve(["sh", "-c", f"echo $$ > {tmp_path}/command.pid; exit 3"])
    attempt = server.queue()
    hire(server, before="import os; del os.waitid")  # as on macOS
    (pid,) = read_pids(tmp_path, 1)
    until(lambda: not alive(pid), "its end")
    (tmp_path / "told-1").touch()
    reports = server.finished(attempt)
    assert reports.finished is not None and reports.finished["exit_code"] == 3


def test_a_stop_changes_nothing_about_a_command_that_ended_before_it(serve: Serve, hire: Hire, tmp_path: Path) -> None:
    leaves = f"(sleep 600 & echo $! > {tmp_path}/left.pid); echo $$ > {tmp_path}/command.pid; exit 3"
    server = serve(["sh", "-c", leaves], grace=600)
    attempt = server.queue()
    worker = hire(server)
    pids = read_pids(tmp_path, 2)
    until(lambda: sum(Path(f"/proc/{pid}").exists() for pid in pids) == 1, "the worker to wait for it")
    worker.guard.terminate()
    until(lambda: "shutting down" in worker.log.read_text(), "the worker to hear it")
    (tmp_path / "told-1").touch()
    finished = server.finished(attempt).finished
    assert finished is not None and (finished["state"], finished["exit_code"]) == ("failed", 3)
    assert worker.wait() == 0
    assert all_gone(pids)


def test_what_is_to_stop_by_then_is_stopped(serve: Serve, hire: Hire, tmp_path: Path) -> None:
    server = serve(family(tmp_path / "pids", "stay"))
    attempt = server.queue()
    worker = hire(server)
    pids = read_pids(tmp_path / "pids", 5)
    worker.guard.terminate()
    until(lambda: "shutting down" in worker.log.read_text(), "the worker to hear it")
    (tmp_path / "told-1").touch()
    finished = server.finished(attempt).finished
    assert finished is not None and finished["state"] == "preempted"
    assert worker.wait() == 0
    assert all_gone(pids)


def test_it_is_not_taken_for_what_a_neighbour_left_behind(serve: Serve, hire: Hire, tmp_path: Path) -> None:
    folder = tmp_path / "pids"
    folder.mkdir()
    neighbour = f"until [ -e {tmp_path}/end ]; do sleep 0.02; done; echo loss=2"
    leaves = f"(sleep 600 & echo $! > {folder}/left.pid); echo loss=1; echo $$ > {folder}/leader.pid; exec sleep 600"
    server = serve(f"if [ {{kind}} = brief ]; then {neighbour}; else {leaves}; fi", parameters=["kind"])
    (tmp_path / "told-1").touch()
    brief = server.queue({"kind": "brief"})
    hire(server)
    server.wait(lambda: server.attempts[brief].started)
    late = server.queue({"kind": "late"})
    pids = read_pids(folder, 2)
    (tmp_path / "end").touch()
    server.finished(brief)
    assert all(alive(pid) for pid in pids)
    (tmp_path / "told-2").touch()
    server.wait(lambda: server.attempts[late].values("loss"))
    server.stop_attempt(late)
    server.finished(late)
    assert all_gone(pids)


def test_it_ends_with_a_worker_that_is_over(serve: Serve, hire: Hire, tmp_path: Path) -> None:
    server = serve(family(tmp_path / "pids", "stay"))
    server.queue()
    worker = hire(server)
    pids = read_pids(tmp_path / "pids", 5)
    server.over = True
    assert worker.wait() == 0
    assert all_gone(pids)
