"""Trials on this machine inherit the variables of the shell, which are kept apart from the record until the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.scene import eventually, kill_server, launch, reached, write
from tests.testbeds.home import Home

COMMAND = 'echo got ${MY_DATA_DIR:-nothing}; [ -n "$MY_DATA_DIR" ] && echo loss={x}'


@pytest.fixture
def with_variable() -> Iterator[Home]:
    with Home(MY_DATA_DIR="/data/here", SSH_AUTH_SOCK="/run/agent") as home:
        yield home


def environments(home: Home) -> list[Path]:
    return list((home.folder / "environments").glob("*"))


def test_trials_inherit_them_until_the_end_and_after_it_those_of_the_next_shell(
    with_variable: Home, tmp_path: Path
) -> None:
    home = with_variable
    project = write(tmp_path / "inheriting", COMMAND, budget=1)
    assert "(1 completed)" in home.run("run", cwd=project).stdout
    [handle] = [status["handle"] for status in home.json("status")]
    eventually(lambda: environments(home) == [], "the variables are deleted", home)
    home.env["MY_DATA_DIR"] = "/data/there"
    home.run("extend", handle, "--budget", "2")
    reached(home, handle, "completed")
    log = home.run("logs", handle).stdout
    assert "got /data/here" in log and "got /data/there" in log
    eventually(lambda: environments(home) == [], "the variables are deleted again", home)
    assert "(1 completed)" in home.run("rerun", f"{handle}/1", cwd=project).stdout
    assert "loss=" in home.run("try", handle, cwd=project).stdout
    output = home.run("shell", f"{handle}/1", "--", "sh", "-c", "echo $MY_DATA_DIR ${SSH_AUTH_SOCK:-none}", cwd=project)
    assert output.stdout.startswith("/data/there ")


def test_a_stopped_experiment_is_resumed_with_the_variables_of_the_shell(with_variable: Home, tmp_path: Path) -> None:
    home = with_variable
    wait = "while [ ! -e $ORCHESTUNE_ORIGINAL_DIR/go ]; do sleep 0.1; done"
    project = write(tmp_path / "resuming", f"{wait}; {COMMAND}", budget=1)
    handle = launch(home, project)
    eventually(lambda: len(environments(home)) == 1, "the variables are stored", home)
    home.run("stop", handle)
    reached(home, handle, "stopped")
    eventually(lambda: environments(home) == [], "the variables are deleted", home)
    (project / "go").touch()
    home.run("resume", handle)
    reached(home, handle, "completed")
    assert "got /data/here" in home.run("logs", handle).stdout


def test_they_outlive_a_restart_of_the_server(with_variable: Home, tmp_path: Path) -> None:
    home = with_variable
    wait = "while [ ! -e $ORCHESTUNE_ORIGINAL_DIR/go ]; do sleep 0.1; done"
    project = write(tmp_path / "restarted", f"{wait}; {COMMAND}", budget=2, parallelism=1)
    handle = launch(home, project)
    eventually(lambda: home.json("status", handle)["counts"]["running"], "a trial runs", home)
    kill_server(home)
    (project / "go").touch()
    reached(home, handle, "completed")
    assert home.run("logs", handle).stdout.count("got /data/here") == 2
    eventually(lambda: environments(home) == [], "the variables are deleted", home)


def test_inherit_false_turns_it_off_and_the_plan_names_what_is_missing(with_variable: Home, tmp_path: Path) -> None:
    home = with_variable
    project = write(tmp_path / "alone", COMMAND, budget=1, env={"inherit": False, "OTHER": "1"})
    done = home.run("run", cwd=project, expect=None)
    assert "the command reads MY_DATA_DIR of this shell, which trials do not get" in done.stdout
    assert "(0 completed" in done.stdout and environments(home) == []
    specification = home.json("run", "--dry-run", cwd=project)["specification"]
    assert (specification["env"], specification["inherit_env"]) == ({"OTHER": "1"}, False)
