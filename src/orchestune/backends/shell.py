"""The environment that a worker inherits from the shell that started its experiment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from orchestune.ports.backend import WorkerOrder

FILE_VARIABLE = "ORCHESTUNE_WORKER_FILE"
_BASE = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR")
_NEVER = ("ORCHESTUNE_TOKEN", "ORCHESTUNE_SERVER", FILE_VARIABLE)
"""the user's credentials for the server, which trials must not have"""


def environment(order: WorkerOrder, file: Path, own: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the shell that called `run`, merged over the basic variables of our `own`."""
    merged = {name: value for name, value in own.items() if name in _BASE or name.startswith("LC_")}
    variables = order.launch.get("env")
    if isinstance(variables, Mapping):
        merged.update({str(name): str(value) for name, value in variables.items()})
    for name in _NEVER:
        merged.pop(name, None)
    return {**merged, FILE_VARIABLE: str(file)}
