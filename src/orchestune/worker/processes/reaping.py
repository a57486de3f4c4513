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
    of: set[str]
    """ids of the attempts that were starting at that time"""


def ended_children(leaders: Mapping[int, RunningAttempt]) -> Iterator[tuple[int, int, Any]]:
    """Reap all exited children and yield them. A leader's group is killed first, before its number can be reused."""
    if not hasattr(os, "waitid"):
        for attempt in list(leaders.values()):
            ended = os.wait4(attempt.pid, os.WNOHANG)
            if ended[0]:
                _end_group(attempt)
                yield ended
        return
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None:
            return
        if found.si_pid in leaders:
            _end_group(leaders[found.si_pid])
        try:
            ended = os.wait4(found.si_pid, 0)
        except ChildProcessError:  # a failed start, already reaped by the thread that starts commands
            continue
        yield ended


def _end_group(attempt: RunningAttempt) -> None:
    if attempt.kill_at is None:
        tree.kill_group(attempt.pid, signal.SIGKILL)
