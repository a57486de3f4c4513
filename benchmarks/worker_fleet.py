"""A fleet of simulated workers that call the server as real ones do, each by a connection of its own.

A running worker calls twice in a heartbeat interval, and up to five times a second when its trial prints; it follows
the intervals that the server's answers name. It asks for a proof before it sends its token, returns with the worker's
own backoff when the server is away, and repeats a result until it is acknowledged. What it does not do is run anything.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from orchestune.worker import PROTOCOL
from orchestune.worker.connection.api import Backoff
from orchestune.worker.connection.conversation import BATCH_SECONDS, RESPONSE_TIMEOUT_SECONDS
from orchestune.worker.connection.dialling import SILENT_SECONDS

USAGE_SECONDS = 10.0
"""seconds between two usage samples of a trial that runs for more than a minute"""
_LENGTH = b"content-length: "


class ServerAway(Exception):
    """The server cannot be reached, or asks for a retry."""


class Line(asyncio.Protocol):
    """One connection that is kept alive; as little work per request as Python allows."""

    def __init__(self) -> None:
        self._buffer = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        at = head.lower().find(_LENGTH)
        length = int(head[at + len(_LENGTH) :].partition(b"\r\n")[0]) if at >= 0 else 0
        if len(body) >= length and self._answer is not None and not self._answer.done():
            self._buffer = b""
            self._answer.set_result((int(head[9:12]), body))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ServerAway("the server closed the connection"))

    async def call(self, request: bytes, timeout: float) -> tuple[int, bytes]:
        """Return the status and body of the answer. Raises ServerAway."""
        if self._transport is None:
            raise ServerAway("the server closed the connection")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await asyncio.wait_for(self._answer, timeout)
        except TimeoutError as exc:
            self.close()
            raise ServerAway("no answer in time") from exc

    @property
    def is_open(self) -> bool:
        """True while requests can be sent."""
        return self._transport is not None

    def close(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None


@dataclass
class Calls:
    """Measurements of all workers of a fleet."""

    seconds: list[float] = field(default_factory=list)
    """of each answered call that the server does not hold back"""
    connects: list[float] = field(default_factory=list)
    """of each new connection, with the server's proof"""
    finished: int = 0
    superseded: int = 0
    """attempts that the server took away from a worker that still ran them"""
    last_answers: dict[str, float] = field(default_factory=dict)
    """monotonic time of each worker's last answer"""

    def back_since(self, moment: float) -> int:
        """Return how many workers had an answer since."""
        return sum(at > moment for at in self.last_answers.values())


@dataclass(frozen=True)
class Behaviour:
    """Duration of trials in seconds, and the seconds between two lines that a trial prints; None: it prints nothing."""

    trial_seconds: Callable[[random.Random], float]
    print_seconds: float | None = None


class _Trial:
    """What a worker reports of a trial: its lines, and a usage sample every ten seconds."""

    def __init__(self, lease: Mapping[str, Any], behaviour: Behaviour, draw: random.Random) -> None:
        self.own = {"attempt": lease["attempt"], "token": lease["token"]}
        self.prints = behaviour.print_seconds
        self._started, self._takes = time.monotonic(), behaviour.trial_seconds(draw)
        self._lines = self._samples = self._log = 0
        self._begun = False

    def remaining(self) -> float:
        """Return the seconds until its end."""
        return self._started + self._takes - time.monotonic()

    def beats(self) -> list[dict[str, Any]]:
        """Return the report of what is new; empty if nothing is."""
        age, logs, usage = time.monotonic() - self._started, [], []
        if self.prints is not None and (lines := int(age / self.prints) - self._lines):
            text = "epoch 1 loss=0.5\n" * lines
            logs = [[self._log, text, 0]]
            self._lines, self._log = self._lines + lines, self._log + len(text)
        if age >= (self._samples + 1) * USAGE_SECONDS:
            usage = [[self._samples, round(age, 1), 1.0, 1 << 30, None, None]]
            self._samples += 1
        if self._begun and not logs and not usage:
            return []
        self._begun = True
        return [{**self.own, "started": True, "age": round(age, 3), "logs": logs, "points": [], "usage": usage}]

    def result(self, loss: float) -> dict[str, Any]:
        """Return the report of its end."""
        last = f"loss={loss}\n"
        size = self._log + len(last)
        end = {"state": "succeeded", "exit_code": 0, "signal": None, "reason": None, "log_bytes": size, "tail": last}
        end |= {"wall": self._takes, "cpu": self._takes, "memory": 1 << 30, "points": [[0, "loss", loss, None, None]]}
        return {**self.own, **end, "logs": [[self._log, last, 0]]}


