"""Explanations of failures by paths that only the original folder has."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestune.worker.missing_path import ProjectCopy, explain_missing


@pytest.fixture
def project(tmp_path: Path) -> ProjectCopy:
    for name in ("home/data/x.csv", "home/lib/helper.py", "home/project/src/train.py", "home/project/.cache/a b.bin"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "slots/0/view-0/src").mkdir(parents=True)
    return ProjectCopy(str(tmp_path / "home/project"), "src", str(tmp_path / "slots/0/view-0"))


@pytest.mark.parametrize(
    "line",
    [
        "FileNotFoundError: [Errno 2] No such file or directory: '../../data/x.csv'",
        "cat: ../../data/x.csv: No such file or directory",
        "sh: 1: cannot open ../../data/x.csv: No such file",
        "Error in file(file, \"rt\") : cannot open file '../../data/x.csv': No such file or directory",
        "Error: ENOENT: no such file or directory, open '../../data/x.csv'",
        'SystemError: opening file "../../data/x.csv": No such file or directory',
        "FileNotFoundError: [Errno 2] No such file or directory: '{slot}/data/x.csv'",
        "FileNotFoundError: [Errno 2] No such file or directory: '{slot}/view-0/src/../../data/x.csv'",
    ],
)
def test_a_path_outside_the_project_is_explained_with_the_folder_to_choose(project: ProjectCopy, line: str) -> None:
    home = Path(project.root).parent
    text = explain_missing(f"Traceback\n{line.format(slot=Path(project.view).parent)}\nbye\n", project)
    assert f"exists in the original folder ({home / 'data/x.csv'}), but trials only get {project.root}" in text
    assert f"start it with --root {home}" in text


def test_a_module_outside_the_project_is_explained(project: ProjectCopy) -> None:
    text = explain_missing("ModuleNotFoundError: No module named 'helper'", project)
    assert f"'helper' exists in the original folder ({Path(project.root).parent / 'lib/helper.py'})" in text


def test_a_path_of_the_project_that_is_not_packed_is_explained(project: ProjectCopy) -> None:
    text = explain_missing("FileNotFoundError: [Errno 2] No such file or directory: '../.cache/a b.bin'", project)
    assert "but not in the trial's copy" in text and "--root" not in text


@pytest.mark.parametrize(
    "line",
    [
        "ValueError: '../../data/x.csv' has no header",
        "No such file or directory: '../../data/absent.csv'",
        "No such file or directory: '/etc/absent/hosts'",
        "ModuleNotFoundError: No module named 'numpy_that_is_absent'",
        "No such file or directory: '..'",
        "command not found",
    ],
)
def test_other_failures_are_not_explained(project: ProjectCopy, line: str) -> None:
    assert explain_missing(line, project) == ""


def test_a_path_that_the_trial_has_is_not_the_cause(project: ProjectCopy) -> None:
    (Path(project.view) / "src/train.py").touch()
    assert explain_missing("python: can't open file 'train.py': No such file or directory", project) == ""


def test_nothing_is_explained_on_another_machine(project: ProjectCopy) -> None:
    assert explain_missing("cat: ../../data/x.csv: No such file", project._replace(root="/absent")) == ""
