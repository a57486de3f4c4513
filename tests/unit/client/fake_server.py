"""A small server of docs/reference/protocol.md that a test drives: it answers what the test has put into it."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from orchestune import __version__
from orchestune.client.address import ServerAccess
from orchestune.errors import OrchestuneError
from tests.testbeds.serving import Handler, Listening

TOKEN = "a-token-of-the-tests"
AT = "2026-01-31T12:00:00.000Z"


@dataclass(frozen=True)
class Request:
    """A request of a client."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def status(handle: str = "sgd-7f3a", **changes: Any) -> dict[str, Any]:
    """A Status as the protocol has it."""
    return {
        "schema": 1,
        "id": f"id-of-{handle}",
        "handle": handle,
        "name": "SGD classifier",
        "owner": "ada",
        "cluster": "local",
        "state": "running",
        "desired": "running",
        "reason": None,
        "budget": 4,
        "parallelism": 2,
        "folds": 1,
        "priority": 0,
        "labels": {},
        "revision": 1,
        "engine": "tpe",
        "metrics": [{"name": "accuracy", "goal": "maximize", "take": "last", "threshold": None}],
        "counts": {"queued": 0, "running": 0, "completed": 0, "failed": 0, "pruned": 0, "cancelled": 0},
        "best": [],
        "running": [],
        "workers": [],
        "eta_seconds": None,
        "origin": None,
        "created_at": AT,
        "started_at": AT,
        "finished_at": None,
        "url": f"http://127.0.0.1/experiments/{handle}",
        **changes,
    }


def trial(number: int, **changes: Any) -> dict[str, Any]:
    """A Trial as the protocol has it."""
    running = {"state": "running", "exit_code": None, "wall_seconds": None, "finished_at": None}
    return {
        "number": number,
        "state": "completed",
        "reason": None,
        "source": "tpe",
        "parameters": {"alpha": 0.001 * number, "penalty": "l1"},
        "metrics": {"accuracy": {"value": 0.9 + number / 1000, "stddev": None}},
        "seed": 7,
        "bundle": None,
        "revision": 1,
        "attempts": [attempt(**(running if changes.get("state") == "running" else {}))],
        "artifacts": [],
        "created_at": AT,
        "started_at": AT,
        "finished_at": "2026-01-31T12:00:02.000Z",
        **changes,
    }


def attempt(**changes: Any) -> dict[str, Any]:
    """An attempt as the protocol has it."""
    return {
        "id": "attempt-1",
        "fold": 0,
        "number": 1,
        "state": "succeeded",
        "worker": "w1",
        "node": "laptop",
        "gpus": [],
        "exit_code": 0,
        "signal": None,
        "reason": None,
        "started_at": AT,
        "finished_at": AT,
        "wall_seconds": 2.0,
        "cpu_seconds": 1.5,
        "peak_memory_bytes": 50 * 2**20,
        "resumed_from": None,
        "tail": "epoch 1\naccuracy=0.9\n",
        **changes,
    }


