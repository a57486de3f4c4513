"""A slot's private, writable view of the bundle: the folder in which the user's command runs."""

from __future__ import annotations

import filecmp
import math
import os
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from orchestune.worker.files.bundle import UnpackedBundle
from orchestune.worker.files.removal import remove

COMPILED = "__pycache__"
"""Python's bytecode cache, which it validates itself: never in a bundle, and kept for the next trial"""
SMALL = 256
"""entries of a folder up to which comparing and repairing it is faster than passing it to another thread"""
SMALL_BYTES = 2**23
"""bytes up to which removing one file is fast, and copying all changed files together"""
SETTLED = 50_000_000
"""nanoseconds after which two writes surely have different timestamps"""


class _TooMuch(OSError):
    """The folder is too large to be handled in the loop's thread."""


class TrialFolder:
    """Folder that is reused by the next trial: unchanged files stay, changed ones are restored, bytecode is kept."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._generation = 0
        self.folder = parent / "view-0"
        self._bundle: UnpackedBundle | None = None
        self._links: dict[str, str] = {}
        self._marks: dict[str, tuple[int, int, int, int]] = {}
        self._noted = 0
        self._ready = False

    def prepare_quickly(self, bundle: UnpackedBundle | None, links: dict[str, str]) -> bool:
        """Prepare the folder if that is fast enough for the loop's thread. Return False if not, without changes."""
        empty = bundle is None and not links
        if not (self._ready and self._fits(bundle, links) and len(self._marks) <= SMALL):
            if not empty or os.path.lexists(str(self.folder)):
                return False
            self._build(bundle, links)
            return True
        try:
            self._repair(SMALL)
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
        return same and links == self._links

    def _build(self, bundle: UnpackedBundle | None, links: dict[str, str]) -> None:
        self._ready = False
        if not remove(self.folder):
            self._generation += 1
            self.folder = self._parent / f"view-{self._generation}"
            remove(self.folder)
        self.folder.mkdir(parents=True, mode=0o700)
        self._bundle, self._links = bundle, dict(links)
        if bundle is not None:
            for path in bundle.directories:
                os.mkdir(str(self.folder / path))
            for path in bundle.files:
                self._copy(path)
            for path, target in bundle.links.items():
                os.symlink(target, str(self.folder / path))
        for path, target in self._links.items():
            self._link(path, target)
        self._note(self._scan())
        self._ready = True

    def _copy(self, path: str) -> None:
        assert self._bundle is not None
        shutil.copy2(str(self._bundle.folder / path), str(self.folder / path), follow_symlinks=False)

    def _link(self, path: str, target: str) -> None:
        place = self.folder / path
        if os.path.lexists(str(place)):
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        os.symlink(target, str(place))

    def _note(self, marks: dict[str, tuple[int, int, int, int]]) -> None:
        self._marks, self._noted = marks, time.time_ns()

    def _scan(self, most: float = math.inf) -> dict[str, tuple[int, int, int, int]]:
        """Return the marks of all entries. Raises _TooMuch for more than `most`, or a file above SMALL_BYTES then."""
        marks: dict[str, tuple[int, int, int, int]] = {}
        waiting = [""]
        root = str(self.folder)
        while waiting:
            below = waiting.pop()
            with os.scandir(f"{root}/{below}" if below else root) as entries:
                for entry in entries:
                    path = f"{below}/{entry.name}" if below else entry.name
                    about = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(about.st_mode):
                        if entry.name == COMPILED:
                            continue
                        waiting.append(path)
                        marks[path] = (about.st_ino, about.st_mode, 0, 0)
                    else:
                        marks[path] = (about.st_ino, about.st_mode, about.st_ctime_ns, about.st_size)
                        if about.st_size > SMALL_BYTES and most < math.inf:
                            raise _TooMuch
            if len(marks) > most:
                raise _TooMuch
        return marks

    def _repair(self, most: float = math.inf) -> None:
        """Restore changed entries. With a finite `most`, raises _TooMuch before any change if that is too much work.

        A timestamp within SETTLED of the last scan does not prove that a file is unchanged, so its content is compared.
        """
        found = self._scan(most)
        unsure = [path for path, mark in self._marks.items() if mark[2] > self._noted - SETTLED]
        if found == self._marks and not unsure:
            return
        dirty = {path for path, mark in self._marks.items() if found.get(path) != mark}
        dirty.update(path for path in unsure if path not in dirty and not self._same(path))
        made_anew = {path for path in dirty if stat.S_ISDIR(self._marks[path][1])}
        if made_anew:
            dirty.update(path for path in self._marks if any(above in made_anew for above in _above(path)))
        if most < math.inf and sum(self._marks[path][3] for path in dirty) > SMALL_BYTES:
            raise _TooMuch
        for path in sorted(found.keys() - self._marks.keys(), reverse=True):
            if not remove(self.folder / path):
                raise PermissionError(f"cannot remove {path}")
        for path in sorted(dirty):  # a folder sorts before its content
            self._restore(path)
        self._note(self._scan())

    def _same(self, path: str) -> bool:
        assert self._bundle is not None or path in self._links
        place = str(self.folder / path)
        if os.path.islink(place):
            target = self._links.get(path) or (self._bundle.links.get(path) if self._bundle else None)
            return os.readlink(place) == target
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


def _above(path: str) -> Iterator[str]:
    """Yield the parent folders of a path, outermost first."""
    at = path.find("/")
    while at >= 0:
        yield path[:at]
        at = path.find("/", at + 1)


def project_links(root: str | None, links: list[str], bundle: UnpackedBundle | None) -> dict[str, str]:
    """Return the links of a view to existing paths of the project that its bundle leaves out."""
    found: dict[str, str] = {}
    for path in links if root else ():
        target = os.path.join(root or "", path)
        parts = path.split("/")
        if os.path.isabs(path) or ".." in parts or not os.path.lexists(target):
            continue
        taken = bundle is not None and (path in bundle.files or path in bundle.links or path in bundle.directories)
        blocked = bundle is not None and any("/".join(parts[:n]) in bundle.links for n in range(1, len(parts)))
        if not taken and not blocked:
            found[path] = target
    return found
