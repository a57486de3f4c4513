"""How long a worker waits for its next configuration, from handing in a result to holding the next lease.

A real server with the default engine, or another one; 15 simulated workers hand in one result per second together. The
history is filled first, with random configurations that a user queues, so that filling does not wait for the engine. A
result is on the disk before its worker hears of it, so what the disk alone takes is measured at the same time.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import tempfile
import time
from itertools import count
from typing import Any

from benchmarks import table
from benchmarks.simulated_server import SimulatedServer
from benchmarks.simulation import Connection, Pace, Seen, Worker

WORKERS = 15
PARAMETERS = [f"x{index}" for index in range(6)]
HEAD = ["finished trials", "suggestions", "median ms", "p99 ms", "worst ms", "p99 of the wanted 10 ms"]
HEAD += ["the disk alone: median ms", "p99 ms"]


def loss(parameters: Any) -> float:
    """A bowl with a ripple: something that an engine can learn."""
    values = [float(parameters[name]) for name in PARAMETERS]
    return sum((value - 0.3) ** 2 for value in values) + 0.05 * math.sin(20 * values[0])


def specification(history: int, results: int, engine: str) -> dict[str, Any]:
    """The experiment: six decimals."""
    return {
        "name": f"wait {history}",
        "run": "true",
        "parameters": [{"name": name, "type": "float", "min": 0.0, "max": 1.0} for name in PARAMETERS],
        "metrics": [{"name": "loss", "goal": "minimize"}],
        "budget": history + results + 6 * WORKERS,
        "parallelism": WORKERS,
        "engine": engine,
    }


async def measure(
    server: SimulatedServer, history: int, results: int, interval: float, engine: str
) -> tuple[list[float], list[float]]:
    """Seconds that each of the `results` suggestions after the first `history` trials took, and those of the disk."""
    seen, fast = Seen(), True
    pace = Pace(lambda draw: 0.0 if fast else interval * WORKERS * draw.uniform(0.7, 1.3), measure=loss)
    handle = server.create(specification(history, results, engine))
    workers = server.workers(WORKERS)
    running = [asyncio.create_task(Worker(server.url, worker, token, pace, seen).run()) for worker, token in workers]
    filling = [asyncio.create_task(_fill(server, handle, history, seen, index)) for index in range(4)]
    try:
        while seen.finished < history:
            await _step([*running, *filling])
        await asyncio.gather(*filling)
        fast = False
        calm = seen.finished + 2 * WORKERS
        while seen.finished < calm:  # the workers fall out of step, and the engine has looked at the whole history
            await _step(running)
        first, disk = len(seen.suggestion), list[float]()
        running.append(asyncio.create_task(_probe(disk, interval)))
        while len(seen.suggestion) < first + results:
            await _step(running)
        return seen.suggestion[first:], disk
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _probe(seconds: list[float], interval: float) -> None:
    """Write as much as a small commit does, as often as a result comes, and wait for the disk."""
    with tempfile.TemporaryFile() as file:
        while True:
            began = time.perf_counter()
            file.write(bytes(8192))
            file.flush()
            await asyncio.to_thread(os.fdatasync, file.fileno())
            seconds.append(time.perf_counter() - began)
            await asyncio.sleep(interval)


async def _fill(server: SimulatedServer, handle: str, history: int, seen: Seen, index: int) -> None:
    """Queue random configurations until enough trials have finished."""
    connection, draw = Connection(server.url, server.token), random.Random(index)
    for queued in count():
        if seen.finished + WORKERS >= history:
            break
        while 4 * queued > seen.finished + 200:  # a queue that is not longer than needed
            await asyncio.sleep(0.01)
        parameters = {name: draw.random() for name in PARAMETERS}
        await connection.call("POST", f"/api/v1/experiments/{handle}/trials", {"parameters": parameters})
    await connection.close()


async def _step(running: list[asyncio.Task[None]]) -> None:
    done, _ = await asyncio.wait(running, timeout=0.05, return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        task.result()  # what broke a simulated worker ends the benchmark


def main() -> None:
    """Measure at each length of the history and print the table."""
    parser = table.arguments(__doc__)
    parser.add_argument("--results", type=int, help="suggestions measured at each length (300; quick: 30)")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between two results")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--history", type=int, nargs="+", help="(100 1000 10000; quick: 100 1000)")
    options = parser.parse_args()
    results = options.results or (30 if options.quick else 300)
    lengths = options.history or ([100, 1000] if options.quick else [100, 1000, 10_000])
    print(table.machine())
    rows: list[table.Row] = []
    for history in lengths:
        with SimulatedServer(WORKERS) as server:
            found = asyncio.run(measure(server, history, results, options.interval, options.engine))
        waits, disk = ([1000 * value for value in values] for values in found)
        p99 = table.percentile(waits, 0.99)
        numbers = [table.percentile(waits, 0.5), p99, max(waits), p99 / 10]
        rows.append([history, len(waits), *numbers, table.percentile(disk, 0.5), table.percentile(disk, 0.99)])
    table.show(
        f"Wait for a suggestion, engine {options.engine}, {WORKERS} workers, {options.interval:g} s a result",
        HEAD,
        rows,
    )


if __name__ == "__main__":
    main()
