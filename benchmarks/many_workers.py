"""One server and 1,000 simulated workers that beat every 5 s and finish a trial every 30 s: CPU, latency, memory."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from benchmarks import table
from benchmarks.simulated_server import SimulatedServer
from benchmarks.simulation import Measurements, Pace, Worker

TICKS = os.sysconf("SC_CLK_TCK")


def specification(workers: int, seconds: float) -> dict[str, Any]:
    """More trials than the workers can finish in time."""
    return {
        "name": "many workers",
        "run": "true",
        "parameters": [{"name": "x", "type": "float", "min": 0.0, "max": 1.0}],
        "metrics": [{"name": "loss", "goal": "minimize"}],
        "budget": int(workers * (seconds / 30 + 10)),
        "parallelism": workers,
        "engine": "random",
    }


def cpu_seconds(pid: int) -> float:
    """User and system time of one process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def megabytes(pid: int) -> float:
    """Resident memory of one process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def measure(server: SimulatedServer, workers: int, seconds: float) -> list[table.Row]:
    """Let them work, and look at the server every fifth of the time."""
    measurements, pace = Measurements(), Pace(lambda draw: draw.uniform(20, 40))
    server.create(specification(workers, seconds))
    running = []
    for worker, token in server.workers(workers):
        running.append(asyncio.create_task(Worker(server.url, worker, token, pace, measurements).run()))
        await asyncio.sleep(15 / workers)  # machines do not all start in the same moment
    await asyncio.sleep(20)
    rows: list[table.Row] = []
    try:
        for _ in range(5):
            work, suggestion, finished = len(measurements.work), len(measurements.suggestion), measurements.finished
            began, used = time.monotonic(), cpu_seconds(server.pid)
            done, _ = await asyncio.wait(running, timeout=seconds / 5, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            took = time.monotonic() - began
            beats = [1000 * value for value in measurements.work[work:]]
            waits = [1000 * value for value in measurements.suggestion[suggestion:]]
            row: list[object] = [
                f"{took:.0f} s",
                (len(beats) + len(waits)) / took,
                (measurements.finished - finished) / took,
            ]
            row += [
                (cpu_seconds(server.pid) - used) / took,
                table.percentile(beats, 0.5),
                table.percentile(beats, 0.99),
            ]
            rows.append([*row, table.percentile(waits, 0.99), megabytes(server.pid)])
        return rows
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def main() -> None:
    """Measure and print the table."""
    parser = table.arguments(__doc__)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, help="(300; quick: 60)")
    options = parser.parse_args()
    seconds = options.seconds or (60.0 if options.quick else 300.0)
    print(table.machine())
    with SimulatedServer(options.workers) as server:
        rows = asyncio.run(measure(server, options.workers, seconds))
    head = [
        "for",
        "calls/s",
        "trials/s",
        "cores of the server",
        "beat median ms",
        "beat p99 ms",
        "suggestion p99 ms",
        "MiB",
    ]
    table.show(f"{options.workers:,} workers, a beat every 5 s, a trial every 30 s", head, rows)


if __name__ == "__main__":
    main()
