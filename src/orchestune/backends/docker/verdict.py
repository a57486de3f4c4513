"""Why a container ended, and whose fault that is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from orchestune.ports.backend import Gone

OUT_OF_MEMORY_SECONDS = 5.0
"""how long before a container's end the system may have killed for memory what ended it"""
_KILLED = 128 + 9


def judge(
    state: Mapping[str, Any], limit: int, killed_at: Sequence[float], told: bool, lines: Sequence[str]
) -> tuple[Gone, str]:
    """`state` as `docker inspect` shows it, `limit` in bytes (0: none), `killed_at` the times at which a process was
    killed for memory, `told` whether we ended it, `lines` its last ones.

    A container that was killed from outside long after one of its trials ran out of memory is not killed for memory.
    """
    code = int(state.get("ExitCode") or 0)
    ended = finished(state)
    if told:
        return Gone.UNKNOWN, "the worker was told to end"
    if code == _KILLED and any(abs(ended - at) <= OUT_OF_MEMORY_SECONDS for at in killed_at):
        size = f"its limit of {limit / 2**30:.3g} GiB" if limit else "the machine has"
        return Gone.OUT_OF_MEMORY, f"killed for memory: it used more than {size}"
    if state.get("Error"):
        return Gone.UNKNOWN, f"its container ended: {state['Error']}"
    if code == 0:
        return Gone.UNKNOWN, "the worker ended"
    if code == _KILLED:
        return Gone.UNKNOWN, "its container was killed (SIGKILL)"
    text = f"its container ended with exit code {code}"
    return Gone.UNKNOWN, "\n".join([f"{text}; its last lines:", *lines]) if lines else text


def finished(state: Mapping[str, Any]) -> float:
    """When it ended, in seconds since the epoch on the daemon's clock; 0 where that is not told."""
    match = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,6})?\d*(Z|[+-]\d\d:\d\d)", str(state.get("FinishedAt")))
    if match is None or match[1].startswith("0001"):
        return 0.0
    return datetime.fromisoformat(f"{match[1]}{match[2] or ''}{match[3]}").timestamp()
