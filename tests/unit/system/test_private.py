"""Files that their owner alone can read."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from orchestune.system.private import create_private


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_a_private_file_is_made_once_whether_the_disk_knows_hard_links_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")  # what FAT, exFAT and some of FUSE say

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "token"
    assert create_private(path, "mine")
    assert not create_private(path, "theirs")
    assert path.read_text() == "mine"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["token"]
