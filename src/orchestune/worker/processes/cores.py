"""CPU pinning: reserves cores for a trial, so that no other pinned trial of this machine runs on them."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path


class Cores:
    """Reservations as file locks, one file per core: shared by the workers of this machine, and released by the kernel
    however a worker exits.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / _machine()
        self._held: dict[str, list[int]] = {}
        self._order: list[list[int]] = []

    def take(self, attempt: str, count: int) -> list[int]:
        """Reserve `count` cores, on the same NUMA node if possible. Return an empty list if too few are free."""
        locks: dict[int, int] = {}
        chosen: list[int] = []
        try:
            self._order = self._order or by_node(usable())
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._alone():
                try:
                    for core in [core for node in self._order for core in node]:
                        lock = self._lock(str(core))
                        if lock >= 0:
                            locks[core] = lock
                    chosen = choose([[core for core in node if core in locks] for node in self._order], count)
                finally:
                    for core in locks.keys() - chosen:
                        os.close(locks[core])
        except OSError:
            return []
        self._held[attempt] = [locks[core] for core in chosen]
        return chosen

    def release(self, attempt: str) -> None:
        """Release the cores of an attempt."""
        for lock in self._held.pop(attempt, ()):
            os.close(lock)

    def _lock(self, name: str) -> int:
        """Lock a file and return its descriptor; -1 if another process holds the lock."""
        descriptor = os.open(str(self._folder / name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return -1
        return descriptor

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Serialize choosing between workers, since it briefly locks all free cores."""
        descriptor = os.open(str(self._folder / "choosing"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def not_pinned(count: int) -> str:
    """Return the log message for a trial that could not be pinned."""
    return f"not pinned: too few cores are free of other pinned trials (wanted: {count})"


@contextlib.contextmanager
def on(cores: Collection[int]) -> Iterator[None]:
    """Pin processes that this thread starts inside the context to `cores`; no effect if empty."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def choose(free: Sequence[Sequence[int]], count: int) -> list[int]:
    """Choose `count` of the free cores, given by node: best fit on one node, otherwise across nodes."""
    enough = [node for node in free if len(node) >= count]
    if enough:
        return list(min(enough, key=len)[:count])
    together = [core for node in free for core in node]
    return together[:count] if len(together) >= count else []


def usable() -> list[int]:
    """Return the cores on which this process may run. Raises OSError if the system does not support pinning."""
    if not hasattr(os, "sched_getaffinity"):
        raise OSError("this system does not pin")
    return sorted(os.sched_getaffinity(0))


def by_node(cores: Collection[int], root: str = "/sys/devices/system") -> list[list[int]]:
    """Group cores by NUMA node, with the hardware threads of one core next to each other."""
    nodes: dict[int, list[tuple[int, int]]] = {}
    for core in cores:
        folder = f"{root}/cpu/cpu{core}"
        nodes.setdefault(_node(folder), []).append((_number(f"{folder}/topology/core_id"), core))
    return [[core for _, core in sorted(nodes[node])] for node in sorted(nodes)]


def _node(folder: str) -> int:
    try:
        names = [name[4:] for name in os.listdir(folder) if name.startswith("node") and name[4:].isdigit()]
    except OSError:
        return 0
    return int(names[0]) if names else 0


def _number(path: str) -> int:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def _machine() -> str:
    """Return an id of this machine's boot, since several machines may share the folder."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return os.uname().nodename
