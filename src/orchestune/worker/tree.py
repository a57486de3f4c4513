"""Processes as /proc shows them: children, descendants, groups. Where there is no /proc, less is known."""

from __future__ import annotations

import os
import re
import time
from functools import lru_cache
from typing import NamedTuple

MARK = "ORCHESTUNE_ATTEMPT_ID"
OWNER = "ORCHESTUNE_OF_WORKER"
"""has the worker's id in what it starts: what it leaves behind, where it is killed with its guard, is known by that"""
TRIES = 5


class Entry(NamedTuple):
    """One process."""

    pid: int
    parent: int
    group: int
    session: int
    ticks: int
    """CPU time, of its waited-for children too, in clock ticks"""


def children() -> set[int] | None:
    """The children of this process, adopted ones too; None where that cannot be told."""
    try:
        threads = [int(name) for name in os.listdir("/proc/self/task")]
        return set().union(*map(_children_of_thread, threads))
    except OSError:
        return _children_by_parent()


def adopted() -> set[int] | None:
    """The children that this process adopted, and those that its main thread started; None where that cannot be told.

    Where the system does not list children, or does not give orphans to the main thread, those of other threads as
    well.
    """
    if not main_thread_adopts():
        return children()
    try:
        return set(map(int, _read(_children_of_main_thread(os.getpid())).split()))
    except OSError:
        return _children_by_parent()


def keep_files_from_children() -> None:
    """No file that this process has open, but the three standard ones, is open in what it starts.

    Python opens files like that; these are others that came with the start. A child need not look for files to close.
    """
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            try:
                os.set_inheritable(int(name), int(name) <= 2)
            except OSError:  # the folder itself, closed by now
                pass
        return


def processes() -> dict[int, Entry]:
    """Every process that can be seen; empty where there is no /proc."""
    found: dict[int, Entry] = {}
    try:
        names = os.listdir("/proc")
    except OSError:
        return found
    for name in names:
        if name.isdigit():
            entry = _entry(int(name))
            if entry is not None:
                found[entry.pid] = entry
    return found


def descendants(roots: set[int], table: dict[int, Entry]) -> set[int]:
    """`roots`, as far as they exist, and everything below them; members of the roots' groups and sessions too."""
    below: dict[int, list[int]] = {}
    found = set()
    for entry in table.values():
        below.setdefault(entry.parent, []).append(entry.pid)
        if entry.pid in roots or entry.group in roots or entry.session in roots:
            found.add(entry.pid)
    waiting = list(found)
    while waiting:
        for pid in below.get(waiting.pop(), ()):
            if pid not in found:
                found.add(pid)
                waiting.append(pid)
    return found


def attempt_of(pid: int) -> str | None:
    """The attempt in whose environment a process was started; None where that cannot be read.

    A process that is just becoming another program has no environment for a moment: it is asked again.
    """
    data = b""
    for _ in range(TRIES):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                data = b"\0" + file.read()
        except OSError:
            return None
        if len(data) > 1:
            break
        time.sleep(0.001)
    mark = b"\0" + MARK.encode() + b"="
    start = data.find(mark)
    if start < 0:
        return None
    return data[start + len(mark) :].split(b"\0", 1)[0].decode("ascii", "replace")


def kill_group(group: int, number: int) -> bool:
    """Send a signal to a process group; False where it has no member."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def kill(pid: int, number: int) -> bool:
    """Send a signal to one process; False where it is another user's, as what `sudo` starts is, and cannot be ended."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        return False
    return True


@lru_cache(maxsize=None)
def main_thread_adopts() -> bool:
    """Linux before 3.19, as CentOS 7 has it, gives an orphan to that thread which started the parent."""
    release = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return release is None or (int(release[1]), int(release[2])) >= (3, 19)


def _children_of_thread(thread: int) -> set[int]:
    """FileNotFoundError where the system does not tell, or the thread has ended."""
    with open(_children_file(thread), "rb", buffering=0) as file:
        return set(map(int, file.read().split()))


def _children_file(thread: int) -> str:
    return f"/proc/self/task/{thread}/children"


@lru_cache(maxsize=None)
def _children_of_main_thread(pid: int) -> int:
    """The file that lists them, which stays open: it is read whenever a command has ended. OSError."""
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


def _entry(pid: int) -> Entry | None:
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            data = file.read()
    except OSError:
        return None
    fields = data[data.rfind(b")") + 2 :].split()
    return Entry(pid, int(fields[1]), int(fields[2]), int(fields[3]), sum(int(field) for field in fields[11:15]))
