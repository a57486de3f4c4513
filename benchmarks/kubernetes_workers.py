"""Measure CPU and memory of the server in a cluster with 100 workers: simulated ones, and real pods beside them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess
import time
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from benchmarks import table
from benchmarks.simulation import Measurements, Pace, Worker
from orchestune.client.api import Client
from tests.kubernetes.lab import Lab
from tests.testbeds.kubernetes.fake_nodes import LABEL, TOLERATION, FakeNodes
from tests.testbeds.waiting import until

SERVER = "app.kubernetes.io/component=server"
ORDERS = "worker.json"
_REFRESHED = 15.0
"""seconds after which a kubelet has measured again"""


@dataclass(frozen=True)
class Usage:
    """Usage of the server's pod, as its kubelet reports it."""

    at: float
    cpu: float
    """seconds so far"""
    memory: float
    """MiB that it works with"""


def usage(lab: Lab) -> Usage:
    """Now, which is some seconds ago."""
    pod = lab.cluster.json("get", "pods", "-n", lab.namespace, "-l", SERVER)["items"][0]
    path = f"/api/v1/nodes/{pod['spec']['nodeName']}/proxy/stats/summary"
    summary = json.loads(lab.cluster.kubectl("get", "--raw", path))
    pod_summary = next(item for item in summary["pods"] if item["podRef"]["name"] == pod["metadata"]["name"])
    container = next(item for item in pod_summary["containers"] if item["name"] == "server")
    cpu, memory = container["cpu"], container["memory"]
    return Usage(_seconds(cpu["time"]), cpu["usageCoreNanoSeconds"] / 1e9, memory["workingSetBytes"] / 2**20)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def row(lab: Lab, what: str, seconds: float) -> table.Row:
    """CPU and memory of the server over so many seconds."""
    time.sleep(_REFRESHED)
    before = usage(lab)
    time.sleep(seconds)
    after = usage(lab)
    return [what, 1000 * (after.cpu - before.cpu) / max(after.at - before.at, 1.0), after.memory]


@contextlib.contextmanager
def forwarded(lab: Lab) -> Iterator[str]:
    """The server's address on this host."""
    path = f"{lab.cluster.programs}:/usr/bin:/bin".lstrip(":")
    command = ["kubectl", "port-forward", "-n", lab.namespace, "service/orchestune", ":8470"]
    env = {"PATH": path, "KUBECONFIG": str(lab.cluster.kubeconfig)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        match = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
        assert match
        try:
            yield f"http://127.0.0.1:{match[1]}"
        finally:
            process.kill()


def orders(lab: Lab, handle: str, count: int) -> list[dict[str, Any]]:
    """Return the registered workers of an experiment, once there are so many."""
    selector = f"orchestune.dev/handle={handle}"

    def look() -> list[dict[str, Any]] | None:
        items = lab.cluster.json("get", "secrets", "-n", lab.namespace, "-l", selector)["items"]
        worker_orders = [
            json.loads(b64decode(item["data"][ORDERS])) for item in items if ORDERS in item.get("data", {})
        ]
        return worker_orders if len(worker_orders) >= count else None

    return until(f"{count} workers to be ordered", look, 600)


async def work(url: str, worker_orders: list[dict[str, Any]], seconds: float, measure: Any) -> tuple[Measurements, Any]:
    """Let simulated workers beat every 5 s and finish a trial every 30 s, and measure meanwhile."""
    measurements, pace = Measurements(), Pace(lambda draw: draw.uniform(20, 40))
    running = [
        asyncio.create_task(Worker(url, item["worker"], item["token"], pace, measurements).run())
        for item in worker_orders
    ]
    try:
        return measurements, await asyncio.to_thread(measure, seconds)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def started(lab: Lab, image: str, workers: int, run: str, **keys: Any) -> str:
    """An experiment with so many one-slot workers and more trials than they can finish."""
    folder = lab.experiment(
        image, name="many", run=run, budget=100_000, parallelism=workers, keep=[], engine="random",
        resources={"cpu": "10m", "memory": "48Mi"}, **keys,
    )  # fmt: skip
    return lab.home.run("run", "--detach", cwd=folder).stdout.strip()


def rows(lab: Lab, client: Client, image: str, simulated: int, real: int, seconds: float) -> list[table.Row]:
    """The server without workers, with simulated ones whose pods exist in the API alone, and with real pods."""
    table_rows = [row(lab, "no worker", seconds)]
    with FakeNodes(lab.cluster, ["many1"]) as _, forwarded(lab) as url:
        pod = {"spec": {"tolerations": [TOLERATION], "nodeSelector": {LABEL: "yes"}}}
        handle = started(lab, image, simulated, "true", pod=pod)
        worker_orders = orders(lab, handle, simulated)
        measure = lambda seconds: row(lab, f"{simulated} simulated workers, their Jobs and pods in the API", seconds)
        _, measured = asyncio.run(work(url, worker_orders, seconds, measure))
        table_rows.append(measured)
        lab.home.run("stop", handle)
        until("them to go", lambda: client.experiment(handle)["state"] == "stopped", 600)
    handle = started(lab, image, real, "sleep 30; echo score={x}")
    alive = lambda: sum(worker["state"] == "busy" for worker in client.experiment(handle)["workers"]) >= real
    until(f"{real} workers to work", alive, 1200)
    table_rows.append(row(lab, f"{real} real pods, a trial of 30 s each", seconds))
    lab.home.run("stop", handle)
    return table_rows
