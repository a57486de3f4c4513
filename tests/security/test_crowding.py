"""Attack: one caller asks for more than the server can do at once. Workers and other callers are served meanwhile."""

from __future__ import annotations

import hashlib
import io
import itertools
import resource
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from orchestune.errors import Throttled
from orchestune.server import caller_limits, connections, listeners
from orchestune.server.caller_address import throttle_key
from orchestune.server.routes import following
from orchestune.server.settings import Settings
from orchestune.server.thread_pools import (
    ANALYSIS_THREADS_PER_CALLER,
    COLD_THREADS,
    COLD_THREADS_PER_CALLER,
    LOG_THREADS_PER_CALLER,
    MAX_BODIES_PER_CALLER,
    MAX_REPORTS_READ_PER_ATTEMPT,
    STREAM_THREADS_PER_CALLER,
)
from orchestune.services.access import sign_in
from orchestune.services.core import Caller, Core
from orchestune.services.queries import (
    export_record,
    list_experiments,
    read_experiments,
    read_findings,
    read_logs,
)
from orchestune.services.signatures import report_signature
from tests.contract.world import CoreWorld, FakeWorker
from tests.security.target import OWNER, Target
from tests.testbeds.kubernetes.pki import Authority
from tests.unit.server.harness import TIMEOUT, Live, live, until


@pytest.fixture
def target(world: CoreWorld) -> Iterator[Target]:
    with live(world.core) as server:
        yield Target(world, server)


class Gate:
    """A service that returns once the block of the gate has ended."""

    def __init__(self, answer: Callable[[], object]) -> None:
        self._answer = answer
        self._lock = threading.Lock()
        self.running = self.most = 0
        self._released = threading.Event()

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._released.set()

    def __call__(self, *_: object) -> Any:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        assert self._released.wait(TIMEOUT)
        with self._lock:
            self.running -= 1
        return self._answer()


def upload(server: Live, worker: FakeWorker) -> int:
    """The status of a small upload."""
    path = f"/api/v1/workers/{worker.id}/uploads/{hashlib.sha256(b'x').hexdigest()}?offset=0"
    return server.ask("PUT", path, b"x", token=worker.token).status


def report_path(world: CoreWorld, attempt: str) -> str:
    return f"/api/v1/report/{attempt}/{report_signature(world.core, attempt)}"


def begin(server: Live, method: str, path: str, sent: bytes, token: str = "") -> socket.socket:
    """Send a request with a part of its body, of which more is announced."""
    client = socket.create_connection(("127.0.0.1", server.port), TIMEOUT)
    head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(sent) + 1}\r\n"
    head += f"Authorization: Bearer {token}\r\n" if token else ""
    client.sendall(head.encode() + b"\r\n" + sent)
    return client


