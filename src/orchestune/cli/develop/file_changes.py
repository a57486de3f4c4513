"""Detection of saved files.

By polling rather than by a library's events: it checks exactly the files that would be packed, works on network folders
and in containers, where events do not arrive, and takes a few milliseconds per thousand files.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from orchestune.bundles.listing import plan
from orchestune.errors import BadInput

_MIN_POLL_SECONDS = 0.15
"""minimum seconds between two polls; writes within that time count as one save"""
_MIN_PAUSE_FACTOR = 9
"""pause for at least 9x the duration of a poll: at most 10 % of the time"""


class FileChanges:
    """The files of a folder that would be packed."""

    def __init__(self, folder: Path, ignore: Sequence[str]) -> None:
        self._folder, self.ignore = folder, tuple(ignore)
        self.pause = _MIN_POLL_SECONDS
        """seconds to wait before the next poll"""
        self._reported = self._latest = self._scan()

    @property
    def count(self) -> int:
        """Number of files."""
        return len(self._latest)

    def look(self) -> list[str]:
        """Return the paths changed since the last report, once two polls agree; else an empty list."""
        states = self._scan()
        if states != self._latest:
            self._latest = states
            return []
        changed = [
            path for path in states.keys() | self._reported.keys() if states.get(path) != self._reported.get(path)
        ]
        self._reported = states
        return sorted(changed)

    def _scan(self) -> dict[str, tuple[int, ...]]:
        started = time.monotonic()
        states: dict[str, tuple[int, ...]] = {}
        try:
            listing = plan(self._folder, self.ignore, sys.maxsize)
        except BadInput:  # for example a link that leads outside; `test` reports it
            return {"": (0,)}
        for entry in listing.entries:
            try:
                status = os.lstat(self._folder / entry.path)
            except OSError:
                continue
            states[entry.path] = (status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns)
        self.pause = max(_MIN_POLL_SECONDS, (time.monotonic() - started) * _MIN_PAUSE_FACTOR)
        return states
