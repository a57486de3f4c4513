"""Thousands of workers in many experiments on one server: CPU, latency, probes, memory, and their return after a crash.

Real: the server, its database, HTTP. Simulated: the workers (`worker_fleet`), which run nothing, and the backend.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvloop

from benchmarks import table
from benchmarks.many_workers import cpu_seconds, megabytes
from benchmarks.simulated_server import SimulatedServer
from benchmarks.worker_fleet import Behaviour, Calls, FleetWorker
from orchestune.services.memory.call_pace import MAX_PAUSE_SECONDS, PAUSES_PER_LEASE

SETTLE_SECONDS = 30
"""seconds in which the workers start, and seconds before the first measurement"""
RETURN_SECONDS = 120
"""so long the benchmark waits for workers that do not come back"""
LEASE_SECONDS = PAUSES_PER_LEASE * MAX_PAUSE_SECONDS + 5
PROBE = """
import http.client, sys, time
host, port, every = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
while True:
    began = time.monotonic()
    try:
        connection = http.client.HTTPConnection(host, port, timeout=30)
        connection.request("GET", "/healthz")
        good = connection.getresponse().status == 200
        connection.close()
    except OSError:
        good = False
    print(int(good), time.monotonic() - began, flush=True)
    time.sleep(every)
"""
"""a kubelet: a new connection for each probe, from a process of its own"""


def specification(workers: int) -> dict[str, Any]:
    """An experiment that does not end during the measurement."""
    return {
        "name": "team",
        "run": "true",
        "parameters": [{"name": "x", "type": "float", "min": 0.0, "max": 1.0}],
        "metrics": [{"name": "loss", "goal": "minimize"}],
        "budget": 1_000_000,
        "parallelism": workers,
        "engine": "random",
    }


class Probes:
    """Requests for `/healthz` during a block, from another process."""

    def __init__(self, url: str, path: Path) -> None:
        parts = urlsplit(url)
        self._path = path
        with path.open("w") as out:
            command = [sys.executable, "-c", PROBE, str(parts.hostname), str(parts.port), "0.2"]
            self._process = subprocess.Popen(command, stdout=out)

    def seconds(self, since: int = 0) -> list[float]:
        """Return the seconds of each probe from the given number on; infinite if it failed."""
        lines = [line.split() for line in self._path.read_text().splitlines()[since:]]
        return [float(line[1]) if line[0] == "1" else float("inf") for line in lines if len(line) == 2]

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def waiting_connections(port: int) -> int:
    """Return how many connections wait to be accepted at a TCP port of this machine."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
            return int(fields[4].rpartition(":")[2], 16)
    return 0


async def fleet(server: SimulatedServer, count: int, behaviour: Behaviour, calls: Calls) -> list[asyncio.Task[None]]:
    """Start all workers within `SETTLE_SECONDS`."""
    parts, running = urlsplit(server.url), []
    address = (str(parts.hostname), int(parts.port or 80))
    for seed, (worker, token) in enumerate(server.workers(count)):
        running.append(asyncio.create_task(FleetWorker(address, worker, token, behaviour, calls, seed).run()))
        await asyncio.sleep(SETTLE_SECONDS / count)
    await asyncio.sleep(SETTLE_SECONDS)
    return running


async def steady(server: SimulatedServer, calls: Calls, probes: Probes, seconds: float) -> table.Row:
    """Measure for some seconds."""
    first, tried, finished = len(calls.seconds), len(probes.seconds()), calls.finished
    began, used, queue = time.monotonic(), cpu_seconds(server.pid), 0
    port = int(urlsplit(server.url).port or 80)
    while time.monotonic() - began < seconds:
        await asyncio.sleep(0.5)
        queue = max(queue, waiting_connections(port))
    took = time.monotonic() - began
    latencies = [1000 * value for value in calls.seconds[first:]]
    health = [1000 * value for value in probes.seconds(tried)]
    return [
        f"{took:.0f} s",
        len(latencies) / took,
        (calls.finished - finished) / took,
        (cpu_seconds(server.pid) - used) / took,
        table.percentile(latencies, 0.5),
        table.percentile(latencies, 0.99),
        table.percentile(health, 0.99),
        queue,
        megabytes(server.pid),
    ]


async def crash(server: SimulatedServer, calls: Calls, probes: Probes, count: int) -> table.Row:
    """Kill the server and start it again: how long until every worker has an answer, and what was lost."""
    lost, tried, connects = server.lost_attempts(), len(probes.seconds()), len(calls.connects)
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start_again)
    up = time.monotonic()
    port, queue = int(urlsplit(server.url).port or 80), 0
    while calls.back_since(up) < count and time.monotonic() - up < RETURN_SECONDS:
        await asyncio.sleep(0.1)
        queue = max(queue, waiting_connections(port))
    back = time.monotonic() - up
    await asyncio.sleep(LEASE_SECONDS)  # leases of those that did not come back expire
    health = [1000 * value for value in probes.seconds(tried) if value != float("inf")]
    return [
        calls.back_since(up),
        back,
        server.lost_attempts() - lost,
        calls.superseded,
        1000 * table.percentile(calls.connects[connects:], 0.99),
        max(health, default=float("nan")),
        queue,
    ]


async def measure(server: SimulatedServer, options: Any, behaviour: Behaviour) -> None:
    """Start the workers, measure in five parts, then crash; print both tables as soon as they are known."""
    calls, count = Calls(), options.experiments * options.workers
    for _ in range(options.experiments):
        server.create(specification(options.workers))
    running: Sequence[asyncio.Task[None]] = []
    probes = Probes(server.url, server.folder / "probes")
    try:
        running = await fleet(server, count, behaviour, calls)
        rows = [await steady(server, calls, probes, options.seconds / 5) for _ in range(5)]
        kind = "silent" if options.print_seconds is None else f"printing every {options.print_seconds:g} s"
        title = f"{count:,} {kind} workers in {options.experiments} experiments, trials of {options.trial_seconds:g} s"
        head = ["for", "calls/s", "trials/s", "cores of the server", "call median ms", "call p99 ms", "healthz p99 ms"]
        table.show(title, [*head, "waiting connections", "MiB"], rows)
        row = await crash(server, calls, probes, count)
        head = ["workers back", "within s", "attempts lost", "taken from workers", "connect p99 ms", "healthz worst ms"]
        table.show("after kill -9 and a new start", [*head, "waiting connections"], [row])
    finally:
        probes.stop()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def main() -> None:
    """Measure and print the tables."""
    parser = table.arguments(__doc__)
    parser.add_argument("--experiments", type=int, help="(120; quick: 20)")
    parser.add_argument("--workers", type=int, default=30, help="of each experiment (30)")
    parser.add_argument("--seconds", type=float, help="(300; quick: 50)")
    parser.add_argument("--trial-seconds", type=float, default=600.0, help="mean duration of a trial (600)")
    parser.add_argument("--print-seconds", type=float, help="seconds between two lines of a trial (it prints nothing)")
    options = parser.parse_args()
    options.experiments = options.experiments or (20 if options.quick else 120)
    options.seconds = options.seconds or (50.0 if options.quick else 300.0)
    behaviour = Behaviour(
        lambda draw: draw.uniform(0.5, 1.5) * options.trial_seconds, print_seconds=options.print_seconds
    )
    print(table.machine())
    with SimulatedServer(options.experiments * options.workers) as server:
        uvloop.run(measure(server, options, behaviour))


if __name__ == "__main__":
    main()
