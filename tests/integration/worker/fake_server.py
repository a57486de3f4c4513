"""A small server that speaks the worker's side of docs/reference/protocol.md and injects faults on request."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.testbeds.proving import prove
from tests.testbeds.serving import Handler, Listening

Document = dict[str, Any]
Fault = Callable[[str, Document], str]
"""route and body → "" (serve), "drop" (serve, hang up without an answer), "refuse" (hang up), "repeat" (serve twice),
"delay" (answer late), "silent" (take it and say nothing), "last" (hang up with the answer), "503", "401", "410"."""


@dataclass
class AttemptReports:
    """The reports of one attempt that the server received."""

    lease: Document
    log: bytearray = field(default_factory=bytearray)
    end: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)
    points: dict[tuple[str, int], list[Any]] = field(default_factory=dict)
    usage: list[list[Any]] = field(default_factory=list)
    started: bool = False
    finished: Document | None = None
    deliveries: int = 0

    def values(self, name: str) -> list[Any]:
        """Values of one metric in the order of their sequence."""
        return [point[2] for (metric, _), point in sorted(self.points.items()) if metric == name]


class FakeServer:
    """Leases what is in `pending`; everything that it receives is in `attempts`, by attempt id."""

    token = "secret-token"

    def __init__(self, job: Mapping[str, Any], *, slots: int = 4, beat: float = 0.5) -> None:
        self.job: Document = {
            "revision": 1, "run": "true", "metrics": ["loss"], "parameters": [], "env": {}, "secrets": {},
            "timeout": None, "grace": 2, "keep": {"patterns": [], "limit": 2**30}, "checkpoint_every": None,
            "root": None, "links": [], "cap_bytes": 64 * 2**20, **job,
        }  # fmt: skip
        self.slots, self.beat_seconds = slots, beat
        self.change = threading.Condition()
        self.silence = threading.Event()
        """calls wait without an answer until this is set"""
        self.pending: deque[Document] = deque()
        self.attempts: dict[str, AttemptReports] = {}
        self.orders: dict[str, Document] = {}
        self.superseded: set[str] = set()
        self.blobs: dict[str, bytes] = {}
        self.uploads: dict[str, bytearray] = {}
        self.artifacts: dict[str, list[Document]] = {}
        self.checkpoints: list[Document] = []
        self.registered: list[Document] = []
        self.beats: list[tuple[str, int]] = []
        self.drain = False
        self.over = False
        self.fault: Fault = lambda route, body: ""
        self._granted: dict[str, int] = {}
        self._count = 0
        self._httpd: _Httpd | None = None
        self.start()

    @property
    def url(self) -> str:
        """The current address."""
        assert self._httpd is not None
        return self._httpd.url

    def start(self) -> None:
        """Listen on a free port."""
        self._httpd = _Httpd(self)
        threading.Thread(target=self._httpd.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Be away: close the port and every connection."""
        httpd, self._httpd = self._httpd, None
        self.silence.set()
        if httpd is not None:
            httpd.away = True
            httpd.shutdown()
            httpd.server_close()
            httpd.hang_up()
            with self.change:
                self.change.notify_all()

    def queue(self, parameters: Mapping[str, Any] | None = None, **more: Any) -> str:
        """Offer one more trial and return the attempt's id."""
        with self.change:
            self._count += 1
            lease = {
                "attempt": f"attempt-{self._count:05d}", "token": 1, "trial": self._count, "fold": 0, "folds": 1,
                "parameters": dict(parameters or {}), "seed": 7, "revision": self.job["revision"], "bundle": None,
                "gpus": [], "report": f"{self.url}/api/v1/report/x/y", "checkpoint": None, "number": 1, **more,
            }  # fmt: skip
            self.pending.append(lease)
            self.attempts[lease["attempt"]] = AttemptReports(lease)
            self.change.notify_all()
            return str(lease["attempt"])

    def wait(self, condition: Callable[[], Any], seconds: float = 120.0, what: str = "") -> Any:
        """Wait until something that was heard makes `condition` true, and return it."""
        deadline = time.monotonic() + seconds
        with self.change:
            while not (value := condition()):
                remaining = deadline - time.monotonic()
                assert remaining > 0, f"timed out waiting for: {what or condition}"
                self.change.wait(min(remaining, 0.5))
            return value

    def finished(self, attempt: str, seconds: float = 120.0) -> AttemptReports:
        """Wait for the end of an attempt and all of its log."""

        def complete() -> AttemptReports | None:
            reports = self.attempts[attempt]
            return reports if reports.finished and reports.end == reports.finished["log_bytes"] else None

        finished_reports: AttemptReports = self.wait(complete, seconds, f"the end of {attempt}")
        return finished_reports

    def stop_attempt(self, attempt: str, state: str = "cancelled", **more: Any) -> None:
        """Order an attempt to end."""
        with self.change:
            code = {"preempted": "paused"}.get(state, state)
            reason = {"code": code, "message": f"it was {state}"}
            self.orders[attempt] = {"attempt": attempt, "order": "stop", "state": state, "reason": reason, **more}
            self.change.notify_all()

    def give(self, data: bytes) -> str:
        """Have a bundle or a blob, by its digest."""
        digest = hashlib.sha256(data).hexdigest()
        self.blobs[digest] = data
        return digest

    def work(self, body: Document) -> Document:
        """The `work` route."""
        with self.change:
            deadline = time.monotonic() + float(body.get("wait") or 0)
            acks = [self._beat(item) for item in body.get("beats") or ()]
            acks += [self._finish(item) for item in body.get("finished") or ()]
            self.beats.append((body["boot"], body["beat"]))
            self._find_lost(body)
            self.change.notify_all()
            while True:
                if self.over:
                    return {"gone": True}
                orders = [order for attempt, order in self.orders.items() if attempt in body.get("live", ())]
                leases = self._lease(body)
                remaining = deadline - time.monotonic()
                if acks or orders or leases or self.drain or remaining <= 0 or self._httpd is None:
                    break
                self.change.wait(remaining)
        return {"acks": acks, "orders": orders, "leases": leases, "slots": self.slots, "drain": self.drain}

    def _lease(self, body: Document) -> list[Document]:
        leases: list[Document] = []
        while self.pending and len(leases) < body["want"] and not self.drain:
            lease = self.pending.popleft()
            self._granted[lease["attempt"]] = body["beat"]
            leases.append(lease)
        return leases

    def _find_lost(self, body: Document) -> None:
        for attempt, beat in list(self._granted.items()):
            if self.attempts[attempt].finished or attempt in body.get("live", (attempt,)):
                if "live" in body:
                    del self._granted[attempt]
            elif beat <= body["beat"] - 2:
                del self._granted[attempt]
                self.pending.append(self.attempts[attempt].lease)

    def _beat(self, item: Document) -> Document:
        reports = self.attempts.get(item["attempt"])
        if reports is None or reports.lease["token"] != item["token"]:
            return {"attempt": item["attempt"], "result": "unknown"}
        self._take(reports, item)
        reports.started = reports.started or bool(item.get("started"))
        is_superseded = item["attempt"] in self.superseded
        return {"attempt": item["attempt"], "result": "superseded" if is_superseded else "ok"}

    def _finish(self, item: Document) -> Document:
        ack = self._beat(item)
        if ack["result"] == "ok":
            reports = self.attempts[item["attempt"]]
            reports.finished = reports.finished or item
            reports.deliveries += 1
            self.orders.pop(item["attempt"], None)
        return ack

    @staticmethod
    def _take(reports: AttemptReports, item: Document) -> None:
        for offset, text, gap in item.get("logs") or ():
            data = text.encode("latin-1")
            if gap and offset >= reports.end:
                reports.gaps.append((offset, gap))
                assert offset - gap == reports.end
                reports.end = offset
            assert offset <= reports.end, f"a hole before {offset}, the log ends at {reports.end}"
            reports.log += data[reports.end - offset :]
            reports.end = max(reports.end, offset + len(data))
        for point in item.get("points") or ():
            reports.points.setdefault((point[1], point[0]), point)
        reports.usage += item.get("usage") or ()


