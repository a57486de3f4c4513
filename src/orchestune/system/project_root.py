"""The folder of a project: the nearest one above a script that bears a mark of a project."""

from __future__ import annotations

import os
import pwd
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

FILE = "experiment.yml"
MARKS = (FILE, ".git", "pyproject.toml", "setup.py", ".orchestuneignore")
"""files and folders that mark the root of a project"""


@dataclass(frozen=True)
class ProjectRoot:
    """The root of a project, and the mark in it; without a mark it is the folder of the script."""

    path: Path
    mark: str = ""


def project_root(folder: Path, *, rewritten: bool = False) -> ProjectRoot:
    """Return the nearest of `folder` (a real path) and the folders above it that has a mark, otherwise `folder`.

    The search ends below the home folder, `/` and folders in which every user can create files, such as /tmp: none of
    these is a project. A mark of another user does not count, unless that user is root or owns `folder`. Nor does the
    experiment file in `folder` that is about to be `rewritten`.
    """
    owners = {os.geteuid(), 0}
    with suppress(OSError):
        owners.add(folder.stat().st_uid)
    for candidate in (folder, *folder.parents):
        if is_no_project(candidate):
            break
        for mark in MARKS:
            if rewritten and (candidate, mark) == (folder, FILE):
                continue
            if _is_owned(candidate / mark, owners):
                return ProjectRoot(candidate, mark)
    return ProjectRoot(folder)


def is_no_project(folder: Path) -> bool:
    """Return True if the folder holds more than one project: `/`, a home folder or one above it, or such as /tmp.

    In a folder that every user can write to, another user can rename files to a mark of a project.
    """
    try:
        is_shared = bool(folder.stat().st_mode & (stat.S_ISVTX | stat.S_IWOTH))
    except OSError:
        return True
    return is_shared or any(home == folder or folder in home.parents for home in _homes())


def _homes() -> list[Path]:
    homes = [os.path.expanduser("~")]
    with suppress(KeyError):  # a container's uid without an entry in the password file
        homes.append(pwd.getpwuid(os.getuid()).pw_dir)
    return [Path(os.path.realpath(home)) for home in homes]


def _is_owned(path: Path, owners: set[int]) -> bool:
    try:
        return path.lstat().st_uid in owners
    except OSError:
        return False


def is_planted(path: Path) -> bool:
    """Return True if the file belongs to another user, and its folder is one in which every user can create files."""
    try:
        is_shared = bool(path.absolute().parent.stat().st_mode & stat.S_IWOTH)
    except OSError:
        return False
    return is_shared and os.path.lexists(path) and not _is_owned(path, {os.geteuid(), 0})


def leads_out(path: Path | str, folder: Path | str) -> bool:
    """Return True if `path`, after links are resolved, is neither `folder` nor in it."""
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def is_hidden_elsewhere(path: Path | str, folder: Path | str) -> bool:
    """Return True if `path` leads out of `folder`, to a hidden file or into a hidden folder such as ~/.config.

    Such files often hold keys of the user, and the author of a project may be another person. All folders of the path
    count: from a project in ~/.local/src, `../../share/keyrings` leads to keys too.
    """
    hidden = any(part.startswith(".") for part in Path(os.path.realpath(path)).parts)
    return hidden and leads_out(path, folder)


def root_at(path: str, folder: Path) -> Path:
    """Return the real path of `path`, which is relative to `folder`; `folder` if it is empty."""
    return Path(os.path.realpath(folder / os.path.expanduser(path)))
