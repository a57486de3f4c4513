"""Helpers of the end-to-end tests: a folder with an experiment, its processes, and waiting for it."""

from __future__ import annotations

import json
import os
import secrets
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tests.testbeds.home import Home
from tests.testbeds.processes import alive, children_of
from tests.testbeds.waiting import until

T = TypeVar("T")
TIMEOUT = 90.0
"""seconds after which something that should come will not"""


def write(folder: Path, run: str | list[str], **keys: Any) -> Path:
    """An experiment file in the (made) folder; JSON is YAML too."""
    folder.mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {
        "name": folder.name.replace("_", "-")[:30],
        "run": run,
        "parameters": {"x": "0.0..1.0"},
        "metrics": {"loss": "minimize"},
        "budget": 3,
        "parallelism": 2,
        "engine": "random",
        "grace": "1s",
        **keys,
    }
    (folder / "experiment.yml").write_text(json.dumps({key: value for key, value in document.items() if value}))
    return folder


def launch(home: Home, project: Path) -> str:
    """Start the experiment of the folder and do not follow it: its handle."""
    return home.run("run", "--detach", cwd=project).stdout.strip()


def eventually(look: Callable[[], T], what: str, home: Home, timeout: float = TIMEOUT) -> T:
    """Look again and again until there is something to see."""
    return until(what, look, timeout, home.server_log)


def reached(home: Home, handle: str, *states: str, timeout: float = TIMEOUT) -> dict[str, Any]:
    """The status of the experiment, once it is in one of the states."""

    def look() -> dict[str, Any] | None:
        status: dict[str, Any] = home.json("status", handle)
        others = {"completed", "failed", "stopped", "paused"} - {*states}
        assert status["state"] not in others or status["desired"] != "running", f"not {states}: {status}"
        return status if status["state"] in states else None

    reached_status = eventually(look, f"{handle} is {' or '.join(states)}", home, timeout)
    assert reached_status is not None
    return reached_status


def attempts(home: Home, handle: str) -> list[dict[str, Any]]:
    """Every attempt of every trial, with its trial's number."""
    return [
        {**attempt, "trial": trial["number"]} for trial in home.json("trials", handle) for attempt in trial["attempts"]
    ]


def new_nap() -> str:
    """An hour of sleep that no other process sleeps, so that its processes are known by it."""
    return f"36{secrets.randbelow(10**8):08}"


def sleepers(nap: str) -> set[int]:
    """The pids of what sleeps that nap."""
    pids = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if os.path.basename(words[0]) == b"sleep" and words[1:2] == [nap.encode()]:
                pids.add(int(entry.name))
    return pids


def server_pid(home: Home) -> int:
    """The embedded server, as it published itself."""
    return int(json.loads((home.folder / "endpoint.json").read_text())["pid"])


def kill_server(home: Home) -> int:
    """kill -9; returns what its pid was, once it is gone."""
    pid = server_pid(home)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not alive(pid), "the server is gone", home)
    return pid


def workers(home: Home) -> dict[int, list[int]]:
    """The running guards of this home's workers, each with its children."""
    children = {}
    for note in home.folder.glob("workers/*/handle.json"):
        pid = int(json.loads(note.read_text())["pid"])
        if alive(pid):
            children[pid] = children_of(pid)
    return children
