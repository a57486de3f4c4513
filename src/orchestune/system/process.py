"""Process identities that stay unique when pids are reused, or when this program or the machine restarts."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from orchestune.system.process_status import PROC, all_pids, boot, status_of

_EXITED = "ZXx"  # states of processes that have exited
_MAX_ENVIRONMENT_BYTES = 6 << 20
"""Linux accepts at most 6 MiB of arguments and environment; a process can later declare any range of its memory as its
environment"""


@dataclass(frozen=True)
class Process:
    """A process of this machine, unique within one boot."""

    pid: int
    started: int
    """start of the process, in the unit of `ProcessStatus`"""
    boot: str
    """identity of the machine's current boot"""

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """Return the process that has this pid now, including a zombie; None if there is none."""
        status = status_of(pid)
        return cls(pid, status.started, boot_id()) if status else None

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Process | None:
        """Parse the result of `to_json`; None if the document has no valid process."""
        try:
            pid, started, boot = int(document["pid"]), int(document["started"]), str(document["boot"])
        except (KeyError, TypeError, ValueError):
            return None
        return cls(pid, started, boot) if pid > 0 else None

    def to_json(self) -> dict[str, Any]:
        """Return `{"pid", "started", "boot"}`."""
        return {"pid": self.pid, "started": self.started, "boot": self.boot}

    def alive(self) -> bool:
        """Return True if the process is running on this machine. A zombie is not."""
        status = status_of(self.pid)
        if status is None or status.state in _EXITED:
            return False
        return status.started == self.started and boot_id() == self.boot

    def send(self, number: signal.Signals) -> bool:
        """Signal this process, never one that reuses its pid. Return False if it has exited or is another user's."""
        if not hasattr(os, "pidfd_open") or not hasattr(signal, "pidfd_send_signal"):  # not Linux
            return self._send_by_pid(number)
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        except OSError:  # a kernel before 5.3, or a sandbox that forbids it
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
    """Return the identity of the machine's current boot; unique across reboots and machines."""
    return boot()


def pids() -> Iterator[int]:
    """Return the pids of all visible processes."""
    return iter(all_pids())


def parent_and_session(pid: int) -> tuple[int, int] | None:
    """Return the pids of the parent and of the session leader; None if the process has exited or is a zombie."""
    status = status_of(pid)
    return (status.parent, status.session) if status and status.state not in _EXITED else None


def has_variable(pid: int, variable: bytes) -> bool:
    """Return True if the initial environment of this process contains `variable`, `NAME=value`.

    False if the process has exited, is another user's, or the system (such as macOS) shows none: root can
    read all of them, but another user chooses both the content and the size of theirs.
    """
    folder = PROC / str(pid)
    try:
        if folder.stat().st_uid != os.geteuid():  # the folder has the effective uid even if its files are root's
            return False
        with open(folder / "environ", "rb") as file:
            variables = file.read(_MAX_ENVIRONMENT_BYTES)
    except OSError:
        return False
    return b"\0%b\0" % variable in b"\0%b\0" % variables
