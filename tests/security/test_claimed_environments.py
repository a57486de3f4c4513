"""The server looks for its workers in the environments of processes; other users' processes neither match nor cost."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from orchestune.backends.local import client
from orchestune.system.process import has_variable
from orchestune.worker.processes.tree import WORKER_VARIABLE

NOBODY = 65534
GIB = 2**30
CLAIM = """
import ctypes, mmap, os, signal, struct, sys
user, size, variable = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].encode()
if user:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)  # MAP_NORESERVE: takes no memory
memory[: len(variable)] = variable
start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
with open("/proc/self/stat") as file:
    fields = [0, 0, 0, *file.read().rpartition(")")[2].split()]
at = {number: int(fields[number]) for number in (26, 27, 28, 45, 46, 47, 48, 49)}
libc = ctypes.CDLL(None, use_errno=True)
libc.sbrk.restype = ctypes.c_void_p
layout = struct.pack(
    "<12Q2I", at[26], at[27], at[45], at[46], at[47], libc.sbrk(0), at[28], at[48], at[49], start, start + size, 0,
    0, 0xFFFFFFFF,
)
PR_SET_MM, PR_SET_MM_MAP = 35, 14
failed = libc.prctl(PR_SET_MM, PR_SET_MM_MAP, ctypes.c_char_p(layout), ctypes.c_ulong(len(layout)), 0)
print("refused" if failed else "claimed", flush=True)
signal.pause()
"""


@contextmanager
def claimed(user: int, size: int, variable: str) -> Iterator[int]:
    """Run a process of a user that claims `size` bytes of environment, `variable` first; yields its pid."""
    words = [sys.executable, "-I", "-c", CLAIM, str(user), str(size), variable]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={}, start_new_session=True) as child:
        assert child.stdout is not None
        try:
            if child.stdout.readline() != "claimed\n":
                pytest.skip("this kernel does not let processes claim an environment")
            yield child.pid
        finally:
            child.kill()


def peak_of_search(worker: str) -> tuple[int, set[int]]:
    """Return the bytes that a search for a worker's processes allocates at most, and their pids."""
    tracemalloc.start()
    try:
        pids = {process.pid for process in client.left_by_trials(worker)}
        return tracemalloc.get_traced_memory()[1], pids
    finally:
        tracemalloc.stop()


def test_a_claimed_environment_of_gibibytes_is_read_in_part_only() -> None:
    with claimed(0, GIB, f"{WORKER_VARIABLE}=w-claimed") as pid:
        peak, pids = peak_of_search("w-claimed")
    assert peak < 64 << 20
    assert pids == {pid}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_environments_of_other_users_are_not_read() -> None:
    with claimed(NOBODY, GIB, f"{WORKER_VARIABLE}=w-claimed") as pid:
        peak, pids = peak_of_search("w-claimed")
        assert os.stat(f"/proc/{pid}/environ").st_uid == 0, "not dumpable: its files are root's"
        assert not has_variable(pid, f"{WORKER_VARIABLE}=w-claimed".encode())
    assert pids == set()
    assert peak < 64 << 20


def test_a_variable_is_found_whole_only() -> None:
    with subprocess.Popen(["sleep", "60"], env={"A": "1", "AB": "12", "C": ""}) as child:
        try:
            expected = {b"A=1": True, b"AB=12": True, b"C=": True, b"B=12": False, b"AB=1": False, b"A=": False}
            assert {variable: has_variable(child.pid, variable) for variable in expected} == expected
        finally:
            child.kill()
    assert not has_variable(child.pid, b"A=1")
