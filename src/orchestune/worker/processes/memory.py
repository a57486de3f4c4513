"""Memory limit and OOM kills of this worker's control group."""

from __future__ import annotations

import os
import re
import time

COUNT_CACHE_SECONDS = 0.25
"""seconds for which a count of kills may be reused as the baseline of an attempt"""


class ControlGroup:
    """The memory control group (v1 or v2) of this process; /proc and /sys are below `root`.

    In a container or pod it is the container's. Without a control group there is no limit and no kills.
    """

    def __init__(self, root: str = "/") -> None:
        self._folder = _folder(root)
        self._counted = float("-inf")
        self._kills = 0

    def recent_kills(self) -> int:
        """Return `kills`, cached for COUNT_CACHE_SECONDS because it is called at every start."""
        now = time.monotonic()
        if now - self._counted >= COUNT_CACHE_SECONDS:
            self._kills, self._counted = self.kills(), now
        return self._kills

    def kills(self) -> int:
        """Return the number of OOM-killed processes since the group was created."""
        for name in ("memory.events", "memory.oom_control"):
            match = re.search(r"^oom_kill (\d+)", self._read(name), re.MULTILINE)
            if match:
                return int(match.group(1))
        return 0

    def limit(self) -> int | None:
        """Return the limit in bytes; None if unlimited."""
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = self._read(name).strip()
            if text.isdigit() and int(text) < 2**60:  # cgroup v1 uses a larger number for "unlimited"
                return int(text)
        return None

    def _read(self, name: str) -> str:
        if self._folder is None:
            return ""
        try:
            with open(os.path.join(self._folder, name), encoding="ascii") as file:
                return file.read()
        except OSError:
            return ""


def explain(limit: int | None, peak: int) -> str:
    """Explain an OOM kill to the user, given the group's limit and the peak memory of the command (0: unknown)."""
    peak_text = f"; its peak was {_size(peak)}" if peak else ""
    if limit is None:
        return f"out of memory: killed because the machine had no memory left{peak_text}"
    return f"out of memory: killed at its memory limit of {_size(limit)}{peak_text}"


def _size(size: int) -> str:
    return f"{size / 2**30:.3g} GiB" if size >= 2**30 else f"{size / 2**20:.4g} MiB"


def _folder(root: str) -> str | None:
    for candidate in _candidates(root):
        if any(os.path.exists(os.path.join(candidate, name)) for name in ("memory.events", "memory.oom_control")):
            return candidate
    return None


def _candidates(root: str) -> list[str]:
    """Return the possible folders of the group: at its path on the host, or at the top as in a container."""
    mount = os.path.join(root, "sys/fs/cgroup")
    try:
        with open(os.path.join(root, "proc/self/cgroup"), encoding="utf-8") as file:
            entries = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        return []
    folders: list[str] = []
    for entry in entries:
        if len(entry) == 3 and "memory" in entry[1].split(","):
            top = os.path.join(mount, entry[1])
            folders += [os.path.join(top, entry[2].lstrip("/")), top]
    for entry in entries:
        if len(entry) == 3 and not entry[1]:
            folders += [os.path.join(mount, entry[2].lstrip("/")), mount]
    return folders
