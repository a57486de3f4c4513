"""Files that their owner alone can read."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from orchestune.system.private import create_private, open_for_writing


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


def test_a_file_is_written_by_links_of_this_user(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "first").symlink_to("folder/second")
    (tmp_path / "folder/second").symlink_to("../real")
    for text in ("created", "new"):
        with open_for_writing(tmp_path / "first") as file:
            file.write(text)
        assert (tmp_path / "real").read_text() == text
    assert (tmp_path / "first").is_symlink() and (tmp_path / "folder/second").is_symlink()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="Too many levels"):
        open_for_writing(tmp_path / "loop")
    reader, writer = os.pipe()
    with open_for_writing(Path(f"/dev/fd/{writer}")) as file:
        file.write("by the kernel's link")
    os.close(writer)
    assert os.read(reader, 99) == b"by the kernel's link"
    os.close(reader)


def test_a_link_that_takes_the_place_of_a_file_meanwhile_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "out").symlink_to("precious")
    monkeypatch.setattr(Path, "is_symlink", lambda path: False)
    with pytest.raises(OSError, match="Too many levels"):
        open_for_writing(tmp_path / "out")
    assert (tmp_path / "precious").read_text() == "precious"
