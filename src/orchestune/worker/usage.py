"""What whole process trees use, sampled beside the loop for attempts that last, and what of it the server hears."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from orchestune.worker import tree
from orchestune.worker.cards import Busy, Cards
from orchestune.worker.waker import leave_signals_to_the_loop

EVERY = 2.0
SHARE = 0.02
"""of the time, at most, goes into sampling"""


APART = ((60.0, 3.9), (float("inf"), 9.9))
"""up to which age of an attempt the server hears of it how often, in seconds"""
WAITING = 600
"""samples that wait for the server; beyond it the oldest are forgotten"""


class Watched(NamedTuple):
    """The process that leads an attempt, and the cards that are the attempt's."""

    leader: int
    gpus: Sequence[str] = ()


class Sample(NamedTuple):
    """What a tree used: CPU seconds so far, bytes now; how busy its cards are, where that is known."""

    at: float
    """of the monotonic clock"""
    cpu: float
    memory: int
    busy: Busy | None = None


class Series:
    """What one attempt used over time, as far as the server does not have it yet."""

    def __init__(self) -> None:
        self._waiting: deque[list[Any]] = deque(maxlen=WAITING)
        self._next = 0
        self._age, self._cpu = 0.0, 0.0
        """of the last sample that was taken"""

    def add(self, started: float, sample: Sample) -> None:
        """Take a sample of what began then, unless the last one is too near, or this one itself."""
        age = sample.at - started
        if age - self._age < next(apart for limit, apart in APART if age < limit):
            return
        cores = max(sample.cpu - self._cpu, 0.0) / (age - self._age)
        busy = (round(sample.busy.share, 3), sample.busy.memory) if sample.busy else (None, None)
        self._waiting.append([self._next, round(age, 1), round(cores, 3), sample.memory, *busy])
        self._next += 1
        self._age, self._cpu = age, sample.cpu

    def parts(self) -> list[list[Any]]:
        """What is to be told."""
        return list(self._waiting)

    def acknowledge(self, told: Sequence[Sequence[Any]]) -> None:
        """The server has these."""
        while told and self._waiting and self._waiting[0][0] <= told[-1][0]:
            self._waiting.popleft()

    @classmethod
    def restore(cls, waiting: Sequence[list[Any]]) -> Series:
        """The series of an attempt that is over, of which the server lacks what `parts` gave."""
        series = cls()
        series._waiting.extend(waiting)
        return series


class Sampler:
    """Tell it which attempts to watch; read `samples` whenever you like."""

    def __init__(self) -> None:
        self.samples: dict[str, Sample] = {}
        self._watched: Mapping[str, Watched] = {}
        self._cards = Cards()
        self._wanted = threading.Event()
        threading.Thread(target=self._run, name="usage", daemon=True).start()

    def watch(self, watched: Mapping[str, Watched]) -> None:
        """The attempts from now on."""
        self._watched = watched
        if watched:
            self._wanted.set()
        else:
            self._wanted.clear()

    def _run(self) -> None:
        leave_signals_to_the_loop()
        while True:
            self._wanted.wait()
            start = time.monotonic()
            self.samples = sample(self._watched, self._cards)
            time.sleep(max(EVERY, (time.monotonic() - start) / SHARE))


def sample(watched: Mapping[str, Watched], cards: Cards) -> dict[str, Sample]:
    """Look once."""
    table, now = tree.processes(), time.monotonic()
    ticks = os.sysconf("SC_CLK_TCK")
    found = {}
    for attempt, (leader, gpus) in watched.items():
        members = tree.descendants({leader}, table)
        if members:
            cpu = sum(table[pid].ticks for pid in members) / ticks
            found[attempt] = Sample(now, cpu, sum(_memory(pid) for pid in members), cards.busy(gpus))
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
