"""`kill -9` of the server changes nothing but latency."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.scene import attempts, eventually, kill_server, launch, reached, server_pid, write
from tests.testbeds.home import Home

RESTARTS = 10


def completed(home: Home, handle: str) -> int:
    count: int = home.json("status", handle)["counts"]["completed"]
    return count


def until_completed(home: Home, handle: str, count: int) -> None:
    eventually(lambda: completed(home, handle) >= count, f"{count} trials are over", home)


def test_following_goes_on_and_each_trial_runs_once_though_the_server_is_killed(home: Home, tmp_path: Path) -> None:
    project = write(tmp_path / "followed", "sleep 0.5; echo line; echo loss={x}", budget=12)
    follower = home.start("run", cwd=project)
    handle = eventually(lambda: [s["handle"] for s in home.json("status")], "it is there", home)[0]
    for count in (2, 6):
        until_completed(home, handle, count)
        kill_server(home)
    out, err = follower.communicate(timeout=120)
    assert follower.returncode == 0, out + err
    status = home.json("status", handle)
    assert (status["state"], status["counts"]["completed"], status["counts"]["failed"]) == ("completed", 12, 0)
    assert [(a["trial"], a["state"]) for a in attempts(home, handle)] == [(n, "succeeded") for n in range(1, 13)]
    assert home.run("logs", handle).stdout.count("│ line") == 12


def test_running_trials_end_without_a_server_and_what_they_found_is_there_later(home: Home, tmp_path: Path) -> None:
    command = (
        "touch $ORCHESTUNE_ORIGINAL_DIR/began-$ORCHESTUNE_TRIAL; echo before;"
        "while [ ! -e $ORCHESTUNE_ORIGINAL_DIR/go ]; do sleep 0.1; done; echo after; echo loss={x};"
        "touch $ORCHESTUNE_ORIGINAL_DIR/ended-$ORCHESTUNE_TRIAL"
    )
    project = write(tmp_path / "alone", command, budget=2)
    handle = launch(home, project)
    eventually(lambda: len(list(project.glob("began-*"))) == 2, "both trials run", home)
    killed = kill_server(home)
    (project / "go").touch()
    eventually(lambda: len(list(project.glob("ended-*"))) == 2, "both trials went on without a server", home)
    assert server_pid(home) == killed, "nobody started another one meanwhile"
    status = reached(home, handle, "completed")
    assert status["counts"]["completed"] == 2
    assert [a["state"] for a in attempts(home, handle)] == ["succeeded", "succeeded"]
    text = home.run("logs", handle).stdout
    assert (text.count("before"), text.count("after")) == (2, 2)


def test_a_restarted_server_suggests_what_the_one_before_would_have(home: Home, tmp_path: Path) -> None:
    keys: dict[str, Any] = {
        "parameters": {"x": "0.0..1.0", "kind": ["a", "b"], "n": {"min": 1, "max": 9, "when": {"kind": "a"}}},
        "engine": "tpe",
        "seed": 7,
        "budget": 14,
        "parallelism": 1,
    }
    calm = write(tmp_path / "calm", "echo loss={x}", **keys)
    home.run("run", cwd=calm)
    stormy = write(tmp_path / "stormy", "sleep 0.2; echo loss={x}", **keys)
    handle = launch(home, stormy)
    for _ in range(RESTARTS):
        before = completed(home, handle)
        kill_server(home)
        until_completed(home, handle, min(before + 1, 14))
    reached(home, handle, "completed")
    expected, suggestions = ([trial["parameters"] for trial in home.json("trials", cwd=at)] for at in (calm, stormy))
    assert len(expected) == 14
    assert suggestions == expected


def test_a_server_is_found_again_after_somebody_removed_the_file_that_tells_of_it(home: Home, tmp_path: Path) -> None:
    home.run("run", cwd=write(tmp_path / "short", "echo loss={x}", budget=1))
    before = server_pid(home)
    (home.folder / "endpoint.json").unlink()
    assert len(home.json("status")) == 1
    assert server_pid(home) == before


def test_no_process_for_engines_is_there_before_one_of_them_learns(shared_home: Home, tmp_path: Path) -> None:
    def of_engines() -> list[str]:
        return [words for words in shared_home.processes().values() if "orchestune.engines.process.child" in words]

    shared_home.run("run", cwd=write(tmp_path / "drawn", "echo loss={x}", budget=2))
    assert of_engines() == []
    shared_home.run("run", cwd=write(tmp_path / "learnt", "echo loss={x}", budget=2, engine="tpe"))
    assert len(of_engines()) == 1