@dataclass
class World:
    """The state of the server. Change it under `changed`, and notify."""

    experiments: dict[str, dict[str, Any]] = field(default_factory=dict)
    trials: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    logs: list[dict[str, Any]] = field(default_factory=list)
    specification: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    """the importance of each parameter"""
    bundles: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    folders: dict[str, list[str]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """each takes one request: `drop` (no answer), `503`, `502` (of a proxy), `half` (half of an answer's body), `hold`
    (see `held`)"""
    held: threading.Event = field(default_factory=threading.Event)
    """requests on hold continue once this is set"""
    hold: str = ""
    """a regular expression: requests in whose path it is found wait for `held`"""
    late_events: bool = False
    """whether the stream of events waits for `held` too"""
    remembered: dict[str, tuple[int, Any]] = field(default_factory=dict)
    created: list[dict[str, Any]] = field(default_factory=list)
    refused: OrchestuneError | None = None
    """what it says of every experiment that it is to create"""
    purged: set[str] = field(default_factory=set)
    purging: int = 0
    """how often it still finds what it is to purge, before that is gone"""
    doomed: str = ""
    date: float | None = None
    """what time it is there; None: what it is here"""
    server: dict[str, Any] = field(default_factory=dict)
    """what it says of itself otherwise than usual"""
    changed: threading.Condition = field(default_factory=threading.Condition)

    def delete(self, handle: str, *, purge: bool) -> None:
        if purge and self.purging:
            self.doomed = handle
            return
        del self.experiments[handle]
        self.purged |= {handle} if purge else set()

    def is_purged(self, ref: str) -> bool:
        """Return True if it was purged."""
        if ref == self.doomed:
            self.purging -= 1
            if not self.purging:
                self.doomed = ""
                self.delete(ref, purge=True)
        return ref in self.purged


class FakeServer:
    """`with FakeServer() as server:`; `server.url` with `TOKEN` reaches it. `restart` moves it to another port."""

    def __init__(self) -> None:
        self.world = World()
        self._http: _Http | None = None
        self.token = TOKEN
        self.version = __version__

    def __enter__(self) -> FakeServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, port: int = 0) -> None:
        self._http = _Http(self, port)
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = self._http.url

    def stop(self) -> None:
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
            self._http.cut()
            self._http = None

    def restart(self) -> None:
        """Cut every connection and restart on another port."""
        self.stop()
        self.start()

    def resolve(self) -> ServerAccess:
        return ServerAccess(self.url, self.token)

    def environment(self) -> dict[str, str]:
        return {"ORCHESTUNE_SERVER": self.url, "ORCHESTUNE_TOKEN": self.token}

    def put(self, document: dict[str, Any]) -> None:
        """Add or replace an experiment."""
        with self.world.changed:
            self.world.experiments[document["handle"]] = document
            self.world.changed.notify_all()

    def update(self, handle: str, **changes: Any) -> None:
        """Change parts of an experiment; `counts` changes the counts that it names."""
        with self.world.changed:
            document = self.world.experiments[handle]
            document["counts"] |= changes.pop("counts", {})
            document |= changes
            self.world.changed.notify_all()

    def event(self, kind: str, **data: Any) -> None:
        """Something happened."""
        with self.world.changed:
            seq = len(self.world.events) + 1
            self.world.events.append({"seq": seq, "at": AT, "actor": "server", "kind": kind, "data": data})
            self.world.changed.notify_all()

    def log(
        self,
        text: str,
        *,
        trial: int = 1,
        fold: int | None = None,
        worker: str = "w1",
        gap: int = 0,
        last: bool = False,
    ) -> None:
        """A chunk of output."""
        with self.world.changed:
            chunk = {
                "cursor": len(self.world.logs) + 1,
                "trial": trial,
                "fold": fold,
                "attempt": f"attempt-of-{trial}" if fold is None else f"attempt-of-{trial}-{fold}",
                "number": 1,
                "worker": worker,
                "at": AT,
                "offset": 0,
                "text": text,
                "gap": gap,
                "last": last,
            }
            self.world.logs.append(chunk)
            self.world.changed.notify_all()

    def requests_to(self, method: str, pattern: str = "") -> list[Request]:
        """Return the requests so far by this method whose path matches."""
        return [r for r in list(self.world.requests) if r.method == method and re.search(pattern, r.path)]


class _Http(Listening):
    def __init__(self, fake: FakeServer, port: int) -> None:
        self.fake = fake
        self.open: list[Any] = []
        super().__init__(_Handler, port)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.append(request)
        super().process_request(request, client_address)

    def cut(self) -> None:
        for request in self.open:
            try:
                request.shutdown(2)
            except OSError:
                pass


