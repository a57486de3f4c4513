"""Reaps exited children: leaders of attempts, adopted orphans, and processes with preloaded modules."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from orchestune.worker.attempt import RunningAttempt
from orchestune.worker.processes import tree


class ExitedProcess(NamedTuple):
    """A child that was reaped before its attempt was known."""

    status: int
    usage: Any
    starting: set[str]
    """ids of the attempts that were starting at that time"""


def reap_children(leaders: Mapping[int, RunningAttempt]) -> Iterator[tuple[int, int, Any]]:
    """Reap all exited children and yield them. A leader's group is killed first, before its number can be reused."""
    if not hasattr(os, "waitid"):
        for attempt in list(leaders.values()):
            exited = os.wait4(attempt.pid, os.WNOHANG)
            if exited[0]:
                _kill_group(attempt)
                yield exited
        return
    while True:
        try:
            child = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if child is None:
            return
        if child.si_pid in leaders:
            _kill_group(leaders[child.si_pid])
        try:
            exited = os.wait4(child.si_pid, 0)
        except ChildProcessError:  # a failed start, already reaped by the thread that starts commands
            continue
        yield exited


def _kill_group(attempt: RunningAttempt) -> None:
    if attempt.kill_at is None:
        tree.kill_group(attempt.pid, signal.SIGKILL)
