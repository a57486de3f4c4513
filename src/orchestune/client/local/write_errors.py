"""Explanations of why this user cannot write to a folder: a full disk, a quota, a read-only mount."""

from __future__ import annotations

import errno
import os
from pathlib import Path

_NEEDED = 1 << 20
"""bytes; a new server needs two thirds of that"""
_FILES = 24
"""inodes: files and folders of a new server, with some reserve"""
OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""errors that concern the whole disk, not one folder"""
ANOTHER = "set ORCHESTUNE_HOME to a folder of yours that can be written to"
_ELSEWHERE = "or set ORCHESTUNE_HOME to a folder on another disk"


def trouble(folder: Path) -> tuple[str, str] | None:
    """Return why no server can store its state in `folder`, and a remedy; None if a new server has enough room."""
    import tempfile  # imported on demand, only for diagnosis

    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_NEEDED))
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        return explained(exc, folder)
    return _few_inodes(folder)


def explained(exc: OSError, folder: Path) -> tuple[str, str]:
    """Return an explanation of an error from writing to `folder`, and a remedy."""
    if exc.errno == errno.ENOSPC:
        found = os.statvfs(folder)
        full = f"too little space is left for {folder}: {found.f_bavail * found.f_frsize >> 10} KiB"
        return _few_inodes(folder) or (full, f"make room there, {_ELSEWHERE}")
    if exc.errno == errno.EDQUOT:
        return f"your quota for {folder} is used up", f"make room there (`quota -s` shows it), {_ELSEWHERE}"
    if exc.errno == errno.EROFS:
        return f"{folder} is on a disk that is mounted read-only", f"mount it to be written to, {_ELSEWHERE}"
    text = f"{folder} cannot be written to: {exc.strerror or exc}"
    return text, ANOTHER


def _few_inodes(folder: Path) -> tuple[str, str] | None:
    found = os.statvfs(folder)
    if not found.f_files or found.f_favail >= _FILES:  # file systems without inode counts report 0 of 0
        return None
    text = f"the disk of {folder} takes hardly any further file: {found.f_favail} inodes are left"
    return text, f"remove files there (`df -i` counts them), {_ELSEWHERE}"
