from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestune.worker.environment import with_home


def test_a_home_that_can_be_written_stays(tmp_path: Path) -> None:
    base = {"HOME": str(tmp_path), "PATH": "/bin"}
    assert with_home(base, str(tmp_path / "other")) == base
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("home", [{}, {"HOME": ""}, {"HOME": "/nowhere/at/all"}])
def test_where_there_is_no_such_home_a_folder_takes_its_place(tmp_path: Path, home: dict[str, str]) -> None:
    folder = tmp_path / "home"
    assert with_home({"PATH": "/bin", **home}, str(folder)) == {"PATH": "/bin", "HOME": str(folder)}
    assert os.access(folder, os.W_OK)