def test_exports_of_one_caller_delay_neither_files_nor_exports_of_others(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 24 exports of a viewer, a worker's upload waited for 200 seconds."""
    world, server = target.world, target.server
    experiment = world.create()
    ((worker, _),) = world.lease(1)
    gate = Gate(lambda: export_record.OpenArchive(io.BytesIO(b"record"), 6, experiment, "test"))
    monkeypatch.setattr(export_record, "open_archive", gate)
    vera, eve = (target.token(name, "viewer") for name in ("vera", "eve"))
    path = f"/api/v1/experiments/{experiment}/archive"
    with ThreadPoolExecutor(11) as callers:
        with gate:
            replies = [callers.submit(server.ask, "GET", path, token=vera) for _ in range(10)]
            until(lambda: gate.running == 2, "two exports of one caller")
            replies.append(callers.submit(server.ask, "GET", path, token=eve))
            until(lambda: gate.running == 3, "an export of another caller")
            assert upload(server, worker) == 200
            assert server.ask("GET", f"/api/v1/bundles/{'0' * 64}", token=eve).status == 404
            assert gate.most == 3
        assert {(reply.result().status, reply.result().body) for reply in replies} == {(200, b"record")}


def test_export_ends_when_its_client_leaves(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = target.world.create()
    started, ended = threading.Event(), threading.Event()

    def endless(core: object, ref: str, check: Callable[[], None]) -> None:
        started.set()
        try:
            while True:
                check()
        except ClientDisconnect:
            ended.set()
            raise

    monkeypatch.setattr(export_record, "open_archive", endless)
    client = target.server.connect()
    client.request("GET", f"/api/v1/experiments/{experiment}/archive", headers={"Authorization": f"Bearer {OWNER}"})
    assert started.wait(TIMEOUT)
    client.close()
    assert ended.wait(TIMEOUT)


def test_export_can_be_ended_between_its_rows(world: CoreWorld) -> None:
    experiment = world.create(budget=3)
    world.run(experiment)
    checks = 0

    def check() -> None:
        nonlocal checks
        checks += 1
        if checks == 3:
            raise ClientDisconnect

    with pytest.raises(ClientDisconnect):
        export_record.open_archive(world.core, experiment, check)


def test_reads_of_callers_occupy_no_thread_of_workers_and_those_of_one_leave_some_to_others(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Filters and sorted tables for a viewer delayed registrations and reports by up to 40 seconds."""
    world, server = target.world, target.server
    experiment = world.create()
    ((worker, lease),) = world.lease(1)
    gate = Gate(list)
    monkeypatch.setattr(read_experiments, "status", gate)  # called by a coroutine
    monkeypatch.setattr(read_experiments, "best", gate)  # called by a function that runs in a thread
    vera, eve = (target.token(name, "viewer") for name in ("vera", "eve"))
    paths = [f"/api/v1/experiments/{experiment}{end}" for end in ("", "/best")] * 5
    with ThreadPoolExecutor(20) as callers:
        with gate:
            replies = [callers.submit(server.ask, "GET", path, token=vera) for path in paths]
            until(lambda: gate.running == COLD_THREADS_PER_CALLER, "as many reads as one caller may have")
            assert server.ask("GET", "/api/v1/experiments", token=eve).status == 200
            assert gate.most == COLD_THREADS_PER_CALLER
            replies += [callers.submit(server.ask, "GET", path, token=eve) for path in paths]
            until(lambda: gate.running == COLD_THREADS, "reads in all threads")
            call = {"protocol": 2, "version": "1", "boot": worker.boot, "node": "n", "capabilities": []}
            path = f"/api/v1/workers/{worker.id}"
            assert server.ask("POST", f"{path}/register", call, token=worker.token).status == 200
            assert server.ask("GET", f"{path}/jobs/1", token=worker.token).status == 200
            worker.call(beats=[worker.started(lease)])
            report = report_path(world, lease["attempt"])
            assert server.ask("POST", report, {"loss": 0.5}, token=None).status == 200
            assert server.ask("GET", report, token=None).status == 200
            assert gate.most == COLD_THREADS
        assert {reply.result().status for reply in replies} == {200}


def test_requests_without_a_token_leave_threads_to_others(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """They shared the unlimited turn of the server's owners: 500 of them delayed every read by five seconds."""
    server = target.server
    gate = Gate(lambda: Caller("guest", "guest", experiment="x", handle="x", shared_by="ed"))
    monkeypatch.setattr(sign_in, "guest_of", gate)
    with ThreadPoolExecutor(COLD_THREADS) as callers, gate:
        for _ in range(COLD_THREADS):
            callers.submit(server.ask, "GET", "/share?code=abcdefghij", token=None)
        until(lambda: gate.running == COLD_THREADS_PER_CALLER, "as many lookups as one address may have")
        assert server.ask("GET", "/api/v1/experiments", token=OWNER).status == 200
        assert gate.most == COLD_THREADS_PER_CALLER


def test_bundles_of_one_caller_are_received_a_few_at_a_time(target: Target) -> None:
    """200 that were never complete held 500 MiB, and could have filled the temporary disk."""
    server, editor = target.server, target.token("ed", "editor")
    path = f"/api/v1/bundles/{'0' * 64}"
    with ExitStack() as opened:
        for _ in range(MAX_BODIES_PER_CALLER + 2):
            opened.enter_context(begin(server, "PUT", path, b"x", editor))
        until(lambda: _waiting_of(server) == 2, "two bundles to wait")
        reply = server.ask("PUT", path, b"no bundle", token=target.token("ann", "editor"))
        assert reply.status == 400


def _waiting_of(server: Live) -> int:
    """Return how many requests wait for a turn to send their body."""
    semaphores = server.context.body_turns._callers._semaphores.values()
    return sum(users - MAX_BODIES_PER_CALLER for _semaphore, users in semaphores if users > MAX_BODIES_PER_CALLER)


def test_plot_is_not_delayed_by_another_viewer_whose_reads_are_queued(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A viewer with many slow reads was first to ask for a plot, and all others waited behind that queue for it."""
    server, experiment = target.server, target.world.create()
    gate = Gate(list)
    monkeypatch.setattr(read_experiments, "best", gate)
    vera, eve = (target.token(name, "viewer") for name in ("vera", "eve"))
    path = f"/api/v1/experiments/{experiment}"
    with ThreadPoolExecutor(COLD_THREADS_PER_CALLER + 2) as callers:
        with gate:
            for _ in range(COLD_THREADS_PER_CALLER):
                callers.submit(server.ask, "GET", f"{path}/best", token=vera)
            until(lambda: gate.running == COLD_THREADS_PER_CALLER, "slow reads in all turns of one caller")
            queued = callers.submit(server.ask, "GET", f"{path}/columns", token=vera)
            until(lambda: server.context.plots._reads, "a request for the plot that waits for its turn")
            plot = callers.submit(server.ask, "GET", f"{path}/columns", token=eve)
            assert plot.result(TIMEOUT).status == 200 and not queued.done()
        assert queued.result(TIMEOUT).body == plot.result().body


@pytest.mark.parametrize(
    ("module", "name", "path", "most"),
    [
        (read_findings, "importance", "importance", ANALYSIS_THREADS_PER_CALLER),
        (read_logs, "logs", "logs", LOG_THREADS_PER_CALLER),
    ],
)
def test_analyses_and_logs_of_one_caller_leave_threads_to_others(
    target: Target, monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, path: str, most: int
) -> None:
    """With 150 requests of another viewer in progress an analysis took 102 seconds instead of 0.6."""
    server, experiment = target.server, target.world.create()
    gate = Gate(lambda: {"items": [], "next": None})
    monkeypatch.setattr(module, name, gate)
    vera, eve = (target.token(name, "viewer") for name in ("vera", "eve"))
    path = f"/api/v1/experiments/{experiment}/{path}"
    with ThreadPoolExecutor(most + 4) as callers:
        with gate:
            replies = [callers.submit(server.ask, "GET", path, token=vera) for _ in range(most + 3)]
            until(lambda: gate.running == most, "as many reads as one caller may have")
            replies.append(callers.submit(server.ask, "GET", path, token=eve))
            until(lambda: gate.running == most + 1, "a read of another caller")
            assert gate.most == most + 1
        assert {reply.result().status for reply in replies} == {200}


STREAM = {"Accept": "text/event-stream"}


def test_streams_of_one_caller_leave_threads_to_others(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stream of a list with another search is read separately: with 200 of one viewer, those of others waited."""
    server, path = target.server, "/api/v1/experiments?only="
    gate = Gate(list)
    monkeypatch.setattr(list_experiments, "several", gate)
    vera, eve = (target.token(name, "viewer") for name in ("vera", "eve"))
    with ThreadPoolExecutor(STREAM_THREADS_PER_CALLER + 4) as callers:
        with gate:
            replies = [
                callers.submit(server.send, "GET", f"{path}{number}", token=vera, headers=STREAM)
                for number in range(STREAM_THREADS_PER_CALLER + 3)
            ]
            until(lambda: gate.running == STREAM_THREADS_PER_CALLER, "as many reads as one caller may have")
            replies.append(callers.submit(server.send, "GET", path, token=eve, headers=STREAM))
            until(lambda: gate.running == STREAM_THREADS_PER_CALLER + 1, "a read of another caller")
            assert gate.most == STREAM_THREADS_PER_CALLER + 1
        assert {reply.result().status for reply in replies} == {200}


def test_events_of_the_past_are_not_read_on_the_event_loop(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """200 streams from the first of 100,000 events occupied it."""
    world, server = target.world, target.server
    experiment = world.create(budget=2)
    world.run(experiment)
    real, threads = read_experiments.events, list[str]()

    def events(
        core: Core, ref: str, after: int, limit: int, kinds: Sequence[str], most: int
    ) -> read_experiments.EventBatch:
        threads.append(threading.current_thread().name)
        return real(core, ref, after, limit, kinds, most)

    monkeypatch.setattr(following, "_BATCH_EVENTS", 2)
    monkeypatch.setattr(read_experiments, "events", events)
    path = f"/api/v1/experiments/{experiment}/events"
    assert b"event: end" in server.ask("GET", path, token=OWNER, headers=STREAM).body
    *first, _ = threads  # the last read finds nothing more, which is brief
    assert len(first) > 4 and set(first) == {"AnyIO worker thread"}


def test_responses_that_are_not_received_take_limited_memory(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """600 pages of logs, whose client did not read them, occupied 2.5 GB."""
    server, path = target.server, f"/api/v1/experiments/{target.world.create()}/best"
    monkeypatch.setattr(read_experiments, "best", lambda core, ref: ["x" * 2**25])
    vera, eve = (target.token(name, "viewer") for name in ("vera", "eve"))
    monkeypatch.setattr(caller_limits, "MAX_CALLER_BODY_BYTES", 2**25 + 2**20)
    with closing(socket.socket()) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {vera}\r\n\r\n".encode())
        assert client.recv(12) == b"HTTP/1.1 200"
        refused = server.ask("GET", path, token=vera)
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        assert server.ask("GET", "/api/v1/experiments", token=vera).status == 200
        monkeypatch.setattr(caller_limits, "MAX_BODY_BYTES", 0)
        assert server.ask("GET", path, token=eve).status == 200, "a caller may always have one"
    until(lambda: server.ask("GET", path, token=vera).status == 200, "the response of a client that left is forgotten")


def test_one_token_of_a_role_does_not_use_up_the_memory_for_responses_of_the_role() -> None:
    unread, part = caller_limits.UnreadMemory(), caller_limits.MAX_TOKEN_BODY_BYTES // 2
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(unread.hold("every viewer", "eve", part))
        with pytest.raises(Throttled):
            held.enter_context(unread.hold("every viewer", "eve", part))
        with unread.hold("every viewer", "vera", 2 * part):
            pass
    with unread.hold("every viewer", "eve", 2**30), unread.hold("viewer vera", "", 2**30):
        pass


def test_guests_of_all_links_of_one_editor_count_together(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each link was a caller of its own, and an editor can create hundreds."""
    server, experiment = target.server, target.world.create()
    eddie, paths = target.token("eddie", "editor"), f"/api/v1/experiments/{experiment}"
    cookies = []
    for _ in range(COLD_THREADS_PER_CALLER + 1):
        link = server.ask("POST", f"{paths}/shares", {}, token=eddie).json()["path"]
        reply = server.ask("GET", link, token=None)
        cookies.append({"Cookie": reply.headers["set-cookie"].partition(";")[0]})
    gate = Gate(list)
    monkeypatch.setattr(read_experiments, "best", gate)
    with ThreadPoolExecutor(len(cookies)) as callers:
        with gate:
            replies = [
                callers.submit(server.ask, "GET", f"{paths}/best", token=None, headers=cookie) for cookie in cookies
            ]
            until(lambda: gate.running == COLD_THREADS_PER_CALLER, "as many reads as one caller may have")
            assert server.ask("GET", "/api/v1/experiments", token=eddie).status == 200
            assert gate.most == COLD_THREADS_PER_CALLER
        assert {reply.result().status for reply in replies} == {200}


def test_body_of_a_read_is_refused_before_it_takes_memory(target: Target) -> None:
    """Slow bodies of GET requests filled the memory for the bodies of all callers."""
    path = f"/api/v1/experiments/{target.world.create()}/best"
    with closing(begin(target.server, "GET", path, b"a" * 100_000, target.token("vera", "viewer"))) as client:
        assert client.recv(12) == b"HTTP/1.1 413", "the rest of the body is not waited for"


def test_attempt_has_few_reports_in_memory(target: Target) -> None:
    """300 reports that were never complete occupied 270 MB."""
    world, server = target.world, target.server
    world.create(parallelism=2)
    (worker, lease), (other, second) = world.lease(2)
    worker.call(beats=[worker.started(lease)])
    other.call(beats=[other.started(second)])
    path = report_path(world, lease["attempt"])
    with ExitStack() as opened, ThreadPoolExecutor(1) as callers:
        unfinished = [
            opened.enter_context(begin(server, "POST", path, b"{")) for _ in range(MAX_REPORTS_READ_PER_ATTEMPT)
        ]
        until(lambda: server.context.reports.count(lease["attempt"]) == len(unfinished), "unfinished reports")
        waiting = callers.submit(server.ask, "POST", path, {"loss": 0.5}, token=None)
        until(lambda: server.context.reports.count(lease["attempt"]) == len(unfinished) + 1, "one more report")
        reply = server.ask("POST", report_path(world, second["attempt"]), {"loss": 0.5}, token=None)
        assert reply.status == 200 and not waiting.done()
        unfinished[0].close()
        assert waiting.result(TIMEOUT).status == 200


@pytest.mark.parametrize(("name", "status"), [("MAX_CALLER_BODY_BYTES", 429), ("MAX_BODY_BYTES", 503)])
def test_bodies_in_memory_are_limited_and_heartbeats_accepted(
    target: Target, monkeypatch: pytest.MonkeyPatch, name: str, status: int
) -> None:
    """Five workers of one experiment held the memory for the bodies of all."""
    world, server = target.world, target.server
    world.create(parallelism=2)
    (worker, _), (colleague, _) = world.lease(2)
    experiment = world.create(name="other", parallelism=1)
    world.tick()
    order = next(each for each in world.backend.orders.values() if each.experiment == experiment)
    other = FakeWorker(world.core, order.worker)
    monkeypatch.setattr(caller_limits, name, 2**20)
    route = f"/uploads/{'0' * 64}?offset=0"
    path, part = f"/api/v1/workers/{worker.id}", b"a" * 700_000
    with ExitStack() as opened:
        clients = [opened.enter_context(begin(server, "PUT", f"/api/v1/workers/{each.id}{route}", part, each.token))
                   for each in (worker, colleague)]  # fmt: skip
        refused, _, _ = select.select(clients, [], [], TIMEOUT)
        assert [client.recv(12) for client in refused] == [b"HTTP/1.1 %d" % status]
        beat = {"boot": worker.boot, "beat": 9, "want": 0, "live": []}
        assert server.ask("POST", f"{path}/work", beat, token=worker.token).status == 200
        reply = server.ask("PUT", f"/api/v1/workers/{other.id}{route}", part, token=other.token)
        assert reply.status == (200 if status == 429 else 503)
    until(lambda: server.ask("PUT", path + route, part, token=worker.token).status == 200, "memory is free again")


def test_idle_connections_of_strangers_do_not_use_up_the_descriptors(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, server = target.world, target.server
    world.create()
    ((worker, _),) = world.lease(1)
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (80, 80))
    monkeypatch.setattr(connections, "REQUEST_TIMEOUT_SECONDS", 1000.0)  # silent ones are closed after that anyway
    monkeypatch.setattr(connections, "throttle_key", str)  # loopback addresses have one key
    beat = {"boot": worker.boot, "beat": 9, "want": 0, "live": []}
    path = f"/api/v1/workers/{worker.id}/work"
    connection = server.connect()
    server.send("POST", path, beat, token=worker.token, connection=connection).read()
    with ExitStack() as opened:

        def connect(source: str) -> socket.socket:
            address = ("127.0.0.1", server.port)
            return opened.enter_context(socket.create_connection(address, TIMEOUT, source_address=(source, 0)))

        neighbours = [connect("127.0.0.2") for _ in range(5)]
        strangers = [connect("127.0.0.1") for _ in range(400)]
        until(lambda: len(select.select(strangers, [], [], 0)[0]) >= 355, "connections are closed")
        assert select.select(neighbours, [], [], 0)[0] == []
        assert server.send("POST", path, beat, token=worker.token, connection=connection).status == 200


@pytest.fixture
def encrypted(world: CoreWorld, tmp_path: Path) -> Iterator[Encrypted]:
    authority = Authority.create(tmp_path / "authority")
    authority.issue("server", "server", hosts=["127.0.0.1"])
    files = [authority.folder / name for name in ("server.crt", "server.key", "ca.crt")]
    with live(world.core, settings=Settings(tls_cert=files[0], tls_key=files[1])) as server:
        yield Encrypted(server.port, ssl.create_default_context(cafile=files[2]))


@dataclass(frozen=True)
class Encrypted:
    """A server with TLS, and what its clients trust."""

    port: int
    trust: ssl.SSLContext

    def connect(self, source: str) -> socket.socket:
        """Open a connection without a handshake."""
        return socket.create_connection(("127.0.0.1", self.port), TIMEOUT, source_address=(source, 0))

    def health(self) -> int:
        """The status of a whole request."""
        with closing(HTTPSConnection("127.0.0.1", self.port, timeout=TIMEOUT, context=self.trust)) as connection:
            connection.request("GET", "/healthz")
            return connection.getresponse().status


def test_handshakes_of_strangers_do_not_use_up_the_descriptors(
    encrypted: Encrypted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections without a handshake were counted by nothing: 1,000 of them ended the answers of a server."""
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (80, 80))
    monkeypatch.setattr(connections, "throttle_key", str)  # loopback addresses have one key
    monkeypatch.setattr(listeners, "REQUEST_TIMEOUT_SECONDS", 1000.0)  # silent ones are closed after that anyway
    with ExitStack() as opened:
        neighbours = [opened.enter_context(encrypted.connect("127.0.0.2")) for _ in range(5)]
        strangers = [opened.enter_context(encrypted.connect("127.0.0.1")) for _ in range(400)]
        until(lambda: len(select.select(strangers, [], [], 0)[0]) >= 355, "connections are closed")
        assert select.select(neighbours, [], [], 0)[0] == []
        assert encrypted.health() == 200


def test_handshake_has_a_deadline_and_what_is_no_handshake_ends_at_once(
    encrypted: Encrypted, monkeypatch: pytest.MonkeyPatch
) -> None:
    with encrypted.connect("127.0.0.1") as wrong:
        wrong.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        with suppress(ConnectionResetError):
            while wrong.recv(4096):  # an alert of TLS, then the end
                pass
    with monkeypatch.context() as patched:
        patched.setattr(listeners, "REQUEST_TIMEOUT_SECONDS", 0.1)
        with encrypted.connect("127.0.0.1") as silent:
            assert silent.recv(1) == b""
    assert encrypted.health() == 200


def test_callers_with_an_address_for_each_connection_are_closed_in_batches(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each new connection led to a scan of all others that closed one of them: 18 ms with 4,096 connections."""
    scans, real = [], connections.BoundedConnection._make_room
    addresses = (str(number) for number in itertools.count())

    def make_room(connection: connections.BoundedConnection) -> None:
        scans.append(connection)
        real(connection)

    monkeypatch.setattr(resource, "getrlimit", lambda kind: (400, 400))
    monkeypatch.setattr(connections.BoundedConnection, "_make_room", make_room)
    monkeypatch.setattr(connections, "throttle_key", lambda address: next(addresses))
    with ExitStack() as opened:
        strangers = [
            opened.enter_context(socket.create_connection(("127.0.0.1", target.server.port), TIMEOUT))
            for _ in range(400)
        ]
        until(lambda: len(select.select(strangers, [], [], 0)[0]) >= 200, "connections are closed")
    assert 0 < len(scans) <= 200 // 20


def test_all_loopback_addresses_are_one_caller() -> None:
    addresses = ("127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.2")
    assert {throttle_key(address) for address in addresses} == {"127.0.0.1"}
