"""A slot's private, writable view of the bundle: the folder in which the user's command runs.

Paths of the project that its bundle leaves out are links to them, so that data need no copy. Small files are copied
instead: a trial that writes `model.pkl` must not overwrite the one of its user, which git ignores.
"""

from __future__ import annotations

import filecmp
import math
import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Tuple

from orchestune.worker.files.bundle import UnpackedBundle
from orchestune.worker.files.removal import remove

BYTECODE_FOLDER = "__pycache__"
"""Python's bytecode cache, which it validates itself: never in a bundle, and kept for the next trial"""
MAX_QUICK_ENTRIES = 256
"""entries of a folder up to which comparing and repairing it is faster than passing it to another thread"""
MAX_QUICK_BYTES = 2**23
"""bytes up to which removing one file is fast, and copying all changed files together"""
MAX_COPIED_BYTES = 2**26
"""bytes of files outside the bundle that are copied into a view, the smallest first; larger files are linked"""
TIMESTAMP_NANOSECONDS = 50_000_000
"""nanoseconds after which two writes surely have different timestamps"""


_Stamp = Tuple[int, int, int]
"""inode, time of the last change in nanoseconds, and size of a file"""


def copied(targets: Mapping[str, str]) -> dict[str, _Stamp]:
    """Return which of these paths are copied into a view, with the stamps of their `targets`."""
    stamps = {}
    for path, target in targets.items():
        with suppress(OSError):
            status = os.lstat(target)
            if stat.S_ISREG(status.st_mode) and os.access(target, os.R_OK):
                stamps[path] = status.st_ino, status.st_mtime_ns, status.st_size
    total, chosen = 0, {}
    for path in sorted(stamps, key=lambda path: (stamps[path][2], path)):
        total += stamps[path][2]
        if total <= MAX_COPIED_BYTES:
            chosen[path] = stamps[path]
    return chosen


class _FolderTooLarge(OSError):
    """The folder is too large to be handled in the loop's thread."""


