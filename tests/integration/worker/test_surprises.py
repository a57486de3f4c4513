"""Unexpected errors while one trial is handled."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from tests.integration.worker.conftest import BOOT, SOURCE, RunningWorker
from tests.integration.worker.fake_server import FakeServer

Serve = Callable[..., FakeServer]
Employ = Callable[..., RunningWorker]

FAULTY = """
import inspect, runpy, sys
sys.path.insert(0, {source!r})
from orchestune.worker import attempt, prepare
from orchestune.worker.files import checkpoint, collect
from orchestune.worker.processes import launcher
real = {where}
def surprise():
    raise KeyError("a surprise")
    yield
def faulty(*arguments, **more):
    if any({bad!r} in str(getattr(one, "lease", one)) for one in arguments):
        return surprise() if inspect.isgeneratorfunction(real) else next(surprise())
    return real(*arguments, **more)
{where} = faulty
runpy.run_module("orchestune.worker", run_name="__main__")
"""


def employ_faulty(employ: Employ, server: FakeServer, where: str, bad: str) -> RunningWorker:
    text = FAULTY.format(source=str(SOURCE), where=where, bad=bad)
    return employ(server, command=[sys.executable, "-I", "-W", "error", "-c", text])


@pytest.mark.parametrize(
    "where",
    [
        "launcher.Launcher.expect",
        "prepare.Preparation.at_once",
        "launcher.Launcher.start",
        "attempt.RunningAttempt.read",
        "attempt.RunningAttempt.read_metrics_file",
        "attempt.RunningAttempt.close",
        "collect.Collector.collect",
    ],
)
def test_they_end_that_trial_and_none_beside_it(serve: Serve, employ: Employ, where: str) -> None:
    server = serve("echo loss={x}; sleep 2", parameters=["x", "kind"])
    good, bad = server.queue({"x": 1, "kind": "plain"}), server.queue({"x": 2, "kind": "odd one"})
    worker = employ_faulty(employ, server, where, "odd one")
    finished = server.finished(bad).finished
    assert finished is not None
    assert (finished["state"], finished["reason"]["code"]) == ("failed", "sandbox")
    assert "a surprise" in finished["reason"]["message"]
    reports = server.finished(good)
    assert reports.finished is not None and reports.finished["state"] == "succeeded"
    assert reports.values("loss") == [1.0]
    assert len(server.registered) == 1
    assert "Traceback" in worker.log.read_text()


def test_a_revision_that_cannot_be_read_fails_its_trials_and_no_others(serve: Serve, employ: Employ) -> None:
    server = serve("echo loss=1; sleep 2")
    good = server.queue()
    worker = employ(server)
    server.wait(lambda: server.attempts[good].log, what="a line of the trial that runs")
    server.job["collect"] = [{"kind": "regex", "where": "loss=(?<value>", "file": None}]
    finished = server.finished(server.queue(revision=2)).finished
    assert finished is not None
    assert (finished["state"], finished["reason"]["code"]) == ("failed", "sandbox")
    assert "revision 2 cannot be compiled by the worker" in finished["reason"]["message"]
    reports = server.finished(good)
    assert reports.finished is not None and reports.finished["state"] == "succeeded"
    assert worker.guard.poll() is None


def test_files_that_a_command_names_are_looked_at_beside_the_loop(serve: Serve, employ: Employ) -> None:
    server = serve("true")
    attempt = server.queue()
    patch = (
        "import threading; from orchestune.worker.files import artifacts; "
        "artifacts.listed = lambda listing, unchanged: (print("
    )
    patch += "'looked at in', threading.current_thread().name, flush=True), [])[1]; "
    server.job["run"] = "echo > $ORCHESTUNE_ARTIFACTS"
    boot = BOOT.format(str(SOURCE)).replace("runpy.run_module", patch + "runpy.run_module")
    worker = employ(server, command=[sys.executable, "-I", "-W", "error", "-c", boot])
    assert (server.finished(attempt).finished or {})["state"] == "succeeded"
    assert "looked at in crew" in worker.log.read_text()


def test_a_checkpoint_that_cannot_be_packed_keeps_nobody_waiting(serve: Serve, employ: Employ) -> None:
    server = serve("echo loss=1; echo x > $ORCHESTUNE_CHECKPOINT_DIR/x", checkpoint_every=60)
    attempt = server.queue()
    worker = employ_faulty(employ, server, "checkpoint.pack", attempt)
    reports = server.finished(attempt)
    assert reports.finished is not None and reports.finished["state"] == "succeeded"
    assert "the checkpoint was not published" in reports.log.decode()
    assert "Traceback" in worker.log.read_text()


def test_a_slot_without_a_folder_loses_its_trial_and_the_worker_goes_on(serve: Serve, employ: Employ) -> None:
    server = serve("echo loss=1")
    attempt = server.queue()
    worker = employ(server, command=[sys.executable, "-I", "-W", "error", "-c", NO_FOLDER.format(source=str(SOURCE))])
    finished = server.finished(attempt).finished
    assert finished is not None
    assert (finished["state"], finished["reason"]["code"]) == ("lost", "sandbox")
    report = server.finished(server.queue()).finished
    assert report is not None and report["state"] == "succeeded"
    assert worker.guard.poll() is None


NO_FOLDER = """
import itertools, runpy, sys
sys.path.insert(0, {source!r})
from orchestune.worker import supervisor
real, count = supervisor.Slot, itertools.count()
def slot(index, folder):
    if next(count) == 0:
        raise OSError(28, "No space left on device")
    return real(index, folder)
supervisor.Slot = slot
runpy.run_module("orchestune.worker", run_name="__main__")
"""