class _Httpd(Listening):
    request_queue_size = 64

    def __init__(self, fake: FakeServer) -> None:
        self.fake = fake
        self.away = False
        self.sockets: set[Any] = set()
        super().__init__(_Handler)

    def hang_up(self) -> None:
        for sock in list(self.sockets):
            try:
                sock.shutdown(2)
            except OSError:
                pass


class _Handler(Handler):
    disable_nagle_algorithm = True
    server: _Httpd

    def setup(self) -> None:
        super().setup()
        self.server.sockets.add(self.connection)

    def finish(self) -> None:
        self.server.sockets.discard(self.connection)
        super().finish()

    def do_GET(self) -> None:
        if prove(self, self.server.fake.token):
            return
        digest = self.path.rsplit("/", 1)[1]
        if "/jobs/" in self.path:
            self._answer(200, {**self.server.fake.job, "revision": int(digest)})
        elif digest in self.server.fake.blobs:
            self._answer(200, self.server.fake.blobs[digest])
        else:
            self._answer(404, {"error": {"code": "not_found", "message": f"there is no {digest}", "hint": ""}})

    def do_HEAD(self) -> None:
        fake, digest = self.server.fake, self.path.rsplit("/", 1)[1]
        complete = {"X-Complete": "1"} if digest in fake.blobs else {}
        self.send(200, headers={"X-Size": str(len(fake.uploads.get(digest, b""))), **complete})

    def do_PUT(self) -> None:
        fake = self.server.fake
        path, _, query = self.path.partition("?")
        data = self.body()
        digest, offset = path.rsplit("/", 1)[1], int(query.removeprefix("offset="))
        upload = fake.uploads.setdefault(digest, bytearray())

        def append() -> Document:
            if offset <= len(upload):
                upload.extend(data[len(upload) - offset :])
            return {"size": len(upload)}

        self._deal("uploads", {}, append)

    def do_POST(self) -> None:
        body = json.loads(self.body())
        route = self.path.rsplit("/", 1)[1]
        serve = {"register": self._register, "work": self.server.fake.work, "artifacts": self._artifacts}
        serve["checkpoint"] = self._checkpoint
        self._deal(route, body, lambda: serve[route](body))

    def _deal(self, route: str, body: Document, serve: Callable[[], Any]) -> None:
        fake = self.server.fake
        if self.headers["Authorization"] != f"Bearer {fake.token}":
            self._answer(401, {"error": {"code": "denied", "message": "who are you?", "hint": ""}})
            return
        fault = fake.fault(route, body)
        if fault == "silent":
            fake.silence.wait()
        if fault == "refuse" or self.server.away:
            self.close_connection = True
            return
        if fault.isdigit():
            self._answer(int(fault), {"error": {"code": "x", "message": f"told to say {fault}", "hint": ""}})
            return
        answer = serve()
        if fault == "repeat":
            answer = serve()
        if fault == "delay":
            time.sleep(0.3)
        if fault == "drop" or self.server.away:
            self.close_connection = True
            return
        if answer == {"gone": True}:
            self._answer(410, {"error": {"code": "gone", "message": "the group is over", "hint": ""}})
            return
        self._answer(200, answer, last=fault == "last")

    def _register(self, body: Document) -> Document:
        fake = self.server.fake
        with fake.change:
            fake.registered.append(body)
            fake.change.notify_all()
        return {
            "protocol": 2, "experiment": "exp-id", "handle": "sgd-7f3a", "name": "w1", "lease_seconds": 15,
            "beat_seconds": fake.beat_seconds, "slots": fake.slots, "job": fake.job,
        }  # fmt: skip

    def _commit(self, digest: str) -> None:
        fake = self.server.fake
        if digest not in fake.blobs:
            data = bytes(fake.uploads.pop(digest, b""))
            assert hashlib.sha256(data).hexdigest() == digest
            fake.blobs[digest] = data

    def _artifacts(self, body: Document) -> Document:
        fake = self.server.fake
        with fake.change:
            for item in body["files"]:
                self._commit(item["digest"])
            artifacts = {item["path"]: item for item in [*fake.artifacts.get(body["attempt"], ()), *body["files"]]}
            fake.artifacts[body["attempt"]] = list(artifacts.values())
            fake.change.notify_all()
        return {"kept": [item["path"] for item in body["files"]]}

    def _checkpoint(self, body: Document) -> Document:
        fake = self.server.fake
        with fake.change:
            self._commit(body["digest"])
            fake.checkpoints.append(body)
            fake.change.notify_all()
        return {"accepted": True}

    def _answer(self, status: int, content: Any, *, last: bool = False) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send(status, data, {"Connection": "close"} if last else {})