class FleetWorker:
    """A worker of one slot. `run` ends when the server no longer needs it, or when it is cancelled."""

    def __init__(
        self, address: tuple[str, int], worker: str, token: str, behaviour: Behaviour, calls: Calls, seed: int
    ) -> None:
        self._address, self._worker, self._token = address, worker, token
        self._behaviour, self._calls, self._random = behaviour, calls, random.Random(seed)
        self._netloc = f"{address[0]}:{address[1]}"
        self._line = Line()
        self._beat, self._interval, self._pause = 0, 2.0, 0.0
        self._boot = f"boot-{worker}"

    async def run(self) -> None:
        """Register, then work."""
        body = {"protocol": PROTOCOL, "version": "0", "boot": self._boot, "node": "simulated", "capabilities": []}
        hello = await self._retried("register", lambda: body, RESPONSE_TIMEOUT_SECONDS)
        if hello is None:
            return
        self._token = hello["token"]
        self._interval = float(hello["beat_seconds"])
        try:
            await self._work()
        finally:
            self._line.close()

    async def _work(self) -> None:
        lease: Mapping[str, Any] | None = None
        while True:
            while lease is None:
                answer = await self._call({"want": 1, "wait": max(self._interval, self._pause), "live": []}, held=True)
                if answer is None or answer.get("drain"):
                    return
                lease = next(iter(answer["leases"]), None)
            result = await self._run_trial(lease)
            if result is None:
                lease = None
                continue
            attempt = lease["attempt"]
            lease, waits = None, Backoff()
            while True:
                answer = await self._call({"finished": [result], "want": 1, "live": [attempt]}, held=False)
                if answer is None:
                    return
                lease = lease or next(iter(answer["leases"]), None)
                if any(ack["attempt"] == attempt for ack in answer["acks"]):
                    break
                await asyncio.sleep(waits.next())
            self._calls.finished += 1

    async def _run_trial(self, lease: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the result of a trial of some seconds; None if the server stopped it."""
        trial = _Trial(lease, self._behaviour, self._random)
        own_pace = self._interval / 2 if trial.prints is None else max(trial.prints, BATCH_SECONDS)
        while (remaining := trial.remaining()) > 0:
            pause = max(own_pace, self._pause)
            await asyncio.sleep(min(remaining, pause * self._random.uniform(0.95, 1.05)))
            parts = {"beats": trial.beats(), "want": 0, "live": [trial.own["attempt"]], "sending": 0}
            answer = await self._call(parts, held=False)
            lost = ("superseded", "unknown", "rejected")
            if answer is None or any(ack["result"] in lost for ack in answer["acks"]) or answer["orders"]:
                self._calls.superseded += 1
                return None
        return trial.result(self._random.random())

    async def _call(self, parts: dict[str, Any], *, held: bool) -> Any:
        """Return the answer of a `work` call; None if the worker is not needed any more. Repeats it until answered."""

        def body() -> dict[str, Any]:
            self._beat += 1
            return {"boot": self._boot, "beat": self._beat, **parts}

        answer = await self._retried("work", body, RESPONSE_TIMEOUT_SECONDS + parts.get("wait", 0), measured=not held)
        if answer is not None:
            self._pause = float(answer.get("pause") or 0.0)
        return answer

    async def _retried(self, route: str, body: Callable[[], Any], timeout: float, *, measured: bool = False) -> Any:
        backoff = Backoff()
        while True:
            try:
                if not self._line.is_open:
                    await self._connect()
                began = time.monotonic()
                status, answer = await self._line.call(self._request(route, body()), timeout)
                if status == 410:
                    return None
                if status >= 500 or status in (408, 425, 429):
                    raise ServerAway(answer.decode(errors="replace"))
                if status >= 300:
                    raise RuntimeError(f"{route}: {status} {answer[:500].decode(errors='replace')}")
                now = time.monotonic()
                self._calls.last_answers[self._worker] = now
                if measured:
                    self._calls.seconds.append(now - began)
                return json.loads(answer)
            except (ServerAway, OSError):
                await asyncio.sleep(backoff.next())

    async def _connect(self) -> None:
        began = time.monotonic()
        async with asyncio.timeout(SILENT_SECONDS):
            _, self._line = await asyncio.get_running_loop().create_connection(Line, *self._address)
        parts = self._token.split(".")
        query = (
            f"nonce={self._random.randbytes(16).hex()}&address={self._netloc}&worker={parts[1]}&experiment={parts[2]}"
        )
        request = f"GET /api/v1/proof?{query} HTTP/1.1\r\nHost: {self._netloc}\r\n\r\n"
        status, _ = await self._line.call(request.encode(), RESPONSE_TIMEOUT_SECONDS)
        if status != 200:
            raise ServerAway(f"the server answered a request for its proof with {status}")
        self._calls.connects.append(time.monotonic() - began)

    def _request(self, route: str, body: object) -> bytes:
        data = json.dumps(body).encode()
        head = f"POST /api/v1/workers/{self._worker}/{route} HTTP/1.1\r\nHost: {self._netloc}\r\n"
        head += f"Authorization: Bearer {self._token}\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data
