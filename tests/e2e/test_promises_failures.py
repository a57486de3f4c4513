"""A failure has a reason that people understand, and what would burn a budget pauses with a hint."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.scene import launch, reached, write
from tests.testbeds.home import Home

SCRIPT = """
echo "starting $1"
case $1 in
  fine) echo loss=0.5 ;;
  exit) echo "no such file: train.csv" >&2; exit 3 ;;
  killed) kill -SEGV $$ ;;
  slow) sleep 60 ;;
  nan) echo loss=nan ;;
  inf) echo loss=-inf ;;
  missing) echo eval_loss=0.25 ;;
  silent) ;;
  text) echo '{"loss": "0.5"}' >> "$ORCHESTUNE_METRICS" ;;
esac
"""
REASONS = {
    "exit": ("exit_code", "3"),
    "killed": ("signal", "SIGSEGV"),
    "slow": ("timeout", "4"),
    "nan": ("metric_not_finite", "nan"),
    "inf": ("metric_not_finite", "inf"),
    "missing": ("metric_missing", "saw eval_loss=0.25; did you mean eval_loss?"),
    "silent": ("metric_missing", "never reported loss"),
    "text": ("metric_missing", 'never reported loss: it was reported as the text "0.5"'),
}


def test_a_failed_trial_tells_why_with_the_end_of_its_log(shared_home: Home, tmp_path: Path) -> None:
    kinds = ["fine", *REASONS]
    project = write(
        tmp_path / "failures",
        "sh trial.sh {kind}",
        parameters={"kind": kinds, "x": "0..9"},
        try_first=[{"kind": kind, "x": 1} for kind in kinds],
        budget=len(kinds),
        timeout="4s",
    )
    (project / "trial.sh").write_text(SCRIPT)
    home = shared_home
    output = home.run("run", cwd=project)
    trials = {trial["parameters"]["kind"]: trial for trial in home.json("trials", cwd=project)}
    assert trials["fine"]["state"] == "completed"
    [handle] = [s["handle"] for s in home.json("status") if s["name"] == "failures"]
    for kind, (code, words) in REASONS.items():
        trial = trials[kind]
        assert (trial["state"], trial["reason"]["code"]) == ("failed", code), trial
        assert words in trial["reason"]["message"]
        details = home.run("trials", f"{handle}/{trial['number']}").stdout
        assert trial["reason"]["message"] in details
        assert f"│ starting {kind}" in details
        assert trial["attempts"][0]["wall_seconds"] is not None
    assert trials["exit"]["attempts"][0]["exit_code"] == 3
    assert trials["killed"]["attempts"][0]["signal"] in (11, "SIGSEGV")
    assert "│ no such file: train.csv" in home.run("trials", f"{handle}/{trials['exit']['number']}").stdout
    assert "8 failed" in output.stdout
    assert "loss" not in trials["nan"]["metrics"]


@pytest.mark.parametrize(
    ("name", "command", "code", "words"),
    [
        ("other-name", "echo eval_acc=0.91", "metric_missing_at_first", "saw eval_acc=0.91; did you mean eval_acc?"),
        ("no-program", "./no-such-program {x}", "first_trials_failed", "no-such-program"),
        ("exit", "echo broken; exit 5", "first_trials_failed", "exit"),
        ("constant", "echo accuracy=0.5", "identical_metrics", "does the program use its parameters?"),
    ],
)
def test_a_guard_pauses_with_a_hint_and_resume_goes_on(
    shared_home: Home, tmp_path: Path, name: str, command: str, code: str, words: str
) -> None:
    home = shared_home
    project = write(tmp_path / name, command, metrics={"accuracy": "maximize"}, budget=7, parallelism=1)
    output = home.run("run", cwd=project, expect=1)
    assert words in output.stdout + output.stderr
    assert "orchestune resume" in output.stdout + output.stderr
    [before] = [s for s in home.json("status") if s["name"] == name]
    assert (before["state"], before["reason"]["code"]) == ("paused", code)
    assert words in before["reason"]["message"]
    counts = before["counts"]
    done = {"metric_missing_at_first": 1, "first_trials_failed": 3, "identical_metrics": 5}[code]
    assert counts["completed"] + counts["failed"] == done
    assert words in home.run("status", before["handle"]).stdout
    home.run("resume", before["handle"])
    home.run("wait", before["handle"], expect=None)
    status = home.json("status", before["handle"])
    if status["state"] == "paused":  # the next guard, which a command that is wrong throughout runs into
        assert status["reason"]["code"] == "first_trials_failed" != code
        home.run("resume", before["handle"])
    status = reached(home, before["handle"], "failed" if not status["counts"]["completed"] else "completed")
    assert status["counts"]["completed"] + status["counts"]["failed"] == 7


def test_a_program_that_is_not_there_is_named(shared_home: Home, tmp_path: Path) -> None:
    home = shared_home
    project = write(tmp_path / "nobody", ["no-such-program", "{x}"], budget=1, parallelism=1)
    handle = launch(home, project)
    reached(home, handle, "completed", "failed", "paused")
    [trial] = home.json("trials", handle)
    assert (trial["state"], trial["reason"]["code"]) == ("failed", "command_not_found")
    assert "no-such-program" in trial["reason"]["message"]
