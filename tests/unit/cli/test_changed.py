"""Which code is tried, and what is said of it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from orchestune.cli.develop.changed_folder import OriginalExperiment, changed_experiment
from orchestune.cli.develop.outcome import Outcome
from orchestune.cli.terminal.console import Console
from orchestune.config.experiment_file import load
from tests.unit.cli.conftest import Result
from tests.unit.client.fake_server import FakeServer, status, trial

Cli = Callable[..., Result]


@pytest.fixture(autouse=True)
def finished_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each trial that is tried succeeds with a loss of 0.5."""
    outcome = Outcome("", 0, 1.0, {"loss": {"value": 0.5, "stddev": None}})
    monkeypatch.setattr("orchestune.cli.develop.test.run_trial", lambda *words: outcome)


FILE: dict[str, Any] = {
    "name": "sgd",
    "run": "python train.py {lr}",
    "parameters": {"lr": "0.0..1.0"},
    "metrics": {"loss": "minimize"},
    "budget": 4,
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "deep").mkdir(parents=True)
    (folder / "train.py").write_text("1")
    (folder / "note.log").write_text("1")
    (folder / "data").mkdir()
    (folder / ".gitignore").write_text("data/\n")
    save(folder)
    return folder


def save(folder: Path, **keys: Any) -> None:
    (folder / "experiment.yml").write_text(json.dumps(FILE | keys))


def original_experiment(project: Path, ignore: tuple[str, ...] = ()) -> OriginalExperiment:
    """An experiment that was started in the folder, as its file was then."""
    specification = load(project / "experiment.yml").specification.to_json()
    launch = {"root": str(project), "links": [], "code": {"ignore": list(ignore), "limit": 1000}}
    document = {"specification": specification, "launch": launch, "bundle": None, "revision": 1, "origin": None}
    document["owned_by_caller"] = True
    return OriginalExperiment(cast(Any, status("sgd-7f3a")), cast(Any, document), None, "no trial has completed yet")


def console(folder: Path) -> Console:
    return Console(out=io.StringIO(), err=io.StringIO(), environ={}, started_in=folder)


def test_it_is_packed_as_it_was_at_the_start(project: Path) -> None:
    prepared, notes = changed_experiment(console(project), original_experiment(project, ("*.log",)), None)
    assert notes == []
    assert (prepared.folder, prepared.project.files, prepared.project.links) == (project, 3, ("data", "note.log"))
    assert prepared.project.code.limit == 1000


def test_a_folder_below_stands_for_the_experiments_own_and_another_one_is_told(project: Path, tmp_path: Path) -> None:
    assert changed_experiment(console(project / "deep"), original_experiment(project), None)[0].folder == project
    copy = tmp_path / "copy"
    copy.mkdir()
    for chosen in (
        changed_experiment(console(copy), original_experiment(project), None),
        changed_experiment(console(project), original_experiment(project), copy),
    ):
        assert chosen[0].folder == copy
        assert chosen[1] == [f"using the code in {copy}; sgd-7f3a was started in {project}"]


def test_what_the_file_would_do_otherwise_is_told(project: Path) -> None:
    experiment = original_experiment(project)
    save(project, budget=9, run="python train.py {lr} --more", timeout="5m")
    (note,) = changed_experiment(console(project), experiment, None)[1]
    assert "sgd-7f3a was started with: run and timeout." in note
    save(project, name="other", run="true {lr}")
    assert changed_experiment(console(project), experiment, None)[1] == []
    (project / "experiment.yml").write_text("budget: [")
    (note,) = changed_experiment(console(project), experiment, None)[1]
    assert "is invalid (see `orchestune test`)" in note


def test_what_is_tried_without_a_best_trial_says_why_there_is_none(project: Path, server: FakeServer, cli: Cli) -> None:
    server.world.specification = dict(original_experiment(project).document)
    none = {"queued": 0, "running": 0, "completed": 0, "failed": 0, "pruned": 0, "cancelled": 0}
    for changes, why in (
        ({"state": "failed", "counts": none | {"failed": 2}}, "no trial completed: all 2 failed"),
        ({"state": "running", "counts": none | {"failed": 2}}, "no trial has completed yet"),
    ):
        server.update("sgd-7f3a", best=[], **changes)
        assert cli("try", "sgd", "--folder", str(project)).out.startswith(f"{why}\n")


def test_the_outcome_is_compared_with_the_trial(project: Path, server: FakeServer, cli: Cli) -> None:
    server.world.specification = dict(original_experiment(project).document)
    measured = {"loss": {"value": 0.6, "stddev": 0.28}}
    server.world.trials["sgd-7f3a"] = [trial(2, parameters={"lr": 0.5}, metrics=measured)]
    assert "metric   loss 0.5 (was 0.6)\n" in cli("try", "sgd-7f3a/2", "--folder", str(project)).out
    assert "metric   loss 0.5\n" in cli("try", "sgd-7f3a/2", "-p", "lr=0.25", "--folder", str(project)).out
