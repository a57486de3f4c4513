"""Real workers against a small server that follows the protocol."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.integration.worker.fake_server import FakeServer
from tests.testbeds.processes import children_of

SOURCE = Path(__file__).resolve().parents[3] / "src"
TIMEOUT = 120.0
"""seconds for what needs another process, on a machine under load"""
BOOT = "import sys, runpy; sys.path.insert(0, {!r}); runpy.run_module('orchestune.worker', run_name='__main__')"


class RunningWorker:
    """A worker process (its guard, that is) and where it writes."""

    def __init__(self, server: FakeServer, folder: Path, name: str, **more: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name, self.state = name, folder / "state"
        self.endpoint = folder / "endpoint.json"
        self.log = folder / f"{name}.log"
        self._file = folder / f"{name}.json"
        self._environ = {**os.environ, "ORCHESTUNE_WORKER_FILE": str(self._file), **more.pop("environ", {})}
        self._command: list[str] = more.pop(
            "command", [sys.executable, "-I", "-W", "error", "-c", BOOT.format(str(SOURCE))]
        )
        self.point_to(server)
        settings = {
            "url": None, "endpoint": str(self.endpoint), "token": server.token, "worker": name, "slots": server.slots,
            "state": str(self.state), "gpus": [], "tags": {}, **more,
        }  # fmt: skip
        self._file.write_text(json.dumps(settings))
        self._file.chmod(0o600)
        self.start()

    def start(self) -> None:
        """Start it, or start it again."""
        with open(self.log, "ab") as log:
            self.guard = subprocess.Popen(
                self._command,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def point_to(self, server: FakeServer) -> None:
        """Write the server's present address where workers look for it."""
        part = self.endpoint.with_suffix(".part")
        part.write_text(json.dumps({"url": server.url}))
        part.replace(self.endpoint)

    @property
    def pid(self) -> int:
        """The worker itself, below its guard."""
        child: int = until(lambda: next(iter(children_of(self.guard.pid)), 0), "the worker below its guard")
        return child

    def wait(self, seconds: float = TIMEOUT) -> int:
        """Wait for the end and return the exit code."""
        return self.guard.wait(seconds)

    def kill(self) -> None:
        """Terminate it and all that it started; idempotent."""
        if self.guard.poll() is None:
            for pid in [*children_of(self.guard.pid), self.guard.pid]:
                signal_quietly(pid, signal.SIGCONT)
            for pid in children_of(self.guard.pid):
                signal_quietly(pid, signal.SIGKILL)
            self.guard.wait(TIMEOUT)


def signal_quietly(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def until(condition: Callable[[], Any], what: str, seconds: float = TIMEOUT) -> Any:
    """Poll until something is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"timed out waiting for {what}"
        time.sleep(0.02)
    return value


def read_pids(folder: Path, count: int) -> list[int]:
    """The process numbers that commands wrote into files `*.pid` there, once there are `count`."""

    def pids_written() -> list[int] | None:
        texts = [path.read_text().strip() for path in folder.glob("*.pid")]
        return [int(text) for text in texts] if len([text for text in texts if text]) >= count else None

    pids: list[int] = until(pids_written, f"{count} process numbers")
    return pids


def bundle(files: Mapping[str, str | bytes]) -> bytes:
    """A `.tar.gz` of these files; a text that starts with `-> ` is a symbolic link."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, str) and content.startswith("-> "):
                member.type, member.linkname = tarfile.SYMTYPE, content[3:]
                tar.addfile(member)
                continue
            encoded = content.encode() if isinstance(content, str) else content
            member.size, member.mode = len(encoded), 0o755 if name.endswith(".sh") else 0o644
            tar.addfile(member, io.BytesIO(encoded))
    return data.getvalue()


@pytest.fixture
def serve() -> Iterator[Callable[..., FakeServer]]:
    """Start servers that offer a job."""
    servers = []

    def start(run: str | list[str], **job: Any) -> FakeServer:
        server = FakeServer({"run": run, **job}, slots=job.pop("slots", 4), beat=job.pop("beat", 0.5))
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def employ(tmp_path: Path) -> Iterator[Callable[..., RunningWorker]]:
    """Start workers."""
    workers: list[RunningWorker] = []

    def start(server: FakeServer, **more: Any) -> RunningWorker:
        worker = RunningWorker(server, tmp_path / "worker", more.pop("name", f"worker-{len(workers)}"), **more)
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        worker.kill()
