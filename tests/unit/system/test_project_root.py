"""The folder of a project: the nearest one with a mark, never one that holds more than one project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestune.system.project_root import MARKS, ProjectRoot, is_no_project, project_root


@pytest.fixture
def script_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "home" / "project" / "src" / "model"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("mark", MARKS)
def test_the_nearest_folder_with_a_mark_is_the_root(script_folder: Path, mark: str) -> None:
    project = script_folder.parents[1]
    (project / mark).touch()
    assert project_root(script_folder) == ProjectRoot(project, mark)
    (script_folder.parent / ".git").write_text("gitdir: elsewhere")  # a submodule or a worktree
    assert project_root(script_folder) == ProjectRoot(script_folder.parent, ".git")


def test_without_a_mark_the_folder_is_its_own_project(script_folder: Path) -> None:
    assert project_root(script_folder) == ProjectRoot(script_folder)


def test_the_home_folder_and_those_above_it_are_no_project(
    script_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    for folder in (home, tmp_path):
        (folder / ".git").touch()
        assert is_no_project(folder)
    assert project_root(script_folder) == ProjectRoot(script_folder)
    assert project_root(home) == ProjectRoot(home)
    assert is_no_project(Path("/"))


def test_a_folder_of_all_users_is_no_project(script_folder: Path) -> None:
    shared = script_folder.parents[2]
    shared.chmod(0o1777)
    (shared / ".git").touch()
    assert project_root(script_folder) == ProjectRoot(script_folder)


def test_a_mark_of_another_user_does_not_count(script_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (script_folder.parent / ".git").touch()
    real = Path.lstat

    def lstat(path: Path) -> os.stat_result:
        status = real(path)
        return os.stat_result([*status[:4], 4242, *status[5:]]) if path.name == ".git" else status

    monkeypatch.setattr(Path, "lstat", lstat)
    assert project_root(script_folder) == ProjectRoot(script_folder)
