"""Removes files and folders that a user's program left, whatever their modes and depth."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def clear(path: str) -> None:
    """Ensure that `path` does not exist; fast if it is absent or a file. Raises OSError if something is left."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError:
        if not remove(Path(path)):
            raise


def remove(path: Path) -> bool:
    """Remove a file or folder of any mode and depth. Return False if something is left."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(str(path))
        elif os.path.lexists(str(path)):
            path.unlink()
        return True
    except (OSError, RecursionError):
        pass
    with suppress(OSError):
        _take_apart(str(path))
    return not os.path.lexists(str(path))


def _take_apart(path: str) -> None:
    """Remove a folder as far as possible.

    Nested folders are moved up to its top level one by one, so that at any depth no path gets too long and no
    descriptor has to stay open.
    """
    os.chmod(path, 0o700)
    top = os.open(path, _FOLDER)
    try:
        pending = _clear(top)
        while pending:
            name = pending.pop()
            with suppress(OSError):
                folder = os.open(name, _FOLDER, dir_fd=top)
                try:
                    for child in _clear(folder):
                        unique_name = os.urandom(16).hex()
                        with suppress(OSError):
                            os.rename(child, unique_name, src_dir_fd=folder, dst_dir_fd=top)
                            pending.append(unique_name)
                finally:
                    os.close(folder)
                os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(path)


def _clear(folder: int) -> list[str]:
    """Remove everything but folders, make these accessible and return their names."""
    folders: list[str] = []
    with os.scandir(folder) as entries:
        for entry in list(entries):
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    os.chmod(entry.name, 0o700, dir_fd=folder)
                    folders.append(entry.name)
                else:
                    os.unlink(entry.name, dir_fd=folder)
    return folders
