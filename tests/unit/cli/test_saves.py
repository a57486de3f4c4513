"""File changes that count as a save."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestune.cli.develop.file_changes import FileChanges


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text("1")
    (tmp_path / ".gitignore").write_text("out/\n")
    return tmp_path


def test_a_save_is_told_once_when_it_has_come_to_rest(folder: Path) -> None:
    saves = FileChanges(folder, ())
    assert saves.look() == []
    (folder / "train.py").write_text("12")
    assert saves.look() == [], "it may go on"
    (folder / "deep").mkdir()
    (folder / "deep/new.py").write_text("1")
    assert saves.look() == [], "it does"
    assert saves.look() == ["deep", "deep/new.py", "train.py"]
    assert saves.look() == []


def test_what_is_not_packed_does_not_count(folder: Path) -> None:
    saves = FileChanges(folder, ("*.log",))
    for name in ("out", "__pycache__"):
        (folder / name).mkdir()
        (folder / name / "x").write_text("1")
    (folder / "a.log").write_text("1")
    assert [saves.look() for _ in range(3)] == [[], [], []]


def test_the_same_content_saved_again_and_a_file_put_in_its_place_count(folder: Path) -> None:
    saves = FileChanges(folder, ())
    os.utime(folder / "train.py", ns=(1, 1))
    saves.look()
    assert saves.look() == ["train.py"]
    (folder / "draft").write_text("2")
    os.utime(folder / "draft", ns=(1, 1))
    os.replace(folder / "draft", folder / "train.py")
    saves.look()
    assert saves.look() == ["train.py"]


def test_a_folder_that_cannot_be_packed_is_a_change_and_its_repair_is_another(folder: Path) -> None:
    saves = FileChanges(folder, ())
    (folder / "away").symlink_to("/etc/hostname")
    saves.look()
    assert saves.look() != []
    (folder / "away").unlink()
    saves.look()
    assert saves.look() != []
