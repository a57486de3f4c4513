"""What starts a worker, as pure functions: its file and its command line."""

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
    order: WorkerOrder, state: Path, endpoint: Path | None, url: str | None, cores: Path, umask: int | None = None
) -> str:
    """What the worker reads in the file that `ORCHESTUNE_WORKER_FILE` names: where to go, as whom, with what. In
    `cores` all workers see which cores the others pinned trials to. `umask` is that of commands, see `worker.umask`.
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
        }
    )


def installed_worker() -> tuple[str, ...]:
    """The worker of this installation, which starts whatever the user's `PYTHONPATH` or virtual environment says.

    `-I` makes the interpreter blind for them and leaves them to the worker's children.
    """
    root = Path(__file__).resolve().parents[3]
    return (sys.executable, "-I", "-c", _BOOT.format(root=str(root)))
