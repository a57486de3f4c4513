"""Notices that code was saved.

By looking again and again rather than by a library's events: what counts is exactly what would be packed, it works on
network folders and in containers, where events do not arrive, and a look at a thousand files takes some milliseconds.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from orchestune.bundles.listing import plan
from orchestune.errors import BadInput

_LEAST = 0.15
"""seconds between two looks; what was written in that time belongs to one save"""
_SHARE = 9
"""a look takes a tenth of the time at most"""


class FileChanges:
    """The files of a folder that would be packed."""

    def __init__(self, folder: Path, ignore: Sequence[str]) -> None:
        self._folder, self.ignore = folder, tuple(ignore)
        self.pause = _LEAST
        """seconds until it is worth looking again"""
        self._told = self._last = self._scan()

    @property
    def count(self) -> int:
        """How many files there are."""
        return len(self._last)

    def look(self) -> list[str]:
        """What was saved since the last time that this told of something, once it has come to rest; else nothing."""
        found = self._scan()
        if found != self._last:
            self._last = found
            return []
        changed = [path for path in found.keys() | self._told.keys() if found.get(path) != self._told.get(path)]
        self._told = found
        return sorted(changed)

    def _scan(self) -> dict[str, tuple[int, ...]]:
        began = time.monotonic()
        found: dict[str, tuple[int, ...]] = {}
        try:
            listing = plan(self._folder, self.ignore, sys.maxsize)
        except BadInput:  # a link that leads out, say: `test` tells of it
            return {"": (0,)}
        for entry in listing.entries:
            try:
                about = os.lstat(self._folder / entry.path)
            except OSError:
                continue
            found[entry.path] = (about.st_mode, about.st_ino, about.st_size, about.st_mtime_ns)
        self.pause = max(_LEAST, (time.monotonic() - began) * _SHARE)
        return found
