"""CPU pinning: reserves cores for a trial, so that no other pinned trial of this machine runs on them."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path


class Cores:
    """Reservations as file locks, one file per core.

    The workers of this machine share them, and the kernel releases them however a worker exits.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / _boot_id()
        self._held: dict[str, list[int]] = {}
        self._order: list[list[int]] = []

    def reserve(self, attempt: str, count: int) -> list[int]:
        """Reserve `count` cores, on the same NUMA node if possible. Return an empty list if too few are free."""
        locks: dict[int, int] = {}
        chosen: list[int] = []
        try:
            self._order = self._order or by_node(usable())
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._exclusive():
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
    def _exclusive(self) -> Iterator[None]:
        """Serialize choosing between workers, since it briefly locks all free cores."""
        descriptor = os.open(str(self._folder / "choosing"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def not_pinned_message(count: int) -> str:
    """Return the log message for a trial that could not be pinned."""
    return f"not pinned: too few cores are free of other pinned trials (requested: {count})"


@contextlib.contextmanager
def pinned_to(cores: Collection[int]) -> Iterator[None]:
    """Pin processes that this thread starts inside the context to `cores`; no effect if empty."""
    if not cores:
        yield
        return
    previous = usable()
    _pin(cores)
    try:
        yield
    finally:
        _pin(previous)


def _pin(cores: Collection[int]) -> None:
    if hasattr(os, "sched_setaffinity"):  # cores are only chosen where it exists
        os.sched_setaffinity(0, cores)


def choose(free: Sequence[Sequence[int]], count: int) -> list[int]:
    """Choose `count` of the free cores, given by node: best fit on one node, otherwise across nodes."""
    sufficient = [node for node in free if len(node) >= count]
    if sufficient:
        return list(min(sufficient, key=len)[:count])
    all_cores = [core for node in free for core in node]
    return all_cores[:count] if len(all_cores) >= count else []


def usable() -> list[int]:
    """Return the cores on which this process may run. Raises OSError if the system does not support pinning."""
    if not hasattr(os, "sched_getaffinity"):
        raise OSError("this system does not support CPU pinning")
    return sorted(os.sched_getaffinity(0))


def by_node(cores: Collection[int], root: str = "/sys/devices/system") -> list[list[int]]:
    """Group cores by NUMA node, with the hardware threads of one core next to each other."""
    nodes: dict[int, list[tuple[int, int]]] = {}
    for core in cores:
        folder = f"{root}/cpu/cpu{core}"
        nodes.setdefault(_node_of(folder), []).append((_read_int(f"{folder}/topology/core_id"), core))
    return [[core for _, core in sorted(nodes[node])] for node in sorted(nodes)]


def _node_of(folder: str) -> int:
    try:
        names = [name[4:] for name in os.listdir(folder) if name.startswith("node") and name[4:].isdigit()]
    except OSError:
        return 0
    return int(names[0]) if names else 0


def _read_int(path: str) -> int:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def _boot_id() -> str:
    """Return an id of this machine's boot, since several machines may share the folder."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return os.uname().nodename
