"""What a process of a worker has of the shell that started its experiment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from orchestune.ports.backend import WorkerOrder

FILE_VARIABLE = "ORCHESTUNE_WORKER_FILE"
_BASE = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR")
_NEVER = ("ORCHESTUNE_TOKEN", "ORCHESTUNE_SERVER", FILE_VARIABLE)
"""what reaches the server for the user, which a trial has no business with"""


def environment(order: WorkerOrder, file: Path, own: Mapping[str, str]) -> dict[str, str]:
    """The environment of the shell that said `run`, over the least of our `own` that a program expects."""
    merged = {name: value for name, value in own.items() if name in _BASE or name.startswith("LC_")}
    given = order.launch.get("env")
    if isinstance(given, Mapping):
        merged.update({str(name): str(value) for name, value in given.items()})
    for name in _NEVER:
        merged.pop(name, None)
    return {**merged, FILE_VARIABLE: str(file)}
