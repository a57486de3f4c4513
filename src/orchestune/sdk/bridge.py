"""The program of a trial that another process runs: it offers the trial and relays the other process's reports.

It runs under the ordinary worker, so that leases, heartbeats, orders and the budget are those of any trial. An offer is
a file in a folder that the experiment names; the process that renames it claims it. If a process exits without an
outcome, the trial is offered again. The processes communicate by a Unix socket beside the offer, in a folder that only
their user can enter.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from orchestune.sdk.parameters import params
from orchestune.sdk.reporting import append
from orchestune.sdk.trial_end import should_stop
from orchestune.system import local_socket
from orchestune.system.local_socket import LocalListener, SharedFolder

OFFER = ".offer"
_VARIABLES = {"number": "ORCHESTUNE_TRIAL", "seed": "ORCHESTUNE_SEED", "fold": "ORCHESTUNE_FOLD"}
_POLL_SECONDS = 0.5
"""seconds between two checks whether the trial should end"""
_CONNECT_SECONDS = 10.0
"""seconds after which a claimed offer without a connection is renewed"""


def main(folder: str, timeout: float | None = None) -> int:
    """Serve the trial until it has an outcome; returns 0, or 1 if it failed.

    `timeout`: seconds that a process may take. Time on offer, which may be hours, does not count.
    """
    offer = Path(folder, f"{int(os.environ['ORCHESTUNE_TRIAL']):09}-{os.getpid()}{OFFER}")
    while True:
        code = _serve(_wait_for_process(offer), timeout)
        if code is not None:
            return code


def _wait_for_process(offer: Path) -> Connection[Any, Any]:
    """Offer the trial until a process of this user has connected. Raises SystemExit if the trial should end."""
    while True:
        offer.parent.mkdir(
            parents=True, exist_ok=True, mode=0o700
        )  # removed if the experiment was finished before it was extended
        with ExitStack() as stack:
            listener = _listen(offer.with_suffix(".sock"), stack)
            part = offer.with_suffix(".part")
            part.touch(0o600)
            part.write_text(json.dumps({"socket": str(listener.path)}))
            part.replace(offer)
            stack.callback(offer.unlink, missing_ok=True)
            claimed: float | None = None
            while claimed is None or time.monotonic() < claimed + _CONNECT_SECONDS:
                if should_stop():
                    raise SystemExit(0)
                if select.select([listener.socket], [], [], _POLL_SECONDS)[0]:
                    return Connection(listener.socket.accept()[0].detach())
                if claimed is None and not offer.exists():
                    claimed = time.monotonic()


def _listen(path: Path, stack: ExitStack) -> LocalListener:
    try:
        listener = LocalListener(local_socket.listen(path, 1), path)
    except SharedFolder:
        raise
    except OSError:
        listener = local_socket.listen_elsewhere(path.name, 1, stack.callback)
    stack.callback(listener.path.unlink, missing_ok=True)
    stack.enter_context(listener.socket)
    return listener


def _serve(connection: Connection[Any, Any], timeout: float | None) -> int | None:
    """Relay the process's messages until there is an outcome, and return the exit code.

    None if the process disconnected without one.
    """
    about = {name: int(os.environ[variable]) for name, variable in _VARIABLES.items()}
    began = time.monotonic()
    with connection:
        try:
            connection.send_bytes(json.dumps({**about, "parameters": params()}).encode())
            while True:
                if not connection.poll(None if timeout is None else max(began + timeout - time.monotonic(), 0.0)):
                    print(f"ran longer than {timeout:g}s", file=sys.stderr, flush=True)  # noqa: T201
                    return 1
                kind, text = json.loads(connection.recv_bytes())
                if kind == "report":
                    append(os.environ["ORCHESTUNE_METRICS"], text)
                elif kind == "failed":
                    print(text, file=sys.stderr, flush=True)  # noqa: T201  # for the trial's log
                connection.send_bytes(json.dumps(should_stop()).encode())
                if kind in ("failed", "done"):
                    return int(kind == "failed")
        except (EOFError, OSError):
            return None


if __name__ == "__main__":
    code = main(sys.argv[1], *map(float, sys.argv[2:]))
    os._exit(code)  # its files are closed; the end of the interpreter would take 6 of the 20 ms of a trial
