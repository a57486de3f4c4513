"""Nothing that a trial started outlives it, its worker or the guard."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.integration.worker.conftest import BOOT, SOURCE, RunningWorker, read_pids, until
from tests.integration.worker.fake_server import AttemptReports, FakeServer
from tests.testbeds.processes import alive

Serve = Callable[..., FakeServer]
Employ = Callable[..., RunningWorker]

FAMILY = """
import os, subprocess, sys, time
folder = sys.argv[1]
def write(name):
    part = os.path.join(folder, name + ".part")
    with open(part, "w") as file:
        file.write(str(os.getpid()))
    os.rename(part, os.path.join(folder, name + ".pid"))
write("leader")
if os.fork() == 0:
    write("child")
    time.sleep(600)
if os.fork() == 0:
    os.setsid()
    write("session")
    if os.fork() == 0:
        write("daemon")
        time.sleep(600)
    time.sleep(600) if sys.argv[2] == "stay" else os._exit(0)
if os.fork() == 0:
    os.setsid()
    with open(os.path.join(folder, "bare.pid"), "w") as file:
        file.write(str(os.getpid()))
    os.execve("/bin/sleep", ["sleep", "600"], {})
while len([name for name in os.listdir(folder) if name.endswith(".pid")]) < 5:
    time.sleep(0.01)
print("loss=1", flush=True)
time.sleep(600) if sys.argv[2] == "stay" else None
"""


def family(folder: Path, manner: str) -> list[str]:
    folder.mkdir(exist_ok=True)
    return [sys.executable, "-c", FAMILY, str(folder), manner]


def all_gone(pids: list[int]) -> bool:
    return not any(alive(pid) for pid in pids)


def test_descendants_in_other_groups_are_gone_before_the_end_is_reported(
    serve: Serve, employ: Employ, tmp_path: Path
) -> None:
    server = serve(family(tmp_path / "pids", "go"))
    attempt = server.queue()
    employ(server)
    reports = server.finished(attempt)
    assert reports.finished is not None and reports.finished["state"] == "succeeded"
    pids = read_pids(tmp_path / "pids", 5)
    assert all_gone(pids)


def test_a_neighbours_daemon_lives_on(serve: Serve, employ: Employ, tmp_path: Path) -> None:
    folder = tmp_path / "pids"
    code = ["sh", "-c", 'if [ {kind} = long ]; then exec "$@"; fi; echo loss=2', "sh", *family(folder, "stay")]
    server = serve(code, parameters=["kind"])
    employ(server)
    long = server.queue({"kind": "long"})
    pids = read_pids(folder, 5)
    for _ in range(20):
        server.finished(server.queue({"kind": "short"}))
    assert all(alive(pid) for pid in pids)
    server.stop_attempt(long)
    finished = server.finished(long).finished
    assert finished is not None and finished["state"] == "cancelled"
    assert all_gone(pids)


NOT_OURS = """
import os
def refusing(send):
    def kill(pid, number):
        try:
            with open("/proc/%d/comm" % pid) as file:
                name = file.read()
        except OSError:
            name = ""
        if name == "not-ours\\n":
            raise PermissionError(1, "Operation not permitted")
        send(pid, number)
    return kill
