"""Permissions of existing files in a state folder: an older version, or a copy, may have let others read them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

_OTHERS_BITS = 0o077
_MAX_ENTRIES = 10_000
"""maximum of entries to check, which bounds the startup time: nothing below a private folder is reachable by others"""
_CONTAINER_FOLDERS = frozenset(("cache", "docker"))
"""folders with files that container users must read: the worker's programs and the server's address"""


def tighten(state: Path, database: Path | None) -> int:
    """Remove the permissions of all other users from the state folder, its entries, and the database with its copies.

    Returns the number of files that others could read. Entries of other users, and symlinks, are not changed.
    """
    was_open = _close(state)  # the folder first: then no other user can replace its entries by symlinks
    closed = [path for path in islice(_entries(state, database, deep=was_open), _MAX_ENTRIES) if _close(path)]
    return sum(not path.is_dir() for path in closed)


def _entries(state: Path, database: Path | None, *, deep: bool) -> Iterator[Path]:
    if database is not None and database.parent != state:
        yield from _children(database.parent, database.name)
    yield from _children(state)
    if not deep:
        return
    for folder in _children(state):
        if folder.name not in _CONTAINER_FOLDERS and folder.is_dir() and not folder.is_symlink():
            yield from _children(folder)


def _children(folder: Path, prefix: str = "") -> Iterator[Path]:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(prefix):
                yield Path(entry.path)


def _close(path: Path) -> bool:
    """Remove the permissions of other users; return True if they had any."""
    try:
        status = path.lstat()
        is_ours = status.st_uid == os.geteuid() and (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode))
        if not is_ours or not status.st_mode & _OTHERS_BITS:
            return False
        path.chmod(stat.S_IMODE(status.st_mode) & ~_OTHERS_BITS)
    except OSError:  # deleted meanwhile, or the file system has no permissions
        return False
    return True
