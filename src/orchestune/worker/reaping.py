"""Waits for children that ended: leaders of attempts, orphans that the worker adopted, processes that import."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from orchestune.worker import tree
from orchestune.worker.attempt import Attempt


class Ended(NamedTuple):
    """A child that was waited for before anybody knew whose it was."""

    status: int
    usage: Any
    of: set[str]
    """attempts that were starting then"""


def ended_children(leaders: Mapping[int, Attempt]) -> Iterator[tuple[int, int, Any]]:
    """Wait for every child that ended. What is left of a leader's group ends while the group's number is still its."""
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
        except ChildProcessError:  # the thread that starts commands has waited for one that could not be started
            continue
        yield ended


def _end_group(attempt: Attempt) -> None:
    if attempt.kill_at is None:
        tree.kill_group(attempt.pid, signal.SIGKILL)
