"""Files with one writer process at a time, protected by a lock that the kernel releases when its holder dies."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

TEMPORARY = ".tmp-"


@contextmanager
def temporary_file(folder: Path) -> Iterator[tuple[int, Path]]:
    """Yield a new, locked file in `folder`, which is deleted afterwards; after a SIGKILL, `sweep` deletes it."""
    while True:
        handle, name = tempfile.mkstemp(prefix=TEMPORARY, dir=folder)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            break
        os.close(handle)  # another process swept the file between the two calls
    try:
        yield handle, Path(name)
    finally:
        os.close(handle)
        with suppress(FileNotFoundError):
            os.unlink(name)


def sweep(folder: Path) -> None:
    """Delete temporary files whose writer is dead.

    Best-effort: files that cannot be deleted remain, and a `folder` that is a link is ignored.
    """
    with suppress(OSError):
        if folder.is_symlink():
            return
        for name in os.listdir(folder):
            if name.startswith(TEMPORARY):
                with suppress(OSError):
                    _remove_unlocked(folder / name)


def _remove_unlocked(path: Path) -> None:
    handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    finally:
        os.close(handle)


@contextmanager
def locked_file(path: Path, create: bool) -> Iterator[int | None]:
    """Yield the handle of the file at `path` while its lock is held; None if absent.

    A file with two hard links has been committed as an object, but not yet deleted under its upload's name: writing to
    it would change the object. Delete this name, and treat the file as absent.
    """
    handle = _open_locked(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0))
    try:
        yield handle
    finally:
        if handle is not None:
            os.close(handle)


def _open_locked(path: Path, flags: int) -> int | None:
    while True:
        try:
            handle = os.open(path, flags, 0o600)
        except FileNotFoundError:
            if flags & os.O_CREAT:
                raise
            return None
        with ExitStack() as unless_returned:
            unless_returned.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX)
            status = os.fstat(handle)
            if _is_at(path, status):
                if status.st_nlink == 1:
                    unless_returned.pop_all()
                    return handle
                path.unlink()


def _is_at(path: Path, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), status)
    except FileNotFoundError:
        return False
