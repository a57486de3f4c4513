"""The program of a trial that somebody else's process runs: it offers the trial, and passes on what that one says.

Under the ordinary worker, so leases, beats, orders and the budget are those of any trial. An offer is a file in the
folder that the experiment names; who renames it has it. A process that goes away without an outcome makes it offer the
trial again. The processes talk by a Unix socket beside the offer, in a folder that only their user can enter.
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
_ABOUT = {"number": "ORCHESTUNE_TRIAL", "seed": "ORCHESTUNE_SEED", "fold": "ORCHESTUNE_FOLD"}
_LOOK = 0.5
"""seconds between two looks whether the trial is to end"""
_CLAIMED = 10.0
"""seconds after which an offer that was taken by nobody who came is made again"""


def main(folder: str, longest: float | None = None) -> int:
    """Until there is an outcome: 0, or 1 where it is a failure.

    `longest`: seconds that a process may take. While the trial is on offer none of them pass, which may be for hours.
    """
    offer = Path(folder, f"{int(os.environ['ORCHESTUNE_TRIAL']):09}-{os.getpid()}{OFFER}")
    while True:
        code = _serve(_taken(offer), longest)
        if code is not None:
            return code


def _taken(offer: Path) -> Connection[Any, Any]:
    """Offer the trial until a process of this user has connected. SystemExit if the trial is to end."""
    while True:
        offer.parent.mkdir(
            parents=True, exist_ok=True, mode=0o700
        )  # removed with an experiment that was extended since
        with ExitStack() as stack:
            listener = _listen(offer.with_suffix(".sock"), stack)
            part = offer.with_suffix(".part")
            part.touch(0o600)
            part.write_text(json.dumps({"socket": str(listener.path)}))
            part.replace(offer)
            stack.callback(offer.unlink, missing_ok=True)
            claimed: float | None = None
            while claimed is None or time.monotonic() < claimed + _CLAIMED:
                if should_stop():
                    raise SystemExit(0)
                if select.select([listener.socket], [], [], _LOOK)[0]:
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


def _serve(connection: Connection[Any, Any], longest: float | None) -> int | None:
    """What the process says, until there is an outcome: the exit code, or None where it went away without one."""
    about = {name: int(os.environ[variable]) for name, variable in _ABOUT.items()}
    began = time.monotonic()
    with connection:
        try:
            connection.send_bytes(json.dumps({**about, "parameters": params()}).encode())
            while True:
                if not connection.poll(None if longest is None else max(began + longest - time.monotonic(), 0.0)):
                    print(f"ran longer than {longest:g}s", file=sys.stderr, flush=True)  # noqa: T201
                    return 1
                word, said = json.loads(connection.recv_bytes())
                if word == "report":
                    append(os.environ["ORCHESTUNE_METRICS"], said)
                elif word == "failed":
                    print(said, file=sys.stderr, flush=True)  # noqa: T201  it belongs into the trial's log
                connection.send_bytes(json.dumps(should_stop()).encode())
                if word in ("failed", "done"):
                    return int(word == "failed")
        except (EOFError, OSError):
            return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(float, sys.argv[2:])))
