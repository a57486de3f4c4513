"""Which process is this: an identity that a reused pid, a restart of this program or of the machine cannot confuse."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """One process of this machine, for as long as the machine runs."""

    pid: int
    started: int
    """clock ticks between the start of the machine and that of the process (field 22 of `/proc/PID/stat`)"""
    boot: str
    """identity of the machine's present run"""

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """The process that has this pid now, also one that ended and was not waited for; None where there is none."""
        fields = _stat(pid)
        return cls(pid, int(fields[19]), boot_id()) if fields else None

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Process | None:
        """The inverse of `to_json`; None where the document names no process."""
        try:
            pid, started, boot = int(document["pid"]), int(document["started"]), str(document["boot"])
        except (KeyError, TypeError, ValueError):
            return None
        return cls(pid, started, boot) if pid > 0 else None

    def to_json(self) -> dict[str, Any]:
        """`{"pid", "started", "boot"}`."""
        return {"pid": self.pid, "started": self.started, "boot": self.boot}

    def alive(self) -> bool:
        """Whether it still runs here. One that ended and was not waited for (a zombie) does not."""
        fields = _stat(self.pid)
        return (
            fields is not None and fields[0] not in "ZXx" and int(fields[19]) == self.started and boot_id() == self.boot
        )

    def send(self, number: signal.Signals) -> bool:
        """Signal this process and no other one that got its pid; False where it is gone or another user's."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        except OSError:  # a kernel before 5.3, or a sandbox which forbids it
            return self._send_by_pid(number)
        try:
            if not self.alive():
                return False
            signal.pidfd_send_signal(handle, number)
            return True
        except (ProcessLookupError, PermissionError):
            return False
        finally:
            os.close(handle)

    def _send_by_pid(self, number: signal.Signals) -> bool:
        if not self.alive():
            return False
        try:
            os.kill(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True


@cache
def boot_id() -> str:
    """The identity of this machine's present run; another one after a restart and on every other machine."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # a sandbox that has no such file: the second at which the machine was started
        lines = (_PROC / "stat").read_text().splitlines()
        return next((line for line in lines if line.startswith("btime ")), "unknown")


def pids() -> Iterator[int]:
    """Every process that is seen from here."""
    return (int(name) for name in os.listdir(_PROC) if name.isdecimal())


def parent_and_session(pid: int) -> tuple[int, int] | None:
    """The parent's pid and the session's; None where the process is gone or a zombie."""
    fields = _stat(pid)
    return (int(fields[1]), int(fields[3])) if fields and fields[0] not in "ZXx" else None


def environment(pid: int) -> list[bytes]:
    """What the process was started with, as `NAME=value`; nothing where it is gone or another user's."""
    try:
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _stat(pid: int) -> list[str] | None:
    """The fields after the name: state, parent, group, session, ..."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split() or None
