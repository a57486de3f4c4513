"""Explanations of why this user cannot write to a folder: a full disk, a quota, a read-only mount."""

from __future__ import annotations

import errno
import os
from pathlib import Path

_MIN_BYTES = 1 << 20
"""bytes; a new server needs two thirds of that"""
_MIN_INODES = 24
"""inodes: files and folders of a new server, with some reserve"""
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""errors that concern the whole disk, not one folder"""
ANOTHER = "set ORCHESTUNE_HOME to a writable folder of your own"
_OTHER_DISK = "or set ORCHESTUNE_HOME to a folder on another disk"


def write_problem(folder: Path) -> tuple[str, str] | None:
    """Return why no server can store its state in `folder`, and a remedy; None if a new server has enough room."""
    import tempfile  # imported on demand, only for diagnosis

    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_MIN_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        return explain_write_error(exc, folder)
    return _few_inodes(folder)


def explain_write_error(exc: OSError, folder: Path) -> tuple[str, str]:
    """Return an explanation of an error from writing to `folder`, and a remedy."""
    if exc.errno == errno.ENOSPC:
        usage = os.statvfs(folder)
        full = f"not enough free space for {folder}: {usage.f_bavail * usage.f_frsize >> 10} KiB"
        return _few_inodes(folder) or (full, f"free some disk space there, {_OTHER_DISK}")
    if exc.errno == errno.EDQUOT:
        return f"quota exceeded for {folder}", f"free some disk space there (see `quota -s`), {_OTHER_DISK}"
    if exc.errno == errno.EROFS:
        return f"{folder} is on a disk that is mounted read-only", f"mount it writable, {_OTHER_DISK}"
    text = f"cannot write to {folder}: {exc.strerror or exc}"
    return text, ANOTHER


def _few_inodes(folder: Path) -> tuple[str, str] | None:
    usage = os.statvfs(folder)
    if not usage.f_files or usage.f_favail >= _MIN_INODES:  # file systems without inode counts report 0 of 0
        return None
    text = f"almost no free inodes on the disk of {folder}: {usage.f_favail}"
    return text, f"remove files there (see `df -i`), {_OTHER_DISK}"
