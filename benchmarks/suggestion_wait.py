"""Measure the time that a worker waits for its next configuration: from its result to the next lease.

A real server with the default engine, or another one, that finds an experiment with so many finished trials in its
store; simulated workers hand in one result per second together. A result is on the disk before its worker is answered,
so what the disk alone takes is measured at the same time.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import tempfile
import time
from collections.abc import Mapping
from typing import Any

from benchmarks import table
from benchmarks.simulated_server import SimulatedServer
from benchmarks.simulation import Measurements, Pace, Worker
from tests.testbeds.seed import Plan

PARAMETERS = [f"x{index}" for index in range(6)]
CALM = 20
"""results after which the engine has looked at the whole history, and everything that starts has started"""
HEAD = ["finished trials", "suggestions", "median ms", "p99 ms", "worst ms", "p99 of the wanted 10 ms"]
HEAD += ["the disk alone: median ms", "p99 ms", "load"]


def loss(parameters: Mapping[str, Any]) -> float:
    """A bowl with a ripple: something that an engine can learn."""
    values = [float(parameters[name]) for name in PARAMETERS]
    return sum((value - 0.3) ** 2 for value in values) + 0.05 * math.sin(20 * values[0])


def plan(history: int, results: int, workers: int, engine: str) -> Plan:
    """The experiment: six decimals, of which so many random configurations have been tried."""
    return Plan(
        name=f"wait {history}",
        parameters=[{"name": name, "type": "float", "min": 0.0, "max": 1.0} for name in PARAMETERS],
        metrics=[{"name": "loss", "goal": "minimize"}],
        outcome=lambda parameters, chance: ("completed", {"loss": loss(parameters)}, None),
        finished=history,
        budget=history + results + CALM + 4 * workers,
        parallelism=workers,
        state="running",
        run="true",
        log="",
        engine=engine,
    )


async def measure(
    server: SimulatedServer, workers: int, results: int, interval: float
) -> tuple[list[float], list[float]]:
    """Seconds that each of `results` suggestions took, and those of the disk."""
    measurements, begun = Measurements(), 0

    def seconds(draw: random.Random) -> float:
        nonlocal begun
        begun += 1  # the first trials end one after the other, and not all of them after the usual time
        return interval * workers * (draw.random() if begun <= workers else draw.uniform(0.7, 1.3))

    pace, hired = Pace(seconds, measure=loss), 0
    running: list[asyncio.Task[None]] = []

    async def until(suggestions: int) -> None:
        nonlocal hired
        while len(measurements.suggestion) < suggestions:
            ordered = (
                server.ordered()
            )  # workers that waited long while the engine received the history have been replaced
            running.extend(
                asyncio.create_task(Worker(server.url, worker, token, pace, measurements).run())
                for worker, token in ordered[hired:]
            )
            hired = len(ordered)
            await _step(running)

    try:
        await until(CALM)
        first, disk = len(measurements.suggestion), list[float]()
        running.append(asyncio.create_task(_probe(disk, interval)))
        await until(first + results)
        return measurements.suggestion[first:], disk
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


async def _step(running: list[asyncio.Task[None]]) -> None:
    await asyncio.sleep(0.05)
    done = [task for task in running if task.done()]
    for task in done:
        task.result()  # what broke a simulated worker ends the benchmark


def main() -> None:
    """Measure at each length of the history and print the table."""
    parser = table.arguments(__doc__)
    parser.add_argument("--results", type=int, help="suggestions measured at each length (300; quick: 30)")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between two results")
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--history", type=int, nargs="+", help="(1000 10000 100000; quick: 1000 10000)")
    options = parser.parse_args()
    results = options.results or (30 if options.quick else 300)
    lengths = options.history or ([1000, 10_000] if options.quick else [1000, 10_000, 100_000])
    print(table.machine())
    rows: list[table.Row] = []
    for history in lengths:
        before = plan(history, results, options.workers, options.engine)
        with SimulatedServer(options.workers, before) as server:
            waiting_times = asyncio.run(measure(server, options.workers, results, options.interval))
        waits, disk = ([1000 * value for value in values] for values in waiting_times)
        p99 = table.percentile(waits, 0.99)
        numbers = [table.percentile(waits, 0.5), p99, max(waits), p99 / 10]
        numbers += [table.percentile(disk, 0.5), table.percentile(disk, 0.99), os.getloadavg()[0]]
        rows.append([history, len(waits), *numbers])
    table.show(
        f"Wait for a suggestion, engine {options.engine}, {options.workers} workers, {options.interval:g} s a result",
        HEAD,
        rows,
    )


if __name__ == "__main__":
    main()