class TrialFolder:
    """Folder that is reused by the next trial: unchanged files stay, changed ones are restored, bytecode is kept."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._generation = 0
        self.folder = parent / "view-0"
        self._bundle: UnpackedBundle | None = None
        self._links: dict[str, str] = {}
        self._copied: dict[str, _Stamp] = {}
        """stamps of the links that are copies instead"""
        self._marks: dict[str, tuple[int, int, int, int]] = {}
        self._scanned_at = 0
        self._ready = False

    def prepare_quickly(self, bundle: UnpackedBundle | None, links: dict[str, str]) -> bool:
        """Prepare the folder if that is fast enough for the loop's thread. Return False if not, without changes."""
        empty = bundle is None and not links
        if not (self._ready and self._fits(bundle, links) and len(self._marks) <= MAX_QUICK_ENTRIES):
            if not empty or os.path.lexists(str(self.folder)):
                return False
            self._build(bundle, links)
            return True
        try:
            self._repair(MAX_QUICK_ENTRIES)
            return True
        except OSError:
            return False

    def prepare(self, bundle: UnpackedBundle | None, links: dict[str, str]) -> None:
        """Restore the folder to its initial state. `links` maps paths in the view to targets. Raises OSError."""
        if self._ready and self._fits(bundle, links):
            try:
                self._repair()
                return
            except OSError:
                pass  # a trial made it unreadable: build a new one
        self._build(bundle, links)

    def _fits(self, bundle: UnpackedBundle | None, links: dict[str, str]) -> bool:
        same = (self._bundle and self._bundle.folder) == (bundle and bundle.folder)
        return same and links == self._links and copied(links) == self._copied

    def _build(self, bundle: UnpackedBundle | None, links: dict[str, str]) -> None:
        self._ready = False
        if not remove(self.folder):
            self._generation += 1
            self.folder = self._parent / f"view-{self._generation}"
            remove(self.folder)
        self.folder.mkdir(parents=True, mode=0o700)
        self._bundle, self._links, self._copied = bundle, dict(links), copied(links)
        if bundle is not None:
            for path in bundle.directories:
                os.mkdir(str(self.folder / path))
            for path in bundle.files:
                self._copy(path)
            for path, target in bundle.links.items():
                os.symlink(target, str(self.folder / path))
        for path, target in self._links.items():
            self._link(path, target)
        self._store_marks(self._scan())
        self._ready = True

    def _copy(self, path: str) -> None:
        assert self._bundle is not None
        shutil.copy2(str(self._bundle.folder / path), str(self.folder / path), follow_symlinks=False)

    def _link(self, path: str, target: str) -> None:
        place = self.folder / path
        if os.path.lexists(str(place)):
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        if path in self._copied:
            shutil.copy2(target, str(place), follow_symlinks=False)
            _drop_special_modes(str(place))
        else:
            os.symlink(target, str(place))

    def _store_marks(self, marks: dict[str, tuple[int, int, int, int]]) -> None:
        self._marks, self._scanned_at = marks, time.time_ns()

    def written(self, max_entries: int) -> list[tuple[str, int]]:
        """Return path and size of each file that is new since the folder was prepared, or a changed copy of a link.

        Empty if the folder has more than `max_entries` entries, or cannot be read.
        """
        try:
            current = self._scan(max_entries, math.inf)
        except OSError:
            return []
        return [
            (path, mark[3])
            for path, mark in current.items()
            if stat.S_ISREG(mark[1])
            and (path not in self._marks or (path in self._copied and mark != self._marks[path]))
        ]

    def unchanged_copies(self) -> frozenset[str]:
        """Return the real paths of the copies of links whose content the trial has not changed."""
        paths = set()
        for path in self._copied:
            with suppress(OSError):
                if self._marks.get(path) == _file_mark(os.lstat(str(self.folder / path))) or self._same(path):
                    paths.add(os.path.realpath(str(self.folder / path)))
        return frozenset(paths)

    def _scan(
        self, max_entries: float = math.inf, max_bytes: float = MAX_QUICK_BYTES
    ) -> dict[str, tuple[int, int, int, int]]:
        """Return the marks of all entries.

        With a finite `max_entries`, raises _FolderTooLarge for more entries or a file above `max_bytes`.
        """
        marks: dict[str, tuple[int, int, int, int]] = {}
        pending = [""]
        root = str(self.folder)
        while pending:
            folder = pending.pop()
            with os.scandir(f"{root}/{folder}" if folder else root) as entries:
                for entry in entries:
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode):
                        if entry.name == BYTECODE_FOLDER:
                            continue
                        pending.append(path)
                        marks[path] = (status.st_ino, status.st_mode, 0, 0)
                    else:
                        marks[path] = _file_mark(status)
                        if status.st_size > max_bytes and max_entries < math.inf:
                            raise _FolderTooLarge
            if len(marks) > max_entries:
                raise _FolderTooLarge
        return marks

    def _repair(self, max_entries: float = math.inf) -> None:
        """Restore changed entries.

        With a finite `max_entries`, raises _FolderTooLarge before any change if that is too much work. A timestamp
        less than TIMESTAMP_NANOSECONDS before the last scan does not prove that a file is unchanged: its
        content is compared.
        """
        current = self._scan(max_entries)
        uncertain = [path for path, mark in self._marks.items() if mark[2] > self._scanned_at - TIMESTAMP_NANOSECONDS]
        if current == self._marks and not uncertain:
            return
        dirty = {path for path, mark in self._marks.items() if current.get(path) != mark}
        dirty.update(path for path in uncertain if path not in dirty and not self._same(path))
        recreated = {path for path in dirty if stat.S_ISDIR(self._marks[path][1])}
        if recreated:
            dirty.update(path for path in self._marks if any(parent in recreated for parent in _parents(path)))
        if max_entries < math.inf and sum(self._marks[path][3] for path in dirty) > MAX_QUICK_BYTES:
            raise _FolderTooLarge
        for path in sorted(current.keys() - self._marks.keys(), reverse=True):
            if not remove(self.folder / path):
                raise PermissionError(f"cannot remove {path}")
        for path in sorted(dirty):  # a folder sorts before its content
            self._restore(path)
        self._store_marks(self._scan())

    def _same(self, path: str) -> bool:
        assert self._bundle is not None or path in self._links
        place = str(self.folder / path)
        if os.path.islink(place):
            target = self._links.get(path) or (self._bundle.links.get(path) if self._bundle else None)
            return os.readlink(place) == target
        if path in self._copied:
            return filecmp.cmp(place, self._links[path], shallow=False)
        if self._bundle is None or path not in self._bundle.files:
            return False
        return filecmp.cmp(place, str(self._bundle.folder / path), shallow=False)

    def _restore(self, path: str) -> None:
        place = self.folder / path
        remove(place)
        bundle = self._bundle
        if bundle is not None and path in bundle.files:
            self._copy(path)
        elif bundle is not None and path in bundle.links:
            os.symlink(bundle.links[path], str(place))
        elif path in self._links:
            self._link(path, self._links[path])
        else:
            place.mkdir(parents=True, exist_ok=True)


def _drop_special_modes(path: str) -> None:
    """Remove the setuid, setgid and sticky bits of a copy: it belongs to this user, the original perhaps to another."""
    mode = os.lstat(path).st_mode
    if stat.S_ISREG(mode) and stat.S_IMODE(mode) & ~0o777:
        os.chmod(path, mode & 0o777)


def _file_mark(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_ino, status.st_mode, status.st_ctime_ns, status.st_size


def _parents(path: str) -> Iterator[str]:
    """Yield the parent folders of a path, outermost first."""
    at = path.find("/")
    while at >= 0:
        yield path[:at]
        at = path.find("/", at + 1)


def project_links(root: str | None, links: list[str], bundle: UnpackedBundle | None) -> dict[str, str]:
    """Return the links of a view to existing paths of the project that its bundle leaves out."""
    target_by_path: dict[str, str] = {}
    for path in links if root else ():
        target = os.path.join(root or "", path)
        parts = path.split("/")
        if os.path.isabs(path) or ".." in parts or not os.path.lexists(target):
            continue
        exists = bundle is not None and (path in bundle.files or path in bundle.links or path in bundle.directories)
        is_below_link = bundle is not None and any("/".join(parts[:n]) in bundle.links for n in range(1, len(parts)))
        if not exists and not is_below_link:
            target_by_path[path] = target
    return target_by_path
