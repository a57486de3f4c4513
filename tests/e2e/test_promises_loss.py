"""A worker that dies takes its processes along, costs no budget, and differs from a trial that kills workers."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.e2e.scene import attempts, eventually, launch, new_nap, reached, sleepers, workers, write
from tests.testbeds.control import Control
from tests.testbeds.home import Home
from tests.testbeds.processes import alive


@pytest.mark.parametrize("victim", ["guard", "worker"])
def test_what_ran_on_a_killed_worker_is_gone_within_five_seconds_and_offered_again_for_nothing(
    shared_home: Home, tmp_path: Path, victim: str
) -> None:
    home, nap = shared_home, new_nap()
    command = (
        f"[ -e $ORCHESTUNE_ORIGINAL_DIR/go ] || {{ (setsid env -i sleep {nap} &); sleep {nap}; }}; echo loss={{x}}"
    )
    project = write(tmp_path / victim, command, budget=4)
    handle = launch(home, project)
    running = eventually(lambda: pids if len(pids := sleepers(nap)) == 4 else None, "both trials run", home)
    states = {attempt["state"] for attempt in attempts(home, handle)}
    eventually(lambda: {a["state"] for a in attempts(home, handle)} == {"running"}, f"known to run: {states}", home)
    (project / "go").touch()
    guards = workers(home)
    for guard, children in guards.items():
        os.kill(guard if victim == "guard" else children[0], signal.SIGKILL)
    assert running is not None
    with Control(5.0) as control:
        assert control.outlives(lambda: any(alive(pid) for pid in running)), "the user's processes are still there"
    status = reached(home, handle, "completed")
    assert (status["counts"]["completed"], status["counts"]["failed"]) == (4, 0)
    ended = attempts(home, handle)
    lost = [attempt for attempt in ended if attempt["state"] == "lost"]
    assert sorted(attempt["trial"] for attempt in lost) == [1, 2]
    assert {attempt["reason"]["code"] for attempt in lost} == {"worker_lost"}
    assert sorted(attempt["trial"] for attempt in ended if attempt["state"] == "succeeded") == [1, 2, 3, 4]


def test_a_frozen_worker_is_told_of_after_the_lease_and_its_trial_runs_elsewhere(tmp_path: Path) -> None:
    nap = new_nap()
    with Home(ORCHESTUNE_LEASE_SECONDS="6", ORCHESTUNE_BEAT_SECONDS="1") as home:
        command = f"[ -e $ORCHESTUNE_ORIGINAL_DIR/go ] || sleep {nap}; echo loss={{x}}"
        project = write(tmp_path / "frozen", command, budget=1, parallelism=1)
        handle = launch(home, project)
        eventually(lambda: len(sleepers(nap)) == 1, "the trial runs", home)
        eventually(lambda: [a["state"] for a in attempts(home, handle)] == ["running"], "and is known to", home)
        [(guard, children)] = workers(home).items()
        (project / "go").touch()
        frozen = [guard, *children]
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            status = reached(home, handle, "completed")
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
        assert (status["counts"]["completed"], status["counts"]["failed"]) == (1, 0)
        assert [attempt["state"] for attempt in attempts(home, handle)] == ["lost", "succeeded"]
        assert "for 6 s" in attempts(home, handle)[0]["reason"]["message"]


@pytest.mark.parametrize("wait", ["sleep 3; ", ""], ids=["later", "at once"])
def test_a_trial_that_kills_its_workers_runs_alone_and_then_pauses_the_experiment(
    shared_home: Home, tmp_path: Path, wait: str
) -> None:
    home = shared_home
    spared = "[ $ORCHESTUNE_TRIAL != 2 ] || [ -e $ORCHESTUNE_ORIGINAL_DIR/go ]"
    kill = f"{spared} || {{ {wait}kill -9 $PPID; sleep 60; }}"
    project = write(tmp_path / "killer", f"{kill}; echo loss={{x}}", budget=5)
    handle = launch(home, project)
    status = reached(home, handle, "paused", timeout=150)
    assert status["reason"]["code"] == "trial_kills_workers"
    assert "trial 2 lost its worker" in status["reason"]["message"]
    assert status["counts"]["failed"] == 0
    lost = [attempt for attempt in attempts(home, handle) if attempt["state"] == "lost" and attempt["trial"] == 2]
    assert len(lost) >= 5
    (project / "go").touch()
    home.run("resume", handle)
    status = reached(home, handle, "completed")
    assert (status["counts"]["completed"], status["counts"]["failed"]) == (5, 0)
