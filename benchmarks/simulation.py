"""Simulated workers: they speak the worker protocol to a real server and pretend to run what it leases to them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from orchestune.worker import PROTOCOL

Measure = Callable[[Mapping[str, Any]], float]


class Connection:
    """One kept-alive HTTP/1.1 connection; as little work per request as Python allows, for there are 1,000 of them."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = str(parts.hostname), int(parts.port or 80)
        self._head = f"HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {token}\r\n"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, method: str, path: str, body: object = None) -> Any:
        """The answer as JSON; RuntimeError for any status but 2xx."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self.host, self.port)
        reader, writer = self._streams
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} {self._head}Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        writer.write(head.encode() + data)
        await writer.drain()
        lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.lower().startswith(b"content-length:")), 0)
        answer = await reader.readexactly(length)
        if not lines[0].split(b" ")[1].startswith(b"2"):
            raise RuntimeError(f"{method} {path}: {lines[0].decode()} {answer[:500].decode(errors='replace')}")
        return json.loads(answer) if answer else None

    async def close(self) -> None:
        """Close it."""
        if self._streams is not None:
            self._streams[1].close()
            with contextlib.suppress(ConnectionError):
                await self._streams[1].wait_closed()


@dataclass
class Measurements:
    """Measurements of all simulated workers of a benchmark, in seconds."""

    work: list[float] = field(default_factory=list)
    """a call that beats, or hands in, and asks for nothing that the server could wait for"""
    suggestion: list[float] = field(default_factory=list)
    """from handing in a result to holding the next lease"""
    finished: int = 0


@dataclass(frozen=True)
class Pace:
    """The behaviour of a simulated worker; `seconds` is drawn for each attempt."""

    seconds: Callable[[random.Random], float]
    beat: float = 5.0
    measure: Measure = lambda parameters: float(sum(v for v in parameters.values() if isinstance(v, (int, float))))


class Worker:
    """One simulated worker of one slot. `run` ends when the server says drain, or when it is cancelled."""

    def __init__(self, url: str, worker: str, token: str, pace: Pace, measurements: Measurements) -> None:
        self._connection = Connection(url, token)
        self._path = f"/api/v1/workers/{worker}"
        self._boot = f"boot-{worker}"
        self._beat = 0
        self._random = random.Random(worker)
        self._pace, self._seen = pace, measurements

    async def run(self) -> None:
        """Register, then work."""
        try:
            await self._register()
            await self._work()
        finally:
            await self._connection.close()

    async def _register(self) -> None:
        body = {"protocol": PROTOCOL, "version": "0", "boot": self._boot, "node": "simulated", "capabilities": []}
        await self._connection.call("POST", f"{self._path}/register", body)

    async def _work(self) -> None:
        lease: Mapping[str, Any] | None = None
        done: list[dict[str, Any]] = []
        handed_in: float | None = None
        while True:
            if lease is not None:
                done = [await self._pretend(lease)]
                handed_in, lease = time.perf_counter(), None
            answer = await self._call(finished=done, want=1, wait=20, live=[])
            self._seen.finished += len(done)
            done = []
            if answer["leases"]:
                lease = answer["leases"][0]
                if handed_in is not None:
                    self._seen.suggestion.append(time.perf_counter() - handed_in)
            elif answer["drain"]:
                return

    async def _pretend(self, lease: Mapping[str, Any]) -> dict[str, Any]:
        """Beat until the attempt's time is over; the record of how it ended."""
        attempt = {"attempt": lease["attempt"], "token": lease["token"]}
        started, takes, first = time.monotonic(), self._pace.seconds(self._random), True
        while (remaining := started + takes - time.monotonic()) > 0:
            await asyncio.sleep(min(remaining, self._pace.beat * self._random.uniform(0.9, 1.1)))
            if remaining > self._pace.beat:
                beats = [{**attempt, "started": True, "age": time.monotonic() - started}] if first else []
                began = time.perf_counter()
                await self._call(beats=beats, want=0, live=[lease["attempt"]])
                self._seen.work.append(time.perf_counter() - began)
                first = False
        value = self._pace.measure(lease["parameters"])
        log = f"loss={value}\n"
        end = {"state": "succeeded", "exit_code": 0, "signal": None, "reason": None, "log_bytes": len(log), "tail": log}
        end |= {"wall": takes, "cpu": takes, "memory": 1 << 20, "points": [[0, "loss", value, None, None]]}
        return {**attempt, **end, "logs": [[0, log, 0]]}

    async def _call(self, **parts: Any) -> Any:
        self._beat += 1
        return await self._connection.call(
            "POST", f"{self._path}/work", {"boot": self._boot, "beat": self._beat, **parts}
        )