class _Handler(Handler):
    server: _Http

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(self.world.date if timestamp is None else timestamp)

    @property
    def fake(self) -> FakeServer:
        return self.server.fake

    @property
    def world(self) -> World:
        return self.fake.world

    def do_GET(self) -> None:
        body = self.body()
        self.world.requests.append(Request(self.command, self.path, dict(self.headers.items()), body))
        fault = self.world.faults.pop(0) if self.world.faults else ""
        if fault == "drop":
            self.close_connection = True
            return
        if fault == "503":
            self._error(503, "store_unavailable", "the store is locked")
            return
        if fault == "502":
            self.send_error(502)
            return
        if fault == "hold" or (self.world.hold and re.search(self.world.hold, self.path)):
            self.world.held.wait(60)
        self.half = fault == "half"
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/readyz":
            self._json({"ready": True})
        elif self.headers.get("Authorization") != f"Bearer {self.fake.token}":
            self._error(401, "denied", "the token is unknown")
        else:
            self._route(unquote(parts.path.removeprefix("/api/v1")), query, body)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _route(self, path: str, query: dict[str, str], body: bytes) -> None:
        key = self.headers.get("Idempotency-Key", "")
        if key and key in self.world.remembered:
            self._json(self.world.remembered[key][1], self.world.remembered[key][0])
            return
        _, noun, *rest = path.split("/")
        if noun == "server":
            server = {"version": self.fake.version, "protocol": 1, "home": "hosted", "started_at": AT, "pid": 1}
            self._json({**server, **self.world.server})
        elif noun == "bundles":
            self._bundle(rest[0], body)
        elif noun == "archive":
            self._json({"experiment": "1", "handle": "sgd-7f3a", "imported": True, "rows": 1})
        elif noun == "experiments" and not rest:
            self._experiments(query, body, key)
        elif noun == "experiments":
            self._experiment(rest[0], rest[1:], query, body, key)
        else:
            self._error(404, "not_found", f"there is nothing at {path}")

    def _bundle(self, digest: str, body: bytes) -> None:
        if self.command == "HEAD":
            self._json({}, 200 if digest in self.world.bundles else 404)
        elif self.command == "GET":
            self._file(self.world.bundles[digest])
        elif hashlib.sha256(body).hexdigest() != digest:
            self._error(400, "bad_input", "the digest is another one")
        else:
            self.world.bundles[digest] = body
            self._json({"digest": digest, "size": len(body)})

    def _experiments(self, query: dict[str, str], body: bytes, key: str) -> None:
        if self.command == "POST" and self.world.refused:
            self._json(self.world.refused.to_json(), self.world.refused.status)
            return
        if self.command == "POST":
            self.world.created.append(json.loads(body))
            handle = list(self.world.experiments)[-1]
            self._json(self.world.experiments[handle], 201, key)
            return
        experiments = list(reversed(self.world.experiments.values()))
        if "folder" in query:
            experiments = [
                item for item in experiments if item["handle"] in self.world.folders.get(query["folder"], [])
            ]
        left_out = () if "details" in query else ("running", "workers")
        items = [{k: v for k, v in item.items() if k not in left_out} for item in experiments]
        start, limit = int(query.get("before", 0)), int(query.get("limit", 50))
        page = items[start : start + limit]
        self._json({"items": page, "next": str(start + limit) if start + limit < len(items) else None})

    def _experiment(self, ref: str, rest: list[str], query: dict[str, str], body: bytes, key: str) -> None:
        if self.world.is_purged(ref):
            self._error(410, "purged", f"{ref} was removed for good")
            return
        matching = [d for h, d in self.world.experiments.items() if h.startswith(ref) or d["id"] == ref]
        if len(matching) != 1:
            code, number = ("not_found", 404) if not matching else ("ambiguous", 409)
            self._error(number, code, f"there is no experiment '{ref}'", "did you mean sgd-7f3a?")
            return
        document = matching[0]
        what = rest[0] if rest else ""
        if self.command == "DELETE":
            self.world.delete(document["handle"], purge=bool(query.get("purge")))
            self._json(None, 204)
        elif self.command == "PATCH":
            changes = {"budget": document["budget"], **json.loads(body)}
            most = changes["budget"] * document["folds"]
            self.fake.update(
                document["handle"],
                **{**changes, "parallelism": min(changes.get("parallelism", document["parallelism"]), most)},
            )
            self._json(document)
        elif what in ("pause", "resume", "stop"):
            state = {"pause": "paused", "resume": "running", "stop": "stopped"}[what]
            if what == "stop" and any(worker.get("sending") for worker in document.get("workers") or ()):
                state = "stopping"
            if document["state"] != "completed":
                self.fake.update(document["handle"], state=state)
            self._json(document, 200, key)
        elif what == "events":
            self._events(document, query)
        elif what == "logs":
            self._logs(document, query)
        elif what in ("best", "columns", "importance", "specification"):
            weights = self.world.weights.items()
            parameters = [{"name": name, "importance": share} for name, share in weights]
            answers = {
                "best": document["best"],
                "columns": _columns(document),
                "importance": {
                    "metric": "accuracy", "trials": document["counts"]["completed"], "parameters": parameters
                },
                "specification": self.world.specification,
            }  # fmt: skip
            self._json(answers[what])
        elif what == "trials":
            self._trials(document, rest[1:], query, key)
        else:
            self._json(document)

    def _trials(self, document: dict[str, Any], rest: list[str], query: dict[str, str], key: str) -> None:
        trials = self.world.trials.get(document["handle"], [])
        if not rest:
            after, limit = int(query.get("after", 0)), int(query.get("limit", 100))
            matching = [t for t in trials if t["number"] > after and query.get("state", t["state"]) == t["state"]]
            if "sort" in query:
                ordered = _ordered(matching, query["sort"])
                self._json({"items": ordered[int(query["offset"]) :][:limit], "next": None, "total": len(ordered)})
                return
            page = matching[:limit]
            self._json({"items": page, "next": page[-1]["number"] if len(matching) > limit else None})
            return
        one = next((t for t in trials if t["number"] == int(rest[0])), None)
        if one is None:
            self._error(404, "not_found", f"there is no trial {rest[0]}")
        elif rest[1:] == ["rerun"]:
            self._json(list(self.world.experiments.values())[-1], 201, key)
        elif rest[1:] == ["stop"]:
            one["state"] = "cancelled" if one["state"] in ("queued", "running") else one["state"]
            self._json(one)
        elif rest[1:2] == ["artifacts"] and len(rest) > 2:
            self._file(self.world.files["/".join(rest[2:])])
        elif rest[1:2] == ["artifacts"]:
            self._json(one["artifacts"])
        else:
            self._json(one)

    def _file(self, content: bytes) -> None:
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        part = content[start:]
        self.wfile.write(part[: len(part) // 2] if self.half else part)
        self.close_connection = self.half

    def _events(self, document: dict[str, Any], query: dict[str, str]) -> None:
        after = int(self.headers.get("Last-Event-ID") or query.get("after") or 0)
        if "event-stream" not in self.headers.get("Accept", ""):
            items = self.world.events[after:]
            self._json({"items": items, "next": after + len(items)})
            return
        if self.world.late_events:
            self.world.held.wait(60)
        self._stream(document, after, lambda: self.world.events, lambda item: (item["seq"], item["kind"]))

    def _logs(self, document: dict[str, Any], query: dict[str, str]) -> None:
        trial_number = query.get("trial")

        def chunks() -> list[dict[str, Any]]:
            return [c for c in self.world.logs if trial_number is None or c["trial"] == int(trial_number)]

        after = int(self.headers.get("Last-Event-ID") or query.get("after") or 0)
        if "event-stream" in self.headers.get("Accept", ""):
            self._stream(document, after, chunks, lambda item: (item["cursor"], "log"))
            return
        items = [c for c in chunks() if c["cursor"] > after][: int(query.get("limit", 100))]
        self._json({"items": items, "next": items[-1]["cursor"] if items else after})

    def _stream(self, document: dict[str, Any], after: int, items: Any, name: Any) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        http = self.fake._http
        while self.fake._http is http:
            with self.world.changed:
                fresh = [item for item in items() if name(item)[0] > after]
                ended = document["state"] in ("completed", "failed", "stopped")
                if not fresh and not ended:
                    self.world.changed.wait(0.1)
            for item in fresh:
                after, kind = name(item)
                self.wfile.write(f"id: {after}\nevent: {kind}\ndata: {json.dumps(item)}\n\n".encode())
            if ended and not fresh:
                self.wfile.write(b": over\nevent: end\ndata: {}\n\n")
                return
            self.wfile.flush()

    def _json(self, document: Any, code: int = 200, key: str = "") -> None:
        if key:
            self.world.remembered[key] = (code, document)
        content = b"" if code == 204 else json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Orchestune-Version", self.fake.version)
        if self.command == "HEAD" and "error" in document:
            self.send_header("Orchestune-Error", content.decode())
        if code != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.half:
            self.close_connection = True
            content = content[: len(content) // 2]
        if self.command != "HEAD":
            self.wfile.write(content)

    half = False

    def _error(self, number: int, code: str, message: str, hint: str = "") -> None:
        self._json({"error": {"code": code, "message": message, "hint": hint}}, number)


def until(condition: Any, what: str, seconds: float = 60.0) -> None:
    """Wait for a condition; the deadline is for a machine under load."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)


def _ordered(trials: list[dict[str, Any]], sort: str) -> list[dict[str, Any]]:
    """Return the trials in the order of a column; those without a value come last."""
    kind, _, name = sort.removeprefix("-").partition(".")

    def value(trial: dict[str, Any]) -> Any:
        values = trial[kind] if name else trial
        metric = values.get(name or kind)
        return metric["value"] if isinstance(metric, dict) else metric

    having = [trial for trial in trials if value(trial) is not None]
    return [
        *sorted(having, key=value, reverse=sort.startswith("-")),
        *(trial for trial in trials if value(trial) is None),
    ]


def _columns(document: dict[str, Any]) -> dict[str, Any]:
    """Return the series of best values, as if the best trial had been the last one."""
    best_trials, done = document["best"][:1], document["counts"]["completed"]
    values = [next(iter(best["metrics"].values()))["value"] for best in best_trials]
    best = {"finished": [done] * len(best_trials), "number": [best["trial"] for best in best_trials], "value": values}
    return {"total": done, "shown": done, "best": best}
