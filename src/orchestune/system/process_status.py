"""State, parent and start of processes: from /proc on Linux, from `ps` elsewhere."""

from __future__ import annotations

import calendar
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from orchestune.system import platform

PROC = Path("/proc")
_ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": "/bin:/usr/bin:/usr/sbin:/sbin"}
_SECONDS = 10.0  # timeout of a program that only reads tables of the kernel


class ProcessStatus(NamedTuple):
    """The status of a process, which may be a zombie."""

    state: str
    """a letter, of which Z and X are those of processes that have exited"""
    parent: int
    session: int
    started: int
    """ticks since the boot on Linux, elsewhere seconds since 1970"""


def status_of(pid: int) -> ProcessStatus | None:
    """Return the status of the process that has this pid now; None if there is none."""
    return _from_proc(pid) if platform.is_linux() else _from_ps(pid)


def all_pids() -> list[int]:
    """Return the pids of all visible processes."""
    if platform.is_linux():
        return [int(name) for name in os.listdir(PROC) if name.isdecimal()]
    return [int(word) for word in _output(["ps", "-axo", "pid="]).split()]


def boot() -> str:
    """Return the identity of the machine's current boot; unique across reboots and machines."""
    if not platform.is_linux():
        return _output(["sysctl", "-n", "kern.bootsessionuuid"]).strip() or os.uname().nodename
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # a sandbox without that file: use the boot time in seconds
        lines = (PROC / "stat").read_text().splitlines()
        return next((line for line in lines if line.startswith("btime ")), "unknown")


def _from_proc(pid: int) -> ProcessStatus | None:
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # those after the name: state, parent, group, session, …
    return ProcessStatus(fields[0], int(fields[1]), int(fields[3]), int(fields[19])) if fields else None


def _from_ps(pid: int) -> ProcessStatus | None:
    fields = _output(["ps", "-o", "stat=,ppid=,lstart=", "-p", str(pid)]).split()
    try:
        started = calendar.timegm(time.strptime(" ".join(fields[2:]), "%a %b %d %H:%M:%S %Y"))
        return ProcessStatus(fields[0][0], int(fields[1]), os.getsid(pid), started)
    except (ProcessLookupError, ValueError, IndexError):  # it has exited
        return None
    except PermissionError:  # of a session of another user
        return ProcessStatus(fields[0][0], int(fields[1]), 0, started)


def _output(command: Sequence[str]) -> str:
    """Return what a program of the system prints; empty if it fails or is missing."""
    import subprocess  # imported on demand, only where there is no /proc: every command imports this module

    try:
        done = subprocess.run(
            list(command), env=_ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
