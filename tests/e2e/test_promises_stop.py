"""`stop` frees everything, also if a command resists."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.scene import eventually, kill_server, launch, new_nap, reached, server_pid, sleepers, workers, write
from tests.testbeds.control import Control
from tests.testbeds.home import Home

COMMANDS = {
    "plain": ("sleep {nap}", 1),
    "ignores SIGTERM": ("trap '' TERM; sleep {nap}; sleep {nap}", 1),
    "in sessions of their own": ("setsid sleep {nap} & (setsid sh -c 'sleep {nap} & sleep {nap}' &); sleep {nap}", 4),
    "without any environment": ("(env -i setsid sleep {nap} &); exec env -i sleep {nap}", 2),
}
GRACE = 1.0
"""seconds; what `write` gives every experiment here"""


@pytest.mark.parametrize("kind", COMMANDS)
def test_stop_leaves_no_process_two_seconds_after_the_grace_and_says_stopped_only_then(
    shared_home: Home, tmp_path: Path, kind: str
) -> None:
    home, nap = shared_home, new_nap()
    command, each = COMMANDS[kind]
    handle = launch(home, write(tmp_path / "stopped", command.replace("{nap}", nap), budget=10))
    eventually(lambda: len(sleepers(nap)) == 2 * each, f"{2 * each} processes of both trials", home)
    home.run("stop", handle)
    with Control(2.0, after=GRACE) as control:
        assert control.outlives(lambda: bool(sleepers(nap))), f"still there: {sleepers(nap)}"
        assert control.outlives(lambda: bool(workers(home))), f"its workers are still there: {workers(home)}"
    status = reached(home, handle, "stopped")
    assert not sleepers(nap)
    assert {state for state, count in status["counts"].items() if count} == {"cancelled"}
    assert status["reason"]["code"] == "stopped"


def test_stop_reaches_trials_while_the_server_is_killed_again_and_again(home: Home, tmp_path: Path) -> None:
    nap = new_nap()
    handle = launch(home, write(tmp_path / "stopped", f"trap '' TERM; sleep {nap}; sleep {nap}"))
    eventually(lambda: len(sleepers(nap)) == 2, "both trials run", home)
    home.run("stop", handle)
    killed = kill_server(home)
    reached(home, handle, "stopped")
    assert server_pid(home) != killed
    assert not sleepers(nap)


def test_a_trial_has_its_grace_to_say_goodbye(shared_home: Home, tmp_path: Path) -> None:
    home, nap = shared_home, new_nap()
    command = f"trap 'echo goodbye; exit 1' TERM; echo ready; sleep {nap} & wait"
    handle = launch(home, write(tmp_path / "polite", command, budget=1, parallelism=1, grace="60s"))
    eventually(lambda: "ready" in home.look("logs", handle), "the trial runs", home)
    home.run("stop", handle)
    reached(home, handle, "stopped")
    eventually(lambda: "goodbye" in home.look("logs", handle), "its last word is in the log", home)
    assert home.json("status", handle)["counts"]["failed"] == 0


def test_one_trial_is_stopped_and_another_one_takes_its_place(shared_home: Home, tmp_path: Path) -> None:
    home, nap = shared_home, new_nap()
    command = f'test "$ORCHESTUNE_TRIAL" != 1 || sleep {nap}; echo loss=1'
    handle = launch(home, write(tmp_path / "one", command, budget=2, parallelism=1))
    eventually(lambda: len(sleepers(nap)) == 1, "the first trial runs", home)
    output = home.run("stop", f"{handle}/1").stdout
    assert output == f"{handle}/1: cancelled; another trial replaces it\n"
    status = reached(home, handle, "completed")
    assert not sleepers(nap)
    assert {state: count for state, count in status["counts"].items() if count} == {"completed": 2, "cancelled": 1}
    assert home.run("stop", f"{handle}/2").stdout == f"{handle}/2: completed; nothing to stop\n"
