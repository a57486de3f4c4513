"""Hydra's multirun with the sweeper of this package, as its page says."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.e2e.scene import eventually
from tests.testbeds.home import Home

PAGE = (Path(__file__).parents[2] / "docs/how-to/hydra.md").read_text()
SCRIPT = """
import hydra, orchestune, sys, time

@hydra.main(version_base=None, config_path="conf", config_name="config")
def train(config):
    {}

train()
"""
pytestmark = pytest.mark.timeout(300)


def program(folder: Path, body: str) -> Path:
    (folder / "conf").mkdir()
    (folder / "conf/config.yaml").write_text("x: 1.0\ny: 2\nopt: {name: sgd}\n")
    (folder / "train.py").write_text(SCRIPT.format(body.replace("\n", "\n    ")))
    return folder


def start(home: Home, folder: Path, *words: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "train.py", "-m", "hydra/sweeper=orchestune", *words],
        cwd=folder, env=home.env, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True,
    )  # fmt: skip


def sweep(home: Home, folder: Path, *words: str, expect: int = 0) -> str:
    with start(home, folder, *words) as process:
        out, err = process.communicate(timeout=200)
    assert process.returncode == expect, out + err + home.server_log()
    return out + err


def results(folder: Path) -> dict[str, Any]:
    [path] = folder.glob("multirun/*/*/optimization_results.yaml")
    document: dict[str, Any] = YAML(typ="safe").load(path)
    return document


def test_the_example_of_the_page_runs_as_it_stands(shared_home: Home, tmp_path: Path) -> None:
    for name, text in re.findall(r"^```\w+ (\S+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    [command] = re.findall(r"^python train.py -m hydra/sweeper=orchestune (.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    sweep(shared_home, tmp_path, *shlex.split(command.replace("\\\n", " ")))
    results_file = results(tmp_path)
    trials = shared_home.json("trials", results_file["experiment"])
    assert [trial["state"] for trial in trials] == ["completed"] * 8
    for trial in trials:
        parameters = trial["parameters"]
        value = trial["metrics"]["objective"]["value"]
        assert value == pytest.approx((parameters["optim.lr"] - 0.01) ** 2 + parameters["layers"])
        [folder] = tmp_path.glob(f"multirun/*/*/{trial['number']}")
        written = YAML(typ="safe").load(folder / ".hydra/config.yaml")
        assert written["optim"] == {"lr": pytest.approx(parameters["optim.lr"]), "name": parameters["optim.name"]}
        assert (folder / "train.log").exists()
    best = min(trials, key=lambda trial: trial["metrics"]["objective"]["value"])
    assert (results_file["trial"], results_file["best_params"]) == (best["number"], best["parameters"])


def test_trials_that_are_behind_are_ended_early_and_nothing_waits_for_a_batch(
    shared_home: Home, tmp_path: Path
) -> None:
    body = "for step in range(1, 40):\n    orchestune.report(objective=config.x, step=step)\n"
    body += "    time.sleep(0.1)\n    if orchestune.should_stop():\n        break\nreturn config.x"
    program(tmp_path, body)
    words = ["hydra.sweeper.budget=8", "hydra.sweeper.parallelism=4", "hydra.sweeper.keys={grace: 20s}"]
    out = sweep(shared_home, tmp_path, *words, "hydra.sweeper.early_stopping=asha", "x=interval(0,1)")
    assert len(re.findall(r"trial \d+ pruned", out)) >= 1
    trials = shared_home.json("trials", results(tmp_path)["experiment"])
    assert {trial["state"] for trial in trials} == {"completed", "pruned"}


def test_several_metrics_give_the_front(shared_home: Home, tmp_path: Path) -> None:
    program(tmp_path, "return config.x, -config.x")
    words = ["hydra.sweeper.metrics={a: minimize, b: minimize}", "hydra.sweeper.budget=3"]
    sweep(shared_home, tmp_path, *words, "x=interval(0,1)", "opt.name=sgd,adam")
    solutions = results(tmp_path)["solutions"]
    assert len(solutions) == 3
    assert all(solution["values"] == [solution["params"]["x"], -solution["params"]["x"]] for solution in solutions)


def test_a_misspelt_name_is_refused_before_anything_runs(shared_home: Home, tmp_path: Path) -> None:
    program(tmp_path, "return config.x")
    before = len(shared_home.json("status"))
    assert "opt.nmae" in sweep(shared_home, tmp_path, "opt.nmae=a,b", expect=1)
    assert "the start 1.0 is more than the end 0.0" in sweep(shared_home, tmp_path, "x=interval(1,0)", expect=1)
    assert len(shared_home.json("status")) == before


def test_a_program_that_always_fails_ends_the_sweep_with_its_words(shared_home: Home, tmp_path: Path) -> None:
    program(tmp_path, "raise ValueError('no such data')")
    out = sweep(shared_home, tmp_path, "x=interval(0,1)", expect=1)
    assert "no such data" in out
    assert "Traceback" not in out
    assert not list(tmp_path.glob("multirun/*/*/optimization_results.yaml"))


def test_ctrl_c_stops_the_experiment(shared_home: Home, tmp_path: Path) -> None:
    program(tmp_path, "time.sleep(600)\nreturn config.x")
    before = {status["handle"] for status in shared_home.json("status")}

    def running() -> Any:
        every = [status for status in shared_home.json("status") if status["handle"] not in before]
        return [status for status in every if status["counts"]["running"]]

    with start(shared_home, tmp_path, "hydra.sweeper.keys={grace: 1s}", "x=interval(0,1)") as process:
        [experiment] = eventually(running, "a trial runs", shared_home)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=100)
    assert f"continue with `orchestune resume {experiment['handle']}`" in out
    eventually(
        lambda: shared_home.json("status", experiment["handle"])["state"] == "stopped",
        "the experiment is stopped",
        shared_home,
    )
