"""Files of a folder that are packed with an experiment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestune.bundles.listing import plan
from orchestune.config.experiment_file import load
from orchestune.domain.specification.code import CodeSettings
from orchestune.errors import BadInput
from orchestune.sdk.experiments import Experiment
from orchestune.sdk.project_files import ProjectFiles, list_project

FILES = ("best.pt", "outputs/model.pt", "outputs/old/log", "outputs/log.txt", "my plots/a.png", "tracked/a.png")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / ".gitignore").write_text("*.pt\noutputs/\nmy plots/\n")
    return tmp_path


def take(folder: Path, **keys: object) -> ProjectFiles:
    file = {"run": "true", "parameters": {"x": "0.0..1.0"}, "metrics": {"loss": "minimize"}, "budget": 1}
    (folder / "experiment.yml").write_text(json.dumps(file | keys))
    return list_project(load(folder / "experiment.yml").specification, folder, CodeSettings())


def packed(folder: Path, files: ProjectFiles) -> list[str]:
    return [entry.path for entry in plan(folder, files.ignore, 10**6).entries]


def test_files_that_keep_names_are_a_trials_own_and_their_folder_is_there(project: Path) -> None:
    files = take(project, keep=["best.pt", "outputs/model.pt", "my plots/*.png"])
    assert files.links == ("outputs/log.txt", "outputs/old")
    assert files.own == ("best.pt", "my plots/a.png", "outputs/model.pt")
    emptied = ["my plots", "outputs"]
    assert packed(project, files) == [".gitignore", "experiment.yml", *emptied, "tracked", "tracked/a.png"]


def test_tracked_files_that_keep_names_travel_with_the_code(project: Path) -> None:
    files = take(project, keep=["tracked/*.png"])
    assert (files.links, files.own) == (("best.pt", "my plots", "outputs"), ())
    assert packed(project, files) == [".gitignore", "experiment.yml", "tracked", "tracked/a.png"]


def test_what_metrics_are_read_from_is_neither_packed_nor_linked(project: Path) -> None:
    files = take(project, collect={"csv": "outputs/log.txt"}, keep=["outputs/model.pt"])
    assert (files.links, files.own) == (("best.pt", "my plots"), ())
    files = take(project, collect={"csv": "tracked/a.csv"})
    assert "tracked/a.csv" not in packed(project, files)


def test_a_folder_that_is_a_link_to_itself_is_told_as_any_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTUNE_HOME", str(tmp_path / "home"))
    (tmp_path / "circle").symlink_to("circle")
    keys: dict[str, Any] = {"run": "true", "parameters": {"x": [1]}, "metrics": {"y": "maximize"}, "budget": 1}
    with pytest.raises(BadInput, match="circle is not a folder"):
        Experiment.create(folder=tmp_path / "circle", **keys)
