"""Crash-safe writes, and the translation of OSErrors of the disk to `StoreUnavailable`."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestune.errors import StoreUnavailable

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def disk_errors(root: Path, *, reading: bool = False) -> Iterator[None]:
    """Raise any OSError as a StoreUnavailable with a hint about the folder `root`. `reading`: the block only reads."""
    try:
        yield
    except OSError as exc:
        reason = exc.strerror or type(exc).__name__
        if exc.errno in _FULL:
            message, hint = f"no space is left for {root}: {reason}", "free space there or raise the quota; see `df -h`"
        elif exc.errno in _REFUSED:
            adjective, participle = ("readable", "read") if reading else ("writable", "written")
            message = f"{root} cannot be {participle}: {reason}"
            hint = f"make it {adjective} for the user that the server, or this command, runs as"
        else:
            message, hint = f"{root} cannot be used: {reason}", "check that it is a folder on a working disk"
        raise StoreUnavailable(message, hint) from exc


def write_all(handle: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data` at `offset`, with repeated calls after short writes."""
    remaining = memoryview(data)
    while remaining:
        written = os.pwrite(handle, remaining, offset)
        remaining, offset = remaining[written:], offset + written


def make_folder(folder: Path, mode: int = 0o700) -> None:
    """Create `folder` and its missing parents, and sync each new entry so that it survives a crash."""
    if folder.is_dir():
        return
    make_folder(folder.parent, mode)
    try:
        folder.mkdir(mode)
    except FileExistsError:
        if not folder.is_dir():
            raise
    else:
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Flush the directory entries of `folder` so that they survive a crash."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