os.kill, os.killpg = refusing(os.kill), refusing(os.killpg)
"""
"""the system's answer to signals for another user's process, as `sudo` starts them"""

WAIT_FOR_FOREIGN = "until grep -qs not-ours /proc/$(cat {0}/a.pid 2>/dev/null)/comm; do sleep 0.01; done"


@pytest.mark.parametrize(
    ("run", "state"),
    [
        (f"setsid sh -c 'echo $$ > {{0}}/a.pid; exec {{0}}/not-ours 600' & {WAIT_FOR_FOREIGN}", "succeeded"),
        ("echo $$ > {0}/a.pid; exec {0}/not-ours 600", "failed"),
    ],
)
def test_nobody_waits_for_a_process_that_cannot_be_ended(
    serve: Serve, employ: Employ, tmp_path: Path, run: str, state: str
) -> None:
    (tmp_path / "not-ours").symlink_to("/bin/sleep")
    server = serve(["sh", "-c", run.format(tmp_path) + "; echo loss=1"], timeout=2, grace=0.2)
    attempt = server.queue()
    boot = NOT_OURS + BOOT.format(str(SOURCE))
    worker = employ(server, command=[sys.executable, "-I", "-W", "error", "-c", boot])
    reports = server.finished(attempt)
    [other] = read_pids(tmp_path, 1)
    try:
        assert reports.finished is not None and reports.finished["state"] == state, reports.log
        assert f"process {other} belongs to another user: it cannot be killed and keeps running" in reports.log.decode()
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        assert alive(other)
    finally:
        os.kill(other, signal.SIGKILL)


@pytest.mark.parametrize("victim", ["worker", "guard", "group"])
def test_killing_the_worker_or_its_guard_leaves_no_process(
    serve: Serve, employ: Employ, tmp_path: Path, victim: str
) -> None:
    server = serve(family(tmp_path / "pids", "stay"))
    server.queue()
    worker = employ(server)
    pids = [*read_pids(tmp_path / "pids", 5), worker.pid]
    if victim == "worker":
        os.kill(worker.pid, signal.SIGKILL)
    elif victim == "guard":
        os.kill(worker.guard.pid, signal.SIGKILL)
    else:
        os.killpg(worker.guard.pid, signal.SIGKILL)
    until(lambda: all_gone(pids), "the end of every process")
    worker.wait()


def test_a_worker_without_a_server_ends_quietly_with_its_guard(serve: Serve, employ: Employ) -> None:
    server = serve("true")
    server.fault = lambda route, body: "refuse"
    worker = employ(server)
    pid = worker.pid
    until(lambda: "retrying" in worker.log.read_text(), "the worker to look for its server")
    worker.guard.kill()
    until(lambda: not alive(pid), "the end of the worker")
    assert worker.log.read_text().splitlines()[-1].endswith("the guard has died: killing all attempts")


def test_a_command_that_ignores_sigterm_is_killed_after_the_grace(serve: Serve, employ: Employ) -> None:
    server = serve(["sh", "-c", "trap '' TERM; echo loss=1; while :; do sleep 0.1; done"], grace=1)
    attempt = server.queue()
    employ(server)
    server.wait(lambda: server.attempts[attempt].values("loss"))
    server.stop_attempt(attempt, "pruned")
    finished = server.finished(attempt).finished
    assert finished is not None
    assert (finished["state"], finished["signal"]) == ("pruned", signal.SIGKILL)
    assert finished["reason"] == {"code": "pruned", "message": "it was pruned"}


def test_a_pruned_command_finds_the_reason_before_the_signal_and_may_end_in_good_order(
    serve: Serve, employ: Employ
) -> None:
    code = 'trap \'cat "$ORCHESTUNE_STOP"; echo loss=0.5; exit 0\' TERM; [ -e "$ORCHESTUNE_STOP" ] || echo loss=1; '
    server = serve(["sh", "-c", code + "while :; do sleep 0.1; done"], grace=30, slots=1)
    first, second = server.queue(), server.queue()
    employ(server)
    for attempt in (first, second):
        reports = server.attempts[attempt]
        server.wait(partial(reports.values, "loss"))
        server.stop_attempt(attempt, "pruned")
        finished = server.finished(attempt).finished
        assert finished is not None
        assert (finished["state"], finished["exit_code"]) == ("pruned", 0)
        assert reports.values("loss") == [1.0, 0.5], "the second one, in the same place, finds no file of the first one"
        assert b'{"state": "pruned", "code": "pruned", "message": "it was pruned"}' in reports.log
        assert b"orchestune: stopping this trial early: it was pruned\n" in reports.log


def test_an_order_may_bring_a_grace_of_its_own(serve: Serve, employ: Employ) -> None:
    server = serve(["sh", "-c", "trap '' TERM; echo loss=1; while :; do sleep 0.1; done"], grace=3600)
    attempt = server.queue()
    employ(server)
    server.wait(lambda: server.attempts[attempt].values("loss"))
    server.stop_attempt(attempt, "pruned", grace=0.5)
    finished = server.finished(attempt).finished
    assert finished is not None and finished["signal"] == signal.SIGKILL


def test_a_command_that_has_ended_by_itself_when_the_order_comes_keeps_its_end(
    serve: Serve, employ: Employ, tmp_path: Path
) -> None:
    code = f"echo $$ > {tmp_path}/leader.pid; echo loss=1; until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo loss=2"
    server = serve(["sh", "-c", code])
    attempt = server.queue()
    worker = employ(server)
    (pid,) = read_pids(tmp_path, 1)
    server.wait(lambda: server.attempts[attempt].values("loss"))
    frozen = worker.pid
    os.kill(frozen, signal.SIGSTOP)
    server.stop_attempt(attempt, "pruned")
    (tmp_path / "go").touch()
    until(lambda: not alive(pid), "the end of the command")
    os.kill(frozen, signal.SIGCONT)
    reports = server.finished(attempt)
    assert reports.finished is not None and reports.finished["state"] == "succeeded"
    assert reports.values("loss") == [1.0, 2.0]


def stopped_below_a_shell(serve: Serve, employ: Employ, child: str) -> AttemptReports:
    """Return the outcome of an attempt whose shell ends at once when stopped, after its child reported a loss."""
    server = serve(["sh", "-c", '"$@"; true', "sh", sys.executable, "-c", child], grace=20)
    attempt = server.queue()
    employ(server)
    server.wait(lambda: server.attempts[attempt].values("loss"))
    server.stop_attempt(attempt)
    return server.finished(attempt)


def test_a_child_has_the_grace_to_save_what_it_has_after_its_shell_died(serve: Serve, employ: Employ) -> None:
    child = (
        "import signal, sys, time; "
        "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), print('saved', flush=True), sys.exit(0)))\n"
        "print('loss=1', flush=True); time.sleep(600)"
    )
    assert b"saved" in stopped_below_a_shell(serve, employ, child).log


def test_the_wall_time_lasts_until_the_last_process_has_ended(serve: Serve, employ: Employ) -> None:
    child = (
        "import signal, sys, time; began = time.monotonic()\n"
        "def end(*_): time.sleep(1); print('lived', time.monotonic() - began, flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end); print('loss=1', flush=True); time.sleep(600)"
    )
    reports = stopped_below_a_shell(serve, employ, child)
    assert reports.finished is not None and reports.finished["signal"] == signal.SIGTERM
    assert reports.finished["wall"] > float(reports.log.split()[-1]) - 0.5


def test_sigterm_to_the_worker_preempts_its_trials_and_ends_it(serve: Serve, employ: Employ, tmp_path: Path) -> None:
    server = serve(family(tmp_path / "pids", "stay"))
    attempt = server.queue()
    worker = employ(server)
    pids = read_pids(tmp_path / "pids", 5)
    server.wait(lambda: server.attempts[attempt].values("loss"))
    worker.guard.send_signal(signal.SIGTERM)
    assert worker.wait() == 0
    reports = server.finished(attempt)
    assert reports.finished is not None
    assert reports.finished["state"] == "preempted"
    assert reports.finished["reason"]["code"] == "worker_stopped"
    assert all_gone(pids)


def test_gone_ends_everything_with_success(serve: Serve, employ: Employ, tmp_path: Path) -> None:
    server = serve(family(tmp_path / "pids", "stay"))
    server.queue()
    worker = employ(server)
    pids = read_pids(tmp_path / "pids", 5)
    server.over = True
    assert worker.wait() == 0
    assert all_gone(pids)


def test_a_refused_token_ends_the_worker_with_an_error(serve: Serve, employ: Employ) -> None:
    server = serve("true")
    worker = employ(server)
    server.wait(lambda: server.beats)
    server.token = "another"
    assert worker.wait() == 1
    assert "who are you?" in worker.log.read_text()


def test_a_stopped_process_wakes_up_to_end(serve: Serve, employ: Employ, tmp_path: Path) -> None:
    server = serve(["sh", "-c", f"echo $$ > {tmp_path}/leader.pid; echo loss=1; sleep 600"], grace=20)
    attempt = server.queue()
    employ(server)
    (pid,) = read_pids(tmp_path, 1)
    server.wait(lambda: server.attempts[attempt].values("loss"))
    os.kill(pid, signal.SIGSTOP)
    server.stop_attempt(attempt)
    finished = server.finished(attempt).finished
    assert finished is not None and finished["state"] == "cancelled"


def test_what_was_superseded_while_the_worker_was_frozen_is_ended_and_its_log_still_sent(
    serve: Serve, employ: Employ, tmp_path: Path
) -> None:
    code = f"echo $$ > {tmp_path}/leader.pid; echo loss=1; until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo late; "
    server = serve(["sh", "-c", f"{code} touch {tmp_path}/said; sleep 600"])
    attempt = server.queue()
    worker = employ(server)
    (pid,) = read_pids(tmp_path, 1)
    server.wait(lambda: server.attempts[attempt].values("loss"))
    frozen = worker.pid
    os.kill(frozen, signal.SIGSTOP)
    server.superseded.add(attempt)
    (tmp_path / "go").touch()
    until(lambda: (tmp_path / "said").exists(), "the late line")
    os.kill(frozen, signal.SIGCONT)
    server.wait(lambda: b"late" in server.attempts[attempt].log)
    until(lambda: not alive(pid), "the end of the superseded command")
    assert server.attempts[attempt].finished is None


FORKED = """
import os, sys, time
from orchestune.worker.processes import guard
folder, fork = sys.argv[1], os.fork
def slowly():
    pid = fork()
    if pid == 0:
        os.rename(os.path.join(folder, "begun"), os.path.join(folder, "forked"))
        while not os.path.exists(os.path.join(folder, "told")):
            time.sleep(0.01)
    return pid
os.fork = slowly
sys.exit(guard.run_guarded(lambda line: time.sleep(600)))
"""


def test_a_signal_right_after_the_worker_was_forked_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / "begun").touch()
    guard = subprocess.Popen([sys.executable, "-c", FORKED, str(tmp_path)])
    try:
        until((tmp_path / "forked").exists, "the fork")
        guard.terminate()
        time.sleep(0.5)  # for it to be handed on; later it would find a worker that knows it
        (tmp_path / "told").touch()
        assert guard.wait(60.0) == 128 + signal.SIGTERM
    finally:
        guard.kill()
        guard.wait()
