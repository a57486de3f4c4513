"""The limits of this process's control groups, in a container, a job or a service."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path


def memory(root: Path = Path("/")) -> int:
    """Return the machine's memory in bytes, at most what this process's control groups allow."""
    try:
        match = re.search(r"^MemTotal:\s*(\d+) kB", (root / "proc/meminfo").read_text(), re.MULTILINE)
    except FileNotFoundError:  # not Linux
        match = None
    allowed = int(match[1]) * 1024 if match else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for folder in limiting_groups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            allowed = min([allowed, *(int(word) for word in words_of(folder / name) if word.isdecimal())])
    return allowed


def limiting_groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of the control groups (v1 or v2) that limit this process, innermost first."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    tree = root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            tops = [tree, tree / "unified"]
        elif controller in controllers.split(","):
            tops = [tree / controllers, tree / controller]
        else:
            continue
        for top in tops:
            own = top if ".." in path else top / path.lstrip("/")  # "..": above this container's view
            yield own
            yield from (parent for parent in own.parents if parent == top or top in parent.parents)


def words_of(path: Path) -> list[str]:
    """Return the words of a file; empty if it is missing."""
    try:
        return path.read_text().split()
    except OSError:
        return []
