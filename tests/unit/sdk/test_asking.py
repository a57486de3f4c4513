"""How often who waits for a trial asks the server, and what is known of one that was taken."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestune.sdk.asking import Looks, OpenTrial, take


def test_the_server_is_asked_at_once_and_then_less_and_less_often_up_to_a_limit() -> None:
    now = 100.0
    looks, asked = Looks(1.0, 4.0, clock=lambda: now), list[float]()
    for step in range(160):
        now = 100.0 + step / 10
        if looks.due():
            asked.append(now - 100)
    assert asked == [0.0, 1.0, 3.0, 7.0, 11.0, 15.0]


def test_a_trial_that_was_taken_says_which_fold_it_is(tmp_path: Path) -> None:
    files = {"ORCHESTUNE_PARAMS": tmp_path / "params.json", "ORCHESTUNE_METRICS": tmp_path / "metrics.jsonl"}
    files["ORCHESTUNE_PARAMS"].write_text(json.dumps({"x": 2}))
    told = {"ORCHESTUNE_TRIAL": "3", "ORCHESTUNE_SEED": "7", "ORCHESTUNE_FOLD": "1"}
    environ = {**os.environ, **told, **{name: str(path) for name, path in files.items()}}
    command = [sys.executable, "-m", "orchestune.sdk.bridge", str(tmp_path / "offers")]
    with subprocess.Popen(command, env=environ) as bridge:
        try:
            while (trial := take(tmp_path / "offers")) is None:
                assert bridge.poll() is None
                time.sleep(0.02)
            assert (trial.number, trial.seed, trial.fold, trial.parameters) == (3, 7, 1, {"x": 2})
            trial.tell({"y": 0.5})
            assert bridge.wait() == 0
        finally:
            bridge.kill()
    assert json.loads(files["ORCHESTUNE_METRICS"].read_text()) == {"name": "y", "value": 0.5}


def test_an_exception_after_the_outcome_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs, OpenTrial(ours, {"number": 3, "seed": 7, "fold": 0, "parameters": {}}) as trial:
        trial.give_back()
        raise ZeroDivisionError("behind the outcome")
    assert "ZeroDivisionError: behind the outcome" in capsys.readouterr().err
