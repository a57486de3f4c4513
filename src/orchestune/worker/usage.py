"""CPU time and memory of whole process trees, sampled beside the loop for attempts that last."""

from __future__ import annotations

import os
import threading
import time
from typing import NamedTuple

from orchestune.worker import tree

EVERY = 2.0
SHARE = 0.02
"""of the time, at most, goes into sampling"""


class Sample(NamedTuple):
    """What a tree used: CPU seconds so far, bytes now."""

    cpu: float
    memory: int


class Sampler:
    """Give it the leaders to watch; read `samples` whenever you like."""

    def __init__(self) -> None:
        self.samples: dict[str, Sample] = {}
        self._leaders: dict[str, int] = {}
        self._wanted = threading.Event()
        threading.Thread(target=self._run, name="usage", daemon=True).start()

    def watch(self, leaders: dict[str, int]) -> None:
        """The attempts from now on, with the process that leads each."""
        self._leaders = leaders
        if leaders:
            self._wanted.set()
        else:
            self._wanted.clear()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            start = time.monotonic()
            leaders = self._leaders
            self.samples = sample(leaders)
            time.sleep(max(EVERY, (time.monotonic() - start) / SHARE))


def sample(leaders: dict[str, int]) -> dict[str, Sample]:
    """Look once."""
    table = tree.processes()
    ticks = os.sysconf("SC_CLK_TCK")
    found = {}
    for attempt, leader in leaders.items():
        members = tree.descendants({leader}, table)
        if members:
            cpu = sum(table[pid].ticks for pid in members) / ticks
            found[attempt] = Sample(cpu, sum(_memory(pid) for pid in members))
    return found


def _memory(pid: int) -> int:
    """Bytes of a process, each shared page divided among those who share it where that can be told."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0
