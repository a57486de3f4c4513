"""Samples the resource usage of process trees in a thread, and thins it out to the series that is reported."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from orchestune.worker.metrics.gpus import GpuUtilization, Nvml
from orchestune.worker.processes import tree
from orchestune.worker.waker import leave_signals_to_the_loop

SAMPLE_SECONDS = 2.0
MAX_SAMPLING_FRACTION = 0.02
"""upper bound on the fraction of time spent sampling"""


MIN_INTERVALS = ((60.0, 3.9), (float("inf"), 9.9))
"""(age of the attempt up to which it holds, minimum interval between reported samples), in seconds"""
MAX_SAMPLES = 600
"""unacknowledged samples that are kept; beyond it the oldest are dropped"""


class WatchedTree(NamedTuple):
    """The leader process of an attempt, and its GPUs."""

    leader: int
    gpus: Sequence[str] = ()


class Sample(NamedTuple):
    """Usage of a process tree: total CPU seconds, current memory in bytes, and GPU load if known."""

    at: float
    """monotonic time"""
    cpu: float
    memory: int
    busy: GpuUtilization | None = None


class Series:
    """The unacknowledged usage samples of one attempt."""

    def __init__(self) -> None:
        self._waiting: deque[list[Any]] = deque(maxlen=MAX_SAMPLES)
        self._next = 0
        self._age, self._cpu = 0.0, 0.0
        """age and CPU seconds at the last sample that was kept"""

    def add(self, started: float, sample: Sample) -> None:
        """Add a sample of an attempt that started at `started`, unless it follows the last one too closely."""
        age = sample.at - started
        if age - self._age < next(seconds for limit, seconds in MIN_INTERVALS if age < limit):
            return
        cores = max(sample.cpu - self._cpu, 0.0) / (age - self._age)
        busy = (round(sample.busy.share, 3), sample.busy.memory) if sample.busy else (None, None)
        self._waiting.append([self._next, round(age, 1), round(cores, 3), sample.memory, *busy])
        self._next += 1
        self._age, self._cpu = age, sample.cpu

    def parts(self) -> list[list[Any]]:
        """Return the samples to report."""
        return list(self._waiting)

    def acknowledge(self, sent: Sequence[Sequence[Any]]) -> None:
        """Drop the samples that the server has received."""
        while sent and self._waiting and self._waiting[0][0] <= sent[-1][0]:
            self._waiting.popleft()

    @classmethod
    def restore(cls, waiting: Sequence[list[Any]]) -> Series:
        """Return the series of a finished attempt from its unacknowledged `parts`."""
        series = cls()
        series._waiting.extend(waiting)
        return series


class Sampler:
    """Background sampler: set the attempts with `watch`, read the latest `samples` at any time."""

    def __init__(self) -> None:
        self.samples: dict[str, Sample] = {}
        self._watched: Mapping[str, WatchedTree] = {}
        self._nvml = Nvml()
        self._has_attempts = threading.Event()
        threading.Thread(target=self._run, name="usage", daemon=True).start()

    def watch(self, watched: Mapping[str, WatchedTree]) -> None:
        """Replace the set of sampled attempts."""
        self._watched = watched
        if watched:
            self._has_attempts.set()
        else:
            self._has_attempts.clear()

    def _run(self) -> None:
        leave_signals_to_the_loop()
        while True:
            self._has_attempts.wait()
            start = time.monotonic()
            self.samples = sample(self._watched, self._nvml)
            time.sleep(max(SAMPLE_SECONDS, (time.monotonic() - start) / MAX_SAMPLING_FRACTION))


def sample(watched: Mapping[str, WatchedTree], nvml: Nvml) -> dict[str, Sample]:
    """Return one sample per attempt whose processes exist."""
    table, now = tree.processes(), time.monotonic()
    ticks = os.sysconf("SC_CLK_TCK")
    samples = {}
    for attempt, (leader, gpus) in watched.items():
        members = tree.descendants({leader}, table)
        if members:
            cpu = sum(table[pid].ticks for pid in members) / ticks
            samples[attempt] = Sample(now, cpu, sum(_memory(pid) for pid in members), nvml.busy(gpus))
    return samples


def _memory(pid: int) -> int:
    """Return the memory of a process in bytes: proportional set size (PSS) if available, otherwise resident size."""
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
