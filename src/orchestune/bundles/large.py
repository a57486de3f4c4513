"""Selection of the data of a folder that is too large to be packed, and linked on this machine instead."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from orchestune.bundles.listing import ArchiveEntry, EntryKind, is_text
from orchestune.bundles.secret_files import SOURCE_SUFFIXES

_SOURCE = (*SOURCE_SUFFIXES, ".sh", ".ipynb")


def large_data(entries: Sequence[ArchiveEntry], limit: int, working_folder: str) -> dict[str, int]:
    """Return the largest data, as paths with their bytes, without which the entries are at most `limit` bytes.

    Data are the topmost folders without source code and the other files: a trial has its own copy of the code. Data may
    not suffice; then the rest is still too large. `working_folder` is never part of it.
    """
    remaining = sum(entry.size for entry in entries)
    selected: dict[str, int] = {}
    for path, size in sorted(_data(entries, working_folder).items(), key=lambda item: (-item[1], item[0])):
        if remaining <= limit or not size:
            break
        selected[path] = size
        remaining -= size
    return selected


def without(entries: Sequence[ArchiveEntry], paths: Sequence[str]) -> tuple[ArchiveEntry, ...]:
    """Return the entries that are none of the paths and not below one."""
    left_out = frozenset(paths)
    return tuple(entry for entry in entries if entry.path not in left_out and left_out.isdisjoint(_above(entry.path)))


def _data(entries: Sequence[ArchiveEntry], working_folder: str) -> dict[str, int]:
    """Return all data by path, with their bytes."""
    with_source = {"", working_folder, *_above(working_folder)}
    for entry in entries:
        if entry.path.endswith(_SOURCE) or entry.source:
            with_source.update(_above(entry.path))
    sizes: dict[str, int] = defaultdict(int)
    for entry in entries:
        if entry.kind is EntryKind.FILE and is_text(entry.path) and not entry.path.endswith(_SOURCE):
            topmost = next((folder for folder in _above(entry.path) if folder not in with_source), entry.path)
            sizes[topmost] += entry.size
    return sizes


def _above(path: str) -> Iterator[str]:
    """Yield the folders above a path, outermost first."""
    yield from (str(folder) for folder in reversed(PurePosixPath(path).parents) if str(folder) != ".")
