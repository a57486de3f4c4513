"""This machine as the contract of backends sees it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from orchestune.backends.local import client
from orchestune.backends.local.backend import LocalBackend
from orchestune.ports.backend import Backend
from orchestune.system.process import Process

STAND_IN = (sys.executable, "-I", str(Path(__file__).with_name("stand_in.py")))


class ThisMachine:
    """Implements `BackendUnderTest`. Finds a worker's processes by their environment, which has its id."""

    def __init__(self, state: Path, program: Sequence[str] = STAND_IN) -> None:
        self.state = state
        self.program = program
        self.url = "http://127.0.0.1:9"

    def backend(self) -> Backend:
        return self.local()

    def local(self) -> LocalBackend:
        return LocalBackend(self.state, None, self.url, self.program)

    def kill(self, worker: str, handle: Mapping[str, Any]) -> None:
        os.kill(handle["pid"], signal.SIGKILL)

    def stubborn(self) -> Mapping[str, Any]:
        return {"env": {"PATH": os.environ["PATH"], "STAND_IN": "stubborn"}}

    def belongings(self, worker: str) -> Sequence[str]:
        return [f"{pid} {_read(pid, 'cmdline')}" for pid in self.pids(worker)]

    def pids(self, worker: str) -> list[int]:
        marks = (f"BELONGS_TO={worker}\0", f"/workers/{worker}/")
        return [pid for pid in _pids() if any(mark in _read(pid, "environ") for mark in marks)]

    def in_public(self) -> str:
        return "\n".join(_read(pid, "cmdline") for pid in _pids())

    @contextlib.contextmanager
    def recording(self) -> Iterator[list[dict[str, Any]]]:
        requests: list[dict[str, Any]] = []
        spawn = client.spawn

        def record(program: Sequence[str], environ: Mapping[str, str], folder: Path, log: Path) -> Process:
            requests.append({"command": list(program), "folder": str(folder)})
            return spawn(program, environ, folder, log)

        with mock.patch.object(client, "spawn", record):
            yield requests

    def contents(self) -> Sequence[str]:
        return sorted(str(path) for path in self.state.rglob("*"))

    def clear(self) -> None:
        for pid in _pids():
            text = _read(pid, "environ")
            if str(self.state) in text or any(f"BELONGS_TO={name}" in text for name in self._ids()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)

    def _ids(self) -> list[str]:
        folder = self.state / "workers"
        return os.listdir(folder) if folder.is_dir() else []


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal() and int(name) != os.getpid()]


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")
    except OSError:
        return ""
