"""Metrics as people print them: parsed, or answered with the expression for the very line."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.testbeds.home import Home

PARSED = {
    "rmse": 'print(f"lr={lr}"); print(f"RMSE on test: {lr:.3f}")',
    "accuracy": 'print(f"lr={lr}"); print(f"mean accuracy over 5 folds is {lr:.3f}")',
    "val_loss": 'print(f"lr={lr}"); print(f"Epoch 3 - loss: 0.21 - val_loss: {lr:.3f}")',
}
ANSWERED = {
    "acc": 'print(f"acc {lr:.3f}%")',
    "auc": 'print("epoch  train  auc"); print(f"1  0.5  {lr / 2:.3f}"); print(f"2  0.4  {lr:.3f}")',
    "f1": 'print(f"the best F1 of all 30 epochs was {lr:.3f}, at last")',
}
HEAD = "import sys\nlr = float(sys.argv[1])\n"


def command(name: str) -> list[str]:
    return ["run", "--maximize", name, "lr=0.1..0.9", "--budget", "3", "--", sys.executable, "train.py", "{lr}"]


@pytest.mark.parametrize("name", PARSED)
def test_a_sentence_gives_the_metric_and_a_printed_parameter_none(name: str, tmp_path: Path, shared_home: Home) -> None:
    (tmp_path / "train.py").write_text(HEAD + PARSED[name])
    shared_home.run(*command(name), cwd=tmp_path)
    trials = shared_home.json("trials", cwd=tmp_path)
    assert [trial["state"] for trial in trials] == ["completed"] * 3
    for trial in trials:
        assert trial["metrics"][name]["value"] == pytest.approx(trial["parameters"]["lr"], abs=1e-3)
        assert "lr" not in trial["metrics"]


@pytest.mark.parametrize("name", ANSWERED)
def test_the_answer_to_another_line_is_the_expression_that_matches_it(
    name: str, tmp_path: Path, shared_home: Home
) -> None:
    (tmp_path / "train.py").write_text(HEAD + ANSWERED[name])
    output = shared_home.run(*command(name), cwd=tmp_path, expect=1).stdout
    [key] = set(re.findall(r"add `(collect: \{regex: '.*?'\})`", output))
    handle = shared_home.json("status", cwd=tmp_path)[0]["handle"]
    shared_home.run("stop", handle)
    shared_home.run("run", "--set", key.replace(": ", "=", 1), *command(name)[1:], cwd=tmp_path)
    trials = shared_home.json("trials", cwd=tmp_path)
    assert [trial["state"] for trial in trials] == ["completed"] * 3
    for trial in trials:
        assert trial["metrics"][name]["value"] == pytest.approx(trial["parameters"]["lr"], abs=1e-3)


def test_init_writes_the_expression_for_a_table(tmp_path: Path, shared_home: Home) -> None:
    options = 'import argparse\np = argparse.ArgumentParser()\np.add_argument("--lr", type=float, default=0.5)\n'
    table = 'print("epoch  train_loss  val_loss")\nfor e in range(3): print(f"{e}  {e / 9:.3f}  {lr * (3 - e):.3f}")'
    (tmp_path / "train.py").write_text(f"{options}lr = p.parse_args().lr\n{table}\n")
    shared_home.run("init", "train.py", "--yes", "--budget", "3", cwd=tmp_path)
    shared_home.run("run", cwd=tmp_path)
    trials = shared_home.json("trials", cwd=tmp_path)
    assert [trial["state"] for trial in trials] == ["completed"] * 3
    for trial in trials:
        assert trial["metrics"]["val_loss"]["value"] == pytest.approx(trial["parameters"]["lr"], abs=1e-3)
