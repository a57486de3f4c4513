"""Processes that outlive their parent: kept in a file, distinguished from later ones of the same number."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.testbeds.waiting import until


def _status(pid: int) -> list[str]:
    """The fields after the name in /proc/PID/stat (state first); empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _threads(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return 0


def children_of(pid: int) -> list[int]:
    """The children of a process, whichever of its threads started them; none where it is gone."""
    child_pids = []
    try:
        for thread in sorted(os.listdir(f"/proc/{pid}/task"), key=int):
            child_pids += Path(f"/proc/{pid}/task/{thread}/children").read_text().split()
    except OSError:
        pass
    return [int(child) for child in child_pids]


def alive(pid: int) -> bool:
    """Return True if a process runs: a zombie does not."""
    return _status(pid)[:1] not in ([], ["Z"], ["X"])


def first_child(pid: int) -> int | None:
    """The oldest child of a process that has one thread."""
    return next(iter(children_of(pid)), None)


@dataclass(frozen=True)
class Process:
    """One process of this machine; `born` is its start time in ticks since boot, since numbers come again."""

    pid: int
    born: str

    @classmethod
    def of(cls, pid: int) -> Process:
        """The process that has this number now. ProcessLookupError when there is none."""
        status = _status(pid)
        if not status:
            raise ProcessLookupError(pid)
        return cls(pid, status[19])

    @classmethod
    def load(cls, file: Path) -> Process | None:
        """The process that `save` wrote down; None where nothing was."""
        try:
            return cls(**json.loads(file.read_text()))
        except FileNotFoundError:
            return None

    def save(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self)))

    def alive(self) -> bool:
        """Return True if any of its threads runs; a process that only waits to be reaped does not count."""
        status = _status(self.pid)
        if not status or status[19] != self.born:
            return False
        return status[0] not in "ZX" or _threads(self.pid) > 1

    def tell(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when it is gone."""
        if self.alive():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    def end(self, number: signal.Signals = signal.SIGKILL, seconds: float = 15.0) -> None:
        """Signal it and return when it is gone; by force when it does not go within `seconds`."""
        self.tell(number)
        if number is not signal.SIGKILL:
            try:
                until(f"process {self.pid} to go", lambda: not self.alive(), seconds)
            except AssertionError:
                self.tell(signal.SIGKILL)
        until(f"process {self.pid} to go", lambda: not self.alive())
