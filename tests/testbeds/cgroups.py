"""Control groups of a testbed: made where each hierarchy is mounted, and removed again with everything below them."""

from __future__ import annotations

from pathlib import Path

from tests.testbeds.waiting import until


def hierarchies() -> list[Path]:
    """Return the mount points of control groups: one folder of version 2, or one per controller of version 1."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return [Path(mount[1]) for mount in mounts if mount[2] in ("cgroup", "cgroup2")]


def groups(prefix: str) -> list[Path]:
    """The groups whose name begins so."""
    return [group for hierarchy in hierarchies() for group in hierarchy.glob(f"{prefix}*")]


def make(name: str) -> None:
    """An empty group in every hierarchy. In a cpuset of version 1 nothing may run before it has processors."""
    for hierarchy in hierarchies():
        group = hierarchy / name
        group.mkdir(parents=True, exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if (group / setting).exists() and "cpuset" in hierarchy.name:
                (group / setting).write_text((hierarchy / setting).read_text())


def remove(name: str) -> None:
    """Remove a group whose processes are gone; the kernel may need a moment to let go of it. Idempotent."""
    for hierarchy in hierarchies():
        until(f"{hierarchy / name} to be empty", lambda group=hierarchy / name: _removed(group))  # type: ignore[misc]


def _removed(group: Path) -> bool:
    if not group.is_dir():
        return True
    try:
        children = sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True)
        for folder in (*children, group):
            folder.rmdir()
    except OSError:
        return False
    return True
