"""Each example runs for real, on the embedded server, as its README says."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.testbeds.home import Home

EXAMPLES = Path(__file__).parents[2] / "examples"
CLUSTER_EXAMPLES = {"09-two-gpus", "10-no-shell"}
"""what takes a cluster, and runs in tests/kubernetes"""
SCRIPTS = {"14-tune-a-function", "15-sklearn-search", "20-hydra"}
"""what Python starts, without an experiment file"""
TORCH = {"26-torchrun", "27-lora"}
"""what takes PyTorch, and runs in tests/integration/callbacks"""
NOTEBOOKS = {"17-notebook"}
"""what `test_notebook.py` executes"""
FOLDERS = sorted(
    {folder.name for folder in EXAMPLES.glob("[0-9][0-9]-*")} - CLUSTER_EXAMPLES - SCRIPTS - TORCH - NOTEBOOKS
)
PRUNED = {"11-early-stopping", "22-lightning-log", "28-gymnasium"}
"""what ends some of its trials early"""
PGBENCH = next(map(str, Path("/usr/lib/postgresql").glob("*/bin/pgbench")), "pgbench")
PROGRAMS = {
    "03-cpp": os.environ.get("CXX", "c++"),
    "23-java": "javac",
    "24-nodejs": "node",
    "25-go": "go",
    "29-postgresql": PGBENCH,
    "31-r": "Rscript",
}
"""what an example takes beside Python"""
DEADLINE = 120.0
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the example, so that the run sees nothing but its files."""
    program = PROGRAMS.get(request.param)
    if program and shutil.which(program) is None:
        pytest.skip(f"there is no {program} here")
    return Path(shutil.copytree(EXAMPLES / request.param, tmp_path / request.param))


def attempts(home: Home, project: Path) -> list[dict[str, Any]]:
    return [attempt for trial in home.json("trials", cwd=project) for attempt in trial["attempts"]]


def newest(home: Home) -> dict[str, Any]:
    """The status of the example that was run last."""
    status: dict[str, Any] = home.json("status", home.json("status", "--limit", "1")[0]["handle"])
    return status


def words(project: Path) -> list[str]:
    """Return the command in the example's README, for an example without a file."""
    return ["run"] if (project / "experiment.yml").exists() else typed(project, "orchestune")


def typed(project: Path, program: str) -> list[str]:
    """The words after the program in the one command of the example's README that starts with it."""
    text = (project / "README.md").read_text()
    [command] = re.findall(rf"^{program} (.*?)\n```", text, re.MULTILINE | re.DOTALL)
    return shlex.split(command.replace("\\\n", " "))


@pytest.mark.parametrize("project", FOLDERS, indirect=True)
def test_an_example_completes_its_whole_budget_without_a_failed_trial(shared_home: Home, project: Path) -> None:
    shared_home.run(*words(project), cwd=project)
    status = newest(shared_home)
    assert status["state"] == "completed"
    assert status["counts"]["completed"] + status["counts"]["pruned"] == status["budget"]
    assert status["counts"]["failed"] == 0
    assert (status["counts"]["pruned"] > 0) == (project.name in PRUNED)
    assert status["best"]
    assert not status["counts"]["running"]


@pytest.mark.parametrize("project", sorted(SCRIPTS), indirect=True)
def test_a_script_that_drives_its_search_prints_the_best(shared_home: Home, project: Path) -> None:
    done = subprocess.run(
        [sys.executable, *typed(project, "python")],
        cwd=project,
        env=shared_home.env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}{shared_home.server_log()}"
    assert re.search(r"\bbest\b.*: ", done.stdout)
    status = newest(shared_home)
    assert status["state"] == "completed"
    assert status["counts"]["completed"] == status["budget"] == 12


@pytest.mark.parametrize("project", ["29-postgresql"], indirect=True)
def test_a_server_that_a_trial_has_started_ends_with_the_trial(shared_home: Home, project: Path) -> None:
    home, deadline = shared_home, time.monotonic() + DEADLINE
    home.run("run", "--detach", "--", "python", "benchmark.py", "--seconds", "600", "{args}", cwd=project)
    before = servers()
    while not (started := servers() - before):
        assert time.monotonic() < deadline, home.look("logs", cwd=project)
    while (addresses := [listen_addresses(folder) for folder in started]) == [None]:
        assert time.monotonic() < deadline, home.look("logs", cwd=project)
    assert addresses == [""], "other users of the machine could connect, as a superuser without a password"
    home.run("stop", cwd=project)
    while servers() & started or any(Path(folder).exists() for folder in started):
        assert time.monotonic() < deadline, home.look("logs", cwd=project)


def servers() -> set[str]:
    """Return the data folders of the running servers that trials of the example have started."""
    folders = set[str]()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile
            folders.add(os.readlink(process / "cwd"))
    return {folder for folder in folders if Path(folder).parent.name.startswith("postgresql-")}


def listen_addresses(folder: str) -> str | None:
    """Return the addresses of the TCP ports of a server; None until it is ready."""
    with suppress(OSError):
        lines = (Path(folder) / "postmaster.pid").read_text().splitlines()
        if len(lines) > 7 and "ready" in lines[7]:
            return lines[5]
    return None


@pytest.mark.parametrize("project", ["06-checkpoint-and-resume"], indirect=True)
def test_a_paused_trial_goes_on_from_its_checkpoint(shared_home: Home, project: Path) -> None:
    home = shared_home
    home.run("run", "--detach", cwd=project)
    deadline = time.monotonic() + DEADLINE
    while "epoch 5:" not in home.look("logs", cwd=project, expect=None):
        assert time.monotonic() < deadline, home.server_log()
    home.run("pause", "--now", cwd=project)
    while any(attempt["state"] in ("leased", "running") for attempt in attempts(home, project)):
        assert time.monotonic() < deadline, home.server_log()
    home.run("resume", cwd=project)
    home.run("wait", cwd=project)
    assert "resumed after epoch" in home.run("logs", cwd=project).stdout
    status = newest(home)
    assert status["counts"]["completed"] == status["budget"]


@pytest.mark.parametrize("project", ["31-r"], indirect=True)
def test_each_trial_of_an_r_script_has_its_own_constants_and_the_script_stays(shared_home: Home, project: Path) -> None:
    source = (project / "ridge.R").read_text()
    proposed = shared_home.run("init", "ridge.R", "--minimize", "rmse", "-o", "proposed.yml", cwd=project)
    assert "4 constants" in proposed.stdout + proposed.stderr
    shared_home.run("run", "--set", "budget=4", cwd=project)
    handle = newest(shared_home)["handle"]
    for number in range(1, 5):
        trial = shared_home.json("trials", f"{handle}/{number}")
        direct = source
        for name, value in trial["parameters"].items():
            literal = {True: "TRUE", False: "FALSE"}[value] if isinstance(value, bool) else json.dumps(value)
            direct = re.sub(rf"^{name} <- \S+", f"{name} <- {literal}", direct, flags=re.MULTILINE)
        script = project / "direct.R"
        script.write_text(direct)
        printed = subprocess.run(["Rscript", str(script)], capture_output=True, text=True, check=True).stdout
        assert float(printed.removeprefix("rmse:")) == trial["metrics"]["rmse"]["value"]
    assert (project / "ridge.R").read_text() == source
