"""A real server, in a process of its own, whose backend starts nothing: it writes down whom it would have started.

`python -m benchmarks.simulated_server STATE CORES PORT` is that process; `SimulatedServer` starts it, and hands out its
workers.
"""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestune import bootstrap
from orchestune.domain.resources.placement import Placement
from orchestune.domain.resources.resources import Capacity, Machine, Resources
from orchestune.ports.backend import Phase, PlannedWorker, WorkerOrder, WorkerStatus
from orchestune.server.extra_listener import ExtraListener
from orchestune.server.main import main as serve
from orchestune.server.settings import Settings
from orchestune.store.database import open_store
from tests.testbeds.seed import Plan, Writer

TIMEOUT = 60.0


class SimulatedBackend:
    """A machine of so many cores, on which every worker that was ordered is seen running until it is ended."""

    name = "local"
    slots_per_worker: int | None = None
    assigns_gpus = True
    limits_memory = True
    queues = False

    def __init__(self, cores: int, orders: Path) -> None:
        self._cores, self._orders, self._ended = cores, orders, set[str]()

    def capacity(self) -> Capacity:
        """One worker for each core."""
        return Capacity((Machine(self._cores, 2**40),))

    def needs(self, each: Resources, launch: Mapping[str, Any]) -> Resources:
        """Nothing beyond what was said."""
        return each

    def total_request(self, each: Resources, placement: Placement) -> Resources:
        """Nothing beyond what it gets."""
        return each

    def check(self, each: Resources, placement: Placement) -> Sequence[str]:
        """Everything can run."""
        return ()

    def plan(self, order: WorkerOrder) -> PlannedWorker:
        """A line in a file."""
        return PlannedWorker("", ({"worker": order.worker},))

    def infeasible_nodes(self, each: Resources, placement: Placement) -> frozenset[str]:
        """Everywhere."""
        return frozenset()

    def sweep(self, workers: frozenset[str]) -> None:
        """Nothing is left behind."""

    def start(self, order: WorkerOrder) -> Mapping[str, Any]:
        """Write the order down."""
        with self._orders.open("a") as file:
            print(json.dumps([order.worker, order.token]), file=file)
        return {"simulated": True}

    def observe(self, handles: Mapping[str, Mapping[str, Any]]) -> Sequence[WorkerStatus]:
        """All of them run."""
        phases = {worker: Phase.GONE if worker in self._ended else Phase.RUNNING for worker in handles}
        return [WorkerStatus(worker, phase, handles[worker]) for worker, phase in phases.items()]

    def terminate(self, worker: str, handle: Mapping[str, Any], grace: float) -> None:
        """See it no more."""
        self._ended.add(worker)


class SimulatedServer:
    """The process, seen from the benchmark; ended and gone with its state when the block ends."""

    def __init__(self, cores: int, before: Plan | None = None) -> None:
        """`before`: an experiment that the server finds in its store as it starts."""
        self._folder = tempfile.TemporaryDirectory(prefix="orchestune-simulated-")
        self._state = Path(self._folder.name)
        if before is not None:
            store = open_store(f"sqlite:///{self._state / 'orchestune.db'}")
            Writer(store, before, random.Random(7)).write()
            store.close()
        self._cores = cores
        self._process = self._start("0")
        self.url = ""

    def _start(self, port: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "benchmarks.simulated_server", str(self._state), str(self._cores), port]
        with (self._state / "log").open("a") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    @property
    def folder(self) -> Path:
        """Its state folder."""
        return self._state

    def kill(self) -> None:
        """End the process at once, as a crash does."""
        self._process.kill()
        self._process.wait()

    def start_again(self) -> None:
        """Start it at the same address, and wait until it answers."""
        port = str(urlsplit(self.url).port)
        self._process = self._start(port)
        self._await("an answer", self._answers)

    def lost_attempts(self) -> int:
        """Return how many attempts were lost so far."""
        with closing(sqlite3.connect(f"file:{self._state / 'orchestune.db'}?mode=ro", uri=True)) as database:
            [[count]] = database.execute("SELECT COUNT(*) FROM attempts WHERE state = 'lost'")
        return int(count)

    def __enter__(self) -> SimulatedServer:
        try:
            self._await("the server", lambda: (self._state / "url").exists())
            self.url = (self._state / "url").read_text()
            self._await("an answer", self._answers)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    @property
    def token(self) -> str:
        """The owner's."""
        return (self._state / "token").read_text().strip()

    def create(self, specification: Mapping[str, Any]) -> str:
        """Create an experiment and return its handle."""
        body = {"specification": specification, "bundle": None, "cluster": "local", "folder": "benchmark:/"}
        body |= {"owner": "benchmark", "launch": {}, "secrets": {}}
        return str(self._request("POST", "/api/v1/experiments", body)["handle"])

    def workers(self, count: int) -> list[tuple[str, str]]:
        """Wait for the (id, token) of the `count` workers that the server wants."""
        self._await(f"{count} workers", lambda: len(self.ordered()) >= count)
        return self.ordered()

    def ordered(self) -> list[tuple[str, str]]:
        """The (id, token) of each worker that the server has wanted so far."""
        orders = self._state / "orders"
        lines = orders.read_text().rpartition("\n")[0].splitlines() if orders.exists() else []
        return [(worker, token) for worker, token in map(json.loads, lines)]

    def _answers(self) -> bool:
        try:
            self._request("GET", "/api/v1/server")
        except OSError:
            return False
        return True

    def _request(self, method: str, path: str, body: object = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as exc:
            raise RuntimeError(f"{method} {path}: {exc.code} {exc.read().decode()}") from exc

    def _await(self, what: str, condition: Any) -> None:
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"waiting for {what} in vain:\n{(self._state / 'log').read_text()[-4000:]}")
            time.sleep(0.05)


def main() -> int:
    """Serve until SIGTERM."""
    state, cores, port = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

    def build(settings: Settings, url: str, endpoint: Path | None, door: ExtraListener) -> bootstrap.RunningCore:
        (state / "url.new").write_text(url)
        (state / "url.new").rename(state / "url")
        return bootstrap.build(settings, url, endpoint, door, {"local": SimulatedBackend(cores, state / "orders")})

    return serve(["--state", str(state), "--port", port], build)


if __name__ == "__main__":
    raise SystemExit(main())
