"""Messages about a state folder that cannot be written to, and their hints."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestune.client.local import write_errors
from orchestune.client.local.home import state_folder
from orchestune.errors import UsageError

SOUND = SimpleNamespace(f_bavail=3, f_frsize=4096, f_files=1000, f_favail=500)


@pytest.mark.parametrize(
    ("number", "disk", "message", "remedy"),
    [
        (
            errno.ENOSPC,
            {},
            "not enough free space for DISK: 12 KiB",
            "free some disk space there, or set ORCHESTUNE_HOME",
        ),
        (errno.ENOSPC, {"f_favail": 2}, "almost no free inodes on the disk of DISK: 2", "`df -i`"),
        (errno.ENOSPC, {"f_files": 0, "f_favail": 0}, "not enough free space for DISK: 12 KiB", "free some disk space"),
        (errno.EDQUOT, {}, "quota exceeded for DISK", "`quota -s`"),
        (errno.EROFS, {}, "DISK is on a disk that is mounted read-only", "on another disk"),
        (errno.EACCES, {}, "cannot write to DISK: Permission denied", "a writable folder of your own"),
    ],
)
def test_each_trouble_is_told_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, number: int, disk: dict[str, int], message: str, remedy: str
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(**{**vars(SOUND), **disk}))
    text, hint = write_errors.explain_write_error(OSError(number, os.strerror(number)), Path("DISK"))
    assert text.startswith(message)
    assert remedy in hint


@pytest.mark.parametrize(
    ("number", "message"), [(errno.EROFS, "HOME is on a disk"), (errno.EDQUOT, "quota exceeded for HOME")]
)
def test_a_state_folder_that_its_disk_refuses_is_told_in_the_same_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int, message: str
) -> None:
    def refuse(self: Path, mode: int = 0o777, exist_ok: bool = False) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UsageError) as caught:
        state_folder({"ORCHESTUNE_HOME": str(tmp_path / "new" / "er")})
    text, hint = write_errors.explain_write_error(OSError(number, ""), tmp_path)
    assert (caught.value.message, caught.value.hint) == (text, hint) and text.startswith(
        message.replace("HOME", str(tmp_path))
    )


def test_a_state_folder_in_the_home_folder_of_nobody_is_not_made_wherever_one_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="cannot expand '~nobody-at-all/x': no such user"):
        state_folder({"ORCHESTUNE_HOME": "~nobody-at-all/x"})
    assert list(tmp_path.iterdir()) == []


def test_a_sound_folder_is_no_trouble(tmp_path: Path) -> None:
    assert write_errors.write_problem(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
