"""A trial that is behind is ended while it runs: a real server, a real worker, and a shell script that prints."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.scene import attempts, eventually, kill_server, launch, reached, write
from tests.testbeds.home import Home

pytestmark = pytest.mark.timeout(600)

SCRIPT = """
step=0
trap 'echo "told: $(cat "$ORCHESTUNE_STOP")"; exit 0' TERM
while [ $step -lt 100000 ]; do
  step=$((step + 1))
  echo "step=$step accuracy=$ORCHESTUNE_PARAM_X"
  case $ORCHESTUNE_PARAM_X in 0.9*) [ $step -lt 40 ] || exit 0; sleep 0.05 ;; *) sleep 0.2 ;; esac
done
"""
"""a good trial is fast and ends after 40 steps; a bad one would run for hours"""


@pytest.fixture
def home() -> Iterator[Home]:
    with Home() as home:
        yield home


def project(folder: Path, **changes: object) -> Path:
    written = write(
        folder,
        "sh trial.sh",
        metrics={"accuracy": "maximize"},
        budget=2,
        grace="60s",
        early_stopping={"type": "asha", "reduction": 2},
        try_first=[{"x": 0.9}, {"x": 0.1}],
        **changes,
    )
    (written / "trial.sh").write_text(SCRIPT)
    return written


def test_a_bad_trial_is_ended_with_its_reason_and_is_shown_everywhere(home: Home, tmp_path: Path) -> None:
    folder = project(tmp_path / "early")
    handle = launch(home, folder)
    status = reached(home, handle, "completed")
    assert (status["counts"]["completed"], status["counts"]["pruned"]) == (1, 1)
    assert status["best"][0]["parameters"] == {"x": 0.9}
    good, bad = home.json("trials", handle)
    assert (good["state"], bad["state"]) == ("completed", "pruned")
    assert bad["metrics"]["accuracy"]["value"] == 0.1
    assert bad["reason"]["message"].startswith("asha: accuracy 0.1 at step ")
    assert bad["attempts"][0]["exit_code"] == 0, "it ended in good order, and is pruned all the same"
    log = home.run("logs", f"{handle}/2").stdout
    assert "orchestune: stopping this trial early: asha: accuracy 0.1 at step" in log
    assert 'told: {"state": "pruned", "code": "pruned", "message": "asha: accuracy 0.1 at step' in log
    rows = list(csv.DictReader(io.StringIO(home.run("export", handle).stdout)))
    assert [(row["state"], row["reason"], row["accuracy"]) for row in rows] == [
        ("completed", "", "0.9"),
        ("pruned", "pruned", "0.1"),
    ]
    assert "1 pruned" in home.run("status", handle).stdout
    assert "asha: accuracy 0.1" in home.run("trials", handle).stdout


def test_a_killed_server_forgets_neither_the_curves_nor_the_order(home: Home, tmp_path: Path) -> None:
    handle = launch(home, project(tmp_path / "killed", retry=0))
    eventually(lambda: "accuracy=0.9" in home.look("logs", handle, expect=None), "a good step", home)
    kill_server(home)
    status = reached(home, handle, "completed")
    assert (status["counts"]["completed"], status["counts"]["pruned"]) == (1, 1)
    assert [attempt["state"] for attempt in attempts(home, handle)] == ["succeeded", "pruned"]
