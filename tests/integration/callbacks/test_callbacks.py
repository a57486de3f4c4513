"""The callbacks in real trainings of the real libraries: what they report, and that they end the training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from orchestune.integrations.xgboost import OrchestuneCallback

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[2]
TORCH = Path(os.environ.get("ORCHESTUNE_TEST_TORCH") or ROOT / ".venv-torch/bin/python")
FOREVER = 10**7
"""steps that no training gets to in the time of a test"""
CROSS_VALIDATED = [
    pytest.param(name, marks=pytest.mark.long) for name in ("cross_validate_xgboost", "cross_validate_lightgbm")
]
LIGHT = ["train_xgboost", "train_lightgbm", "train_sklearn", *CROSS_VALIDATED]
HEAVY = ["train_keras", "train_lightning", "train_transformers"]
SCRIPTS = [*LIGHT, *(pytest.param(name, marks=pytest.mark.torch) for name in HEAVY)]
pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


def start(name: str, folder: Path, *words: object, **variables: str) -> subprocess.Popen[str]:
    """The script, as a trial or by hand."""
    python = sys.executable
    if name in HEAVY:
        python = str(TORCH)
        assert TORCH.exists(), "make test-torch sets up what this takes"
    env = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTUNE_")}
    env |= {"PYTHONPATH": str(ROOT / "src"), "KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1", **variables}
    command = [python, str(FOLDER / "scripts" / f"{name}.py"), *map(str, words)]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )


def trial(folder: Path) -> dict[str, str]:
    """Return the variables that a worker would set for a script in that folder."""
    return {"ORCHESTUNE_METRICS": str(folder / "metrics"), "ORCHESTUNE_STOP": str(folder / "stop")}


def reported(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Each value by its metric's name, in order."""
    values_of = defaultdict(list)
    if (folder / "metrics").exists():
        for line in (folder / "metrics").read_text().splitlines():
            value = json.loads(line)
            values_of[value["name"]].append(value)
    return dict(values_of)


def ended(process: subprocess.Popen[str]) -> str:
    """Return the script's output; it must have succeeded."""
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, out + err
    return out


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_is_reported_is_what_the_library_measured(name: str, tmp_path: Path) -> None:
    out = ended(start(name, tmp_path, 4, **trial(tmp_path)))
    history = json.loads(out.strip().splitlines()[-1])
    spread = history.pop("stddev", None)
    values_of = reported(tmp_path)
    for metric, values in history.items():
        assert [value["step"] for value in values_of[metric]] == [1, 2, 3, 4]
        assert [value["value"] for value in values_of[metric]] == pytest.approx(values)
        if spread is not None:
            assert [value["stddev"] for value in values_of[metric]] == pytest.approx(spread)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_training_ends_in_its_own_way_when_the_trial_is_to_end(name: str, tmp_path: Path) -> None:
    process = start(name, tmp_path, FOREVER, **trial(tmp_path))
    while not any(len(values) >= 3 for values in reported(tmp_path).values()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    (tmp_path / "stop").write_text("{}")
    assert json.loads(ended(process).strip().splitlines()[-1])  # it went on after the training


@pytest.mark.parametrize("name", LIGHT)
def test_by_hand_the_values_are_printed(name: str, tmp_path: Path) -> None:
    *lines, history = ended(start(name, tmp_path, 2)).strip().splitlines()
    for metric in json.loads(history).keys() - {"stddev"}:
        assert sum(line.startswith(f"{metric}=") for line in lines) == 2


def test_boosting_that_goes_on_from_a_model_counts_its_rounds_and_keeps_its_trees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, path in trial(tmp_path).items():
        monkeypatch.setenv(variable, path)
    x = np.arange(40.0).reshape(-1, 1)
    y = x[:, 0] ** 2
    options = {"eval_set": [(x, y)], "verbose": False}
    model = xgboost.XGBRegressor(
        n_estimators=3, n_jobs=1, callbacks=[OrchestuneCallback({"loss": "validation_0-rmse"})]
    )
    first = model.fit(x, y, **options).get_booster()
    (tmp_path / "stop").write_text("{}")
    expected = model.fit(x, y, xgb_model=first, **options).predict(x, iteration_range=(0, 4))
    assert [value["step"] for value in reported(tmp_path)["loss"]] == [1, 2, 3, 4]
    assert model.predict(x) == pytest.approx(expected)


@pytest.mark.torch
def test_a_network_that_is_trained_twice_counts_all_its_epochs(tmp_path: Path) -> None:
    ended(start("train_keras", tmp_path, 3, 2, **trial(tmp_path)))
    assert [value["step"] for value in reported(tmp_path)["val_loss"]] == [1, 2, 3, 4, 5]


@pytest.mark.torch
def test_validations_within_an_epoch_are_reported_at_their_part_of_it(tmp_path: Path) -> None:
    ended(start("train_lightning", tmp_path, 2, 0.5, **trial(tmp_path)))
    assert [value["step"] for value in reported(tmp_path)["val_loss"]] == [0.5, 1, 1.5, 2]
