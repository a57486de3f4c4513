"""Causes of a container's end."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from orchestune.ports.backend import TERMINATED, WorkerLoss

OUT_OF_MEMORY_SECONDS = 5.0
"""maximum seconds between an OOM kill and the end of the container that it caused"""
_KILLED = 128 + 9


def judge(
    state: Mapping[str, Any], limit: int, killed_at: Sequence[float], terminated: bool, lines: Sequence[str]
) -> tuple[WorkerLoss, str]:
    """Return the cause and a message for a stopped container.

    `state` is from `docker inspect`, `limit` in bytes (0: none), `killed_at` the times of OOM kills, `terminated` is
    True if we stopped it, `lines` is the log tail. A container killed from outside long after the OOM kill of a trial
    does not count as OOM killed.
    """
    code = int(state.get("ExitCode") or 0)
    ended = finished(state)
    if terminated:
        return WorkerLoss.UNKNOWN, TERMINATED
    if code == _KILLED and any(abs(ended - at) <= OUT_OF_MEMORY_SECONDS for at in killed_at):
        size = f"its limit of {limit / 2**30:.3g} GiB" if limit else "the machine has"
        return WorkerLoss.OUT_OF_MEMORY, f"killed for memory: it used more than {size}"
    if state.get("Error"):
        return WorkerLoss.UNKNOWN, f"its container ended: {state['Error']}"
    if code == 0:
        return WorkerLoss.UNKNOWN, "the worker ended"
    if code == _KILLED:
        return WorkerLoss.UNKNOWN, "its container was killed (SIGKILL)"
    text = f"its container ended with exit code {code}"
    return WorkerLoss.UNKNOWN, "\n".join([f"{text}; its last lines:", *lines]) if lines else text


def finished(state: Mapping[str, Any]) -> float:
    """Return the time of the end, in seconds since the epoch on the daemon's clock; 0 if unknown."""
    match = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,6})?\d*(Z|[+-]\d\d:\d\d)", str(state.get("FinishedAt")))
    if match is None or match[1].startswith("0001"):
        return 0.0
    return datetime.fromisoformat(f"{match[1]}{match[2] or ''}{match[3]}").timestamp()
