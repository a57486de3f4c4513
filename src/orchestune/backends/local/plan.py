"""The file and command line of a worker, as pure functions."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from orchestune.ports.backend import WorkerOrder

_BOOT = """
import runpy, sys
sys.path.insert(0, {root!r})
import orchestune
del sys.path[0]
runpy.run_module("orchestune.worker", run_name="__main__", alter_sys=True)
"""


def document(
    order: WorkerOrder, state: Path, endpoint: Path | None, url: str | None, cores: Path, umask: int | None = None,
    retained: Path | None = None,
) -> str:  # fmt: skip
    """Return the content of the file that `ORCHESTUNE_WORKER_FILE` names: server address, credentials and settings.

    In `cores`, all workers see which cores trials of the others are pinned to. `umask` is that of commands, see
    `worker.umask`. `retained`: folder for files that trials wrote and nothing keeps.
    """
    return json.dumps(
        {
            "url": url,
            "endpoint": str(endpoint) if endpoint else None,
            "token": order.token,
            "worker": order.worker,
            "slots": order.slots,
            "state": str(state),
            "cores": str(cores),
            "gpus": list(order.gpus),
            "tags": {},
            **({} if umask is None else {"umask": f"{umask:04o}"}),
            **({} if retained is None else {"retained": str(retained)}),
        }
    )


def installed_worker() -> tuple[str, ...]:
    """Return the command of this installation's worker.

    It works with any `PYTHONPATH` or virtual environment of the user: `-I` makes the interpreter ignore them
    and leaves them to the worker's children.
    """
    root = Path(__file__).resolve().parents[3]
    return (sys.executable, "-I", "-c", _BOOT.format(root=str(root)))
