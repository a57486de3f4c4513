"""Ignored paths that are not linked into trials because trials write there.

Through a link, trials would overwrite each other's files and those of the folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from orchestune.bundles.listing import is_text

_WILD = re.compile(r"[*?\[]")
_MAX_LINKED_ENTRIES = 1000
"""maximum number of entries of a folder that are linked one by one"""


@dataclass(frozen=True)
class PathDivision:
    """Ignored paths, divided into linked ones and those private to each trial; sorted."""

    linked: tuple[str, ...]
    own: tuple[str, ...]
    """not linked: each trial creates its own"""
    folders: tuple[str, ...]
    """folders that trials write to: created empty in each trial"""


def divide(folder: Path, left_out: Iterable[str], keep: Iterable[str]) -> PathDivision:
    """Divide the topmost ignored paths by the patterns of `keep`.

    A folder above a path that a pattern names is divided in turn. A pattern that begins with a wildcard (`*.pt`)
    applies only to paths that it matches, not to the content of an ignored folder; a pattern of wildcards only is
    ignored.
    """
    patterns = [parts for pattern in keep if re.search(r"[^*?/.]", pattern) and (parts := _parts(pattern))]
    linked, own, folders = list[str](), list[str](), list[str]()
    real, pending = folder.resolve(), list(left_out)
    while pending:
        path = pending.pop()
        parts, is_folder = path.split("/"), (folder / path).is_dir()
        leads_to_pattern = any(_leads_to(pattern, parts) for pattern in patterns)
        if not leads_to_pattern and not any(_names(pattern, parts, is_folder) for pattern in patterns):
            linked.append(path)
            continue
        names = _entries(folder / path) if leads_to_pattern else None
        if names is None:
            own.append(path)
        else:
            pending += [f"{path}/{name}" for name in names]
        if is_folder and (folder / path).resolve() == real / path:
            folders.append(path)
    return PathDivision(tuple(sorted(linked)), tuple(sorted(own)), tuple(sorted(folders)))


def _parts(pattern: str) -> list[str]:
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    while parts and parts[-1] == "**":
        parts.pop()
    return parts


def _leads_to(pattern: Sequence[str], path: Sequence[str]) -> bool:
    """Return True if the path is above the path that the pattern names, without using a wildcard."""
    return len(path) < len(pattern) and pattern[: len(path)] == path and not any(map(_WILD.search, path))


def _names(pattern: Sequence[str], path: Sequence[str], is_folder: bool) -> bool:
    """Return True if the pattern names the path, a folder above it, or possibly something in it."""
    return _matches(pattern, path, is_folder and not _WILD.search(pattern[0]))


def _matches(pattern: Sequence[str], path: Sequence[str], above: bool) -> bool:
    if not pattern or not path:
        return above if pattern else True
    if pattern[0] == "**":
        return _matches(pattern[1:], path, above) or _matches(pattern, path[1:], above)
    return fnmatchcase(path[0], pattern[0]) and _matches(pattern[1:], path[1:], above)


def _entries(folder: Path) -> list[str] | None:
    """Return the names in a folder; None if it is not a folder, or has too many entries to link them one by one."""
    try:
        names = os.listdir(folder)
    except OSError:
        return None
    return [name for name in names if is_text(name)] if len(names) <= _MAX_LINKED_ENTRIES else None
