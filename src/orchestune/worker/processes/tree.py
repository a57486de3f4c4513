"""Process tables from /proc: children, descendants and groups. Without /proc, functions return None or nothing."""

from __future__ import annotations

import os
import re
import time
from functools import lru_cache
from typing import NamedTuple

ATTEMPT_VARIABLE = "ORCHESTUNE_ATTEMPT_ID"
"""variable with the attempt's id in all its processes"""
WORKER_VARIABLE = "ORCHESTUNE_OF_WORKER"
"""variable with the worker's id in all its descendants: identifies the survivors if worker and guard are both killed"""
MAX_READS = 5


class ProcessEntry(NamedTuple):
    """One process."""

    pid: int
    parent: int
    group: int
    session: int
    ticks: int
    """CPU time including reaped children, in clock ticks"""


def children() -> set[int] | None:
    """Return the children of this process, including adopted ones; None if unknown."""
    try:
        threads = [int(name) for name in os.listdir("/proc/self/task")]
        return set().union(*map(_children_of_thread, threads))
    except OSError:
        return _children_by_parent()


def adopted() -> set[int] | None:
    """Return adopted children and those started by the main thread; None if unknown.

    If the kernel does not list children, or does not reparent orphans to the main thread, children of other threads are
    included.
    """
    if not main_thread_adopts():
        return children()
    try:
        return set(map(int, _read(_children_of_main_thread(os.getpid())).split()))
    except OSError:
        return _children_by_parent()


def keep_files_from_children() -> None:
    """Set close-on-exec on all open descriptors except the three standard ones.

    Python opens files that way already; this covers inherited descriptors, so that starts need not close any.
    """
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            try:
                os.set_inheritable(int(name), int(name) <= 2)
            except OSError:  # the descriptor of the listing itself, closed by now
                pass
        return


def processes() -> dict[int, ProcessEntry]:
    """Return all visible processes by pid; empty without /proc."""
    table: dict[int, ProcessEntry] = {}
    try:
        names = os.listdir("/proc")
    except OSError:
        return table
    for name in names:
        if name.isdigit():
            entry = _entry(int(name))
            if entry is not None:
                table[entry.pid] = entry
    return table


def descendants(roots: set[int], table: dict[int, ProcessEntry]) -> set[int]:
    """Return the existing `roots`, the members of their groups and sessions, and all descendants of these."""
    below: dict[int, list[int]] = {}
    members = set()
    for entry in table.values():
        below.setdefault(entry.parent, []).append(entry.pid)
        if entry.pid in roots or entry.group in roots or entry.session in roots:
            members.add(entry.pid)
    pending = list(members)
    while pending:
        for pid in below.get(pending.pop(), ()):
            if pid not in members:
                members.add(pid)
                pending.append(pid)
    return members


def attempt_of(pid: int) -> str | None:
    """Return the attempt id from the initial environment of a process; None if absent or unreadable.

    During `exec` the environment of a process is empty for a moment, so the read is retried.
    """
    data = b""
    for _ in range(MAX_READS):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                data = b"\0" + file.read()
        except OSError:
            return None
        if len(data) > 1:
            break
        time.sleep(0.001)
    prefix = b"\0" + ATTEMPT_VARIABLE.encode() + b"="
    start = data.find(prefix)
    if start < 0:
        return None
    return data[start + len(prefix) :].split(b"\0", 1)[0].decode("ascii", "replace")


def kill_group(group: int, number: int) -> bool:
    """Send a signal to a process group. Return False if the group has no members."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def kill(pid: int, number: int) -> bool:
    """Send a signal to a process. Return False if permission is denied: with `sudo` it runs as another user."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        return False
    return True


@lru_cache(maxsize=None)
def main_thread_adopts() -> bool:
    """Return True if orphans are reparented to the main thread.

    Linux before 3.19 (CentOS 7) reparents an orphan to the thread that started its parent.
    """
    release = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return release is None or (int(release[1]), int(release[2])) >= (3, 19)


def _children_of_thread(thread: int) -> set[int]:
    """Return a thread's children. Raises FileNotFoundError if the kernel lists none or the thread has exited."""
    with open(_children_file(thread), "rb", buffering=0) as file:
        return set(map(int, file.read().split()))


def _children_file(thread: int) -> str:
    return f"/proc/self/task/{thread}/children"


@lru_cache(maxsize=None)
def _children_of_main_thread(pid: int) -> int:
    """Open the list of children once, since it is read whenever a command exits. Raises OSError."""
    return os.open(_children_file(pid), os.O_RDONLY)


def _read(file: int) -> bytes:
    data = piece = os.pread(file, 65536, 0)
    while piece:
        piece = os.pread(file, 65536, len(data))
        data += piece
    return data


def _children_by_parent() -> set[int] | None:
    table = processes()
    own = os.getpid()
    return {entry.pid for entry in table.values() if entry.parent == own} if table else None


def _entry(pid: int) -> ProcessEntry | None:
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            data = file.read()
    except OSError:
        return None
    fields = data[data.rfind(b")") + 2 :].split()
    return ProcessEntry(pid, int(fields[1]), int(fields[2]), int(fields[3]), sum(int(field) for field in fields[11:15]))
