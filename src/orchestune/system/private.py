"""Files that their owner alone can read: tokens, addresses that carry one, what a worker is told; their locks, and the
folders in which they may be.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from orchestune.errors import UsageError

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)


def write_private(path: Path, text: str) -> None:
    """Replace a file at once with one of mode 0600; a reader never sees half of it. OSError where that cannot be."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def create_private(path: Path, text: str) -> bool:
    """Like `write_private`, but an existing file stays: False. Of several that try at once one gets True.

    On a disk without hard links, as exFAT and FAT are, a reader may see an empty file for a moment.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    write_private(temporary, text)
    try:
        try:
            os.link(temporary, path)
        except OSError as exc:
            if exc.errno not in _NO_LINKS:
                raise
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            os.replace(temporary, path)
    except FileExistsError:
        return False
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    return True


def refuse_foreign(folder: Path, name: str, hint: str) -> None:
    """UsageError if `folder` is there and other users of this machine could have put into it what they like.

    That is so if it, or the link that leads to it, is another user's (but not root's), or if it is a folder that
    everybody shares, as /tmp is. What is read there (addresses, tokens, databases) is believed.
    """
    ours = (os.geteuid(), 0)
    for read in (os.lstat, os.stat):
        try:
            status = read(folder)
        except OSError:  # who uses it says what is wrong
            return
        if status.st_uid not in ours:
            raise UsageError(f"cannot use {name} {folder}: it belongs to {_user(status.st_uid)}", hint)
    if status.st_mode & stat.S_ISVTX and status.st_mode & stat.S_IWOTH:
        raise UsageError(f"cannot use {name} {folder}: every user of this machine can write into it", hint)


def replaceable_by_others(folder: Path) -> Path | None:
    """Return the first of `folder` and those above it in which every user can rename what is there; None if none is.

    Such a user puts another folder in its place. A sticky folder, as /tmp is, lets only owners rename.
    """
    for path in (folder, *folder.absolute().parents):
        try:
            mode = path.stat().st_mode
        except OSError:  # a file system that is away says nothing of others
            continue
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            return path
    return None


def _user(number: int) -> str:
    try:
        return f"the user '{pwd.getpwuid(number).pw_name}'"
    except KeyError:
        return f"the user {number}"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Alone with what the lock at `path` stands for, among threads and processes; it dies with its holder. Waits."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
