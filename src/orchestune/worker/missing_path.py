"""Explains failures by a path that exists in the original folder of the project but not in the trial's copy of it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

_COMPLAINT = re.compile(
    r"no such file|not found|not exist|(?:cannot|can't|couldn't|unable to) open|cannot find|cannot access|enoent",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"""'([^']+)'|"([^"]+)"|`([^`']+)['`]""")
_WORD = re.compile(r"[^\s:;,()\[\]'\"`]+")
_MODULE = re.compile(r"No module named '?([A-Za-z_]\w*)")
_MAX_LEVELS = 3
"""folders above the project in which a module is searched for"""
_MAX_ENTRIES = 200
"""entries of such a folder of which the folders are searched, too"""


class ProjectCopy(NamedTuple):
    """A project and the trial's copy of it."""

    root: str
    """original folder of the project"""
    folder: str
    """folder of the command, relative to it"""
    view: str
    """the copy"""


def explain_missing(tail: str, project: ProjectCopy) -> str:
    """Return why a path in the last lines of a log is missing, and what to do; empty if none of them is the cause."""
    if not os.path.isdir(project.root):  # another machine
        return ""
    for line in reversed(tail.splitlines()):
        for name, original in _missing_paths(line, project):
            return _explanation(name, original, project)
    return ""


def _missing_paths(line: str, project: ProjectCopy) -> Iterator[tuple[str, str]]:
    """Yield the paths in a line that only the original folder has, as written and in the original."""
    module = _MODULE.search(line)
    if module:
        original = _module(module[1], project)
        if original:
            yield module[1], original
    if not _COMPLAINT.search(line):
        return
    quoted = [match[1] or match[2] or match[3] for match in _QUOTED.finditer(line)]
    for name in [*quoted, *_WORD.findall(line)]:
        original = _original(name, project)
        if original and os.path.exists(original) and not os.path.lexists(_in_view(name, project)):
            yield name, original


def _in_view(name: str, project: ProjectCopy) -> str:
    return os.path.normpath(os.path.join(project.view, project.folder, name))


def _original(name: str, project: ProjectCopy) -> str:
    """Return the path in the original folder; empty if the path is not part of the trial's folder."""
    if "\0" in name or name.strip("./") == "":
        return ""
    if not os.path.isabs(name):
        return os.path.normpath(os.path.join(project.root, project.folder, name))
    relative = os.path.relpath(name, project.view)
    slot = os.path.dirname(project.view)  # `../data` of the view is in it
    return os.path.normpath(os.path.join(project.root, relative)) if name.startswith(f"{slot}/") else ""


def _module(name: str, project: ProjectCopy) -> str:
    """Return the module in the original project or above it that the trial's copy lacks; empty if there is none."""
    folder = os.path.normpath(os.path.join(project.root, project.folder))
    for _ in range(len(project.folder.split("/")) + _MAX_LEVELS):
        if _holds_more(folder):
            break
        for place in (folder, *_subfolders(folder)):
            for path in (os.path.join(place, f"{name}.py"), os.path.join(place, name, "__init__.py")):
                relative = os.path.relpath(path, project.root)
                if os.path.isfile(path) and not os.path.lexists(os.path.join(project.view, relative)):
                    return path
        folder = os.path.dirname(folder)
    return ""


def _subfolders(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            first = list(islice(entries, _MAX_ENTRIES))
        return sorted(entry.path for entry in first if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return []


def _holds_more(folder: str) -> bool:
    """Return True if no project contains the folder: `/`, the home folder, or one shared by all users."""
    try:
        is_sticky = bool(os.stat(folder).st_mode & stat.S_ISVTX)
    except OSError:
        return True
    return is_sticky or folder in ("/", os.path.realpath(os.path.expanduser("~")))


def _explanation(name: str, original: str, project: ProjectCopy) -> str:
    common = os.path.commonpath([project.root, original])
    if common == project.root:
        return (
            f"{name!r} exists in the original folder ({original}) but not in the trial's copy, which has the files of"
            " the start without those that `keep` and ignore files leave out; start again, or pass its absolute path"
        )
    text = f"{name!r} exists in the original folder ({original}), but trials only get {project.root}"
    if _holds_more(common):
        return f"{text}; pass its absolute path"
    return f"{text}; start it with --root {common}, or pass its absolute path"
