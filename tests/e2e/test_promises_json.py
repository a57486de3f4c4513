"""Scripts rely on what `--json` prints: the documented keys, for each command that lists or shows something."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.scene import write
from tests.testbeds.home import Home

STATUS = {
    "schema", "id", "handle", "name", "owner", "state", "desired", "reason", "budget", "parallelism", "counts", "best",
    "workers", "created_at", "finished_at", "url",
}  # fmt: skip
COUNTS = {"queued", "running", "completed", "failed", "pruned", "cancelled"}
TRIAL = {
    "number", "state", "reason", "source", "parameters", "metrics", "attempts", "created_at", "finished_at",
}  # fmt: skip
ATTEMPT = {
    "id", "fold", "state", "worker", "node", "exit_code", "signal", "reason", "started_at", "finished_at",
    "wall_seconds", "cpu_seconds", "peak_memory_bytes",
}  # fmt: skip
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
COMMAND = "[ $ORCHESTUNE_TRIAL != 3 ] || exit 4; echo 'Loss: {x} +/- 0.058'; echo size=3; echo extra=9"


@pytest.fixture(scope="module")
def finished(shared_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = write(
        tmp_path_factory.mktemp("json") / "finished",
        COMMAND,
        parameters={"x": "0.1..1.0", "kind": ["a", "b"], "y": {"min": 1, "max": 5, "when": {"kind": "a"}}},
        metrics={"loss": "minimize", "size": "maximize"},
        budget=4,
    )
    shared_home.run("run", cwd=project)
    return project


def printed(home: Home, *words: str, cwd: Path | None = None) -> Any:
    """Return the JSON that a script reads from the program."""
    return json.loads(home.run(*words, "--json", cwd=cwd).stdout)


def handle_of(home: Home) -> str:
    [status] = printed(home, "status")
    return str(status["handle"])


def test_status_follows_the_contract(shared_home: Home, finished: Path) -> None:
    home = shared_home
    status = printed(home, "status", handle_of(home))
    assert set(status) >= STATUS
    assert (status["schema"], status["state"], status["budget"]) == (1, "completed", 4)
    assert set(status["counts"]) == COUNTS
    assert status["counts"]["completed"] == 3 and status["counts"]["failed"] == 1
    assert set(status["reason"]) == {"code", "message"}
    assert all(set(entry) >= {"trial", "metrics", "parameters"} for entry in status["best"])
    assert all(TIME.fullmatch(status[key]) for key in ("created_at", "finished_at"))
    assert sum(worker["succeeded"] for worker in status["workers"]) == 3
    assert sum(worker["failed"] for worker in status["workers"]) == 1
    assert all({"name", "node", "state"} <= set(worker) for worker in status["workers"])
    [listed] = printed(home, "status")
    assert listed.keys() == status.keys()
    declared = {metric["name"] for metric in status["metrics"]}
    for entry in status["best"]:  # a list has only the metrics that the experiment declares
        assert "extra" in entry["metrics"]
        entry["metrics"] = {name: value for name, value in entry["metrics"].items() if name in declared}
    assert {**listed, "workers": []} == {**status, "workers": []}
    # workers of an experiment that is over end meanwhile
    assert [worker["id"] for worker in listed["workers"]] == [worker["id"] for worker in status["workers"]]


def test_trials_follow_the_contract(shared_home: Home, finished: Path) -> None:
    home = shared_home
    trials: list[dict[str, Any]] = printed(home, "trials", cwd=finished)
    assert [trial["number"] for trial in trials] == [1, 2, 3, 4]
    for trial in trials:
        assert set(trial) >= TRIAL
        assert TIME.fullmatch(trial["created_at"]) and TIME.fullmatch(trial["finished_at"])
        assert ("y" in trial["parameters"]) == (trial["parameters"]["kind"] == "a")
        [attempt] = trial["attempts"]
        assert set(attempt) >= ATTEMPT
        began, ended = (datetime.fromisoformat(attempt[key]) for key in ("started_at", "finished_at"))
        assert began <= ended
        assert attempt["wall_seconds"] >= 0 and attempt["peak_memory_bytes"] > 0
        if trial["state"] == "completed":
            assert trial["metrics"]["loss"] == {"value": trial["parameters"]["x"], "stddev": 0.058}
            assert trial["metrics"]["extra"]["value"] == 9
            assert (trial["reason"], attempt["exit_code"], attempt["state"]) == (None, 0, "succeeded")
    assert (trials[2]["state"], trials[2]["attempts"][0]["exit_code"]) == ("failed", 4)
    lines = home.run("trials", "--jsonl", cwd=finished).stdout.splitlines()
    assert [json.loads(line) for line in lines] == trials
    assert [trial["number"] for trial in printed(home, "trials", "--state", "failed", cwd=finished)] == [3]


def test_best_is_a_list(shared_home: Home, finished: Path) -> None:
    best = printed(shared_home, "best", cwd=finished)
    completed = [trial for trial in printed(shared_home, "trials", cwd=finished) if trial["state"] == "completed"]
    least = min(completed, key=lambda trial: trial["metrics"]["loss"]["value"])
    assert [entry["trial"] for entry in best] == [least["number"]]  # all have the same size: one dominates
    assert best[0]["parameters"] == least["parameters"]


def test_export_has_a_row_for_each_trial(shared_home: Home, finished: Path) -> None:
    table = list(csv.DictReader(io.StringIO(shared_home.run("export", "--format", "csv", cwd=finished).stdout)))
    assert len(table) == 4
    assert len(json.loads(shared_home.run("export", "--format", "json", cwd=finished).stdout)) == 4


def test_an_error_is_a_document_on_standard_error(shared_home: Home, finished: Path) -> None:
    done = shared_home.run("status", "nobody-0000", "--json", expect=2)
    error = json.loads(done.stderr)["error"]
    assert set(error) == {"code", "message", "hint"}
    assert error["code"] == "not_found" and not done.stdout


def test_a_bad_file_makes_nothing(shared_home: Home, finished: Path, tmp_path: Path) -> None:
    project = write(tmp_path / "bad", "echo {y}", budget=-3)
    done = shared_home.run("run", cwd=project, expect=2)
    assert "experiment.yml:1" in done.stderr and "budget" in done.stderr and "{y}" in done.stderr
    assert len(printed(shared_home, "status")) == 1
    dry = write(tmp_path / "dry", "echo loss={x}")
    assert "0..1" in shared_home.run("run", "--dry-run", cwd=dry).stdout
    assert len(printed(shared_home, "status")) == 1
