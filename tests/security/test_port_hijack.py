"""After a crash of the server another user binds its port: no token, no session gets there, and no work comes back."""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit

import pytest

from orchestune.client.local.endpoint import EmbeddedEndpoint
from orchestune.errors import UsageError
from orchestune.server import embedded
from orchestune.system import local_socket
from orchestune.worker.connection.dialling import PROOF, ServerAddress, ServerNotProven, dial, proof
from tests.e2e.scene import attempts, eventually, kill_server, launch, reached, write
from tests.integration.worker.conftest import RunningWorker
from tests.integration.worker.fake_server import FakeServer
from tests.testbeds.home import Home
from tests.testbeds.serving import Handler, Listening, serving
from tests.testbeds.waiting import until
from tests.unit.server.harness import live

NOBODY = 65534
as_another_user = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")


class Hijacker(Listening):
    """Takes a port, keeps every request, and answers what a server would: a lease that runs the attacker's command."""

    def __init__(self, command: str = "true", port: int = 0) -> None:
        self.requests: list[tuple[str, str]] = []
        """path and Authorization of each"""
        self.bodies: list[bytes] = []
        self.command = command
        super().__init__(_Hijacked, port)

    @property
    def paths(self) -> set[str]:
        """The routes that were called."""
        return {urlsplit(path).path for path, _ in list(self.requests)}

    def answer(self, path: str) -> Any:
        """The answer that a worker would follow if it asked."""
        if path == PROOF:
            return {"proof": "00" * 32}
        job = {
            "revision": 1, "run": self.command, "metrics": ["loss"], "parameters": [], "env": {}, "secrets": {},
            "timeout": None, "grace": 1, "keep": {"patterns": [], "limit": 1}, "checkpoint_every": None,
            "root": None, "links": [], "cap_bytes": 1024,
        }  # fmt: skip
        if path.endswith("/register"):
            return {"name": "w1", "handle": "sgd-0000", "beat_seconds": 0.2, "slots": 1, "job": job}
        lease = {
            "attempt": "a1", "token": 1, "trial": 1, "fold": 0, "folds": 1, "parameters": {}, "seed": 1, "revision": 1,
            "bundle": None, "gpus": [], "report": "", "checkpoint": None, "number": 1,
        }  # fmt: skip
        return {"acks": [], "orders": [], "leases": [lease], "slots": 1}


class _Hijacked(Handler):
    server: Hijacker

    def _take(self) -> None:
        self.server.requests.append((self.path, self.headers.get("Authorization", "")))
        self.server.bodies.append(self.body())
        self.send_json(200, self.server.answer(urlsplit(self.path).path))

    do_GET = do_POST = do_PUT = do_HEAD = _take


@pytest.fixture
def home() -> Iterator[Home]:
    with Home() as home:
        yield home


def as_nobody(act: Callable[[], bytes]) -> bytes:
    """Return the result of `act` in a process of another user."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            os.write(writing, act())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text


def ask(url: str, path: str, **headers: str) -> bytes:
    """The status of an answer, as text."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    connection.request("GET", path, headers=headers)
    status = connection.getresponse().status
    connection.close()
    return str(status).encode()


def hijacked(port: int, command: str = "true") -> Hijacker | None:
    """A hijacker on the port; None as long as threads of the killed server still hold it."""
    try:
        return Hijacker(command, port)
    except OSError:
        return None


def published(home: Home) -> EmbeddedEndpoint:
    endpoint = EmbeddedEndpoint.read(home.folder / "endpoint.json")
    assert endpoint is not None
    return endpoint


def test_whoever_binds_the_port_of_a_crashed_server_hears_nothing_and_workers_find_the_next_one(
    home: Home, tmp_path: Path
) -> None:
    command = "while [ ! -e $ORCHESTUNE_ORIGINAL_DIR/go ]; do sleep 0.05; done; echo loss={x}"
    project = write(tmp_path / "hijacked", command, budget=1, parallelism=1)
    handle = launch(home, project)
    eventually(lambda: home.json("status", handle)["counts"]["running"], "a trial runs", home)
    port = urlsplit(published(home).url).port
    assert port is not None
    [log] = home.folder.glob("workers/*/worker.log")
    kill_server(home)
    with serving(until("the port is free", lambda: hijacked(port))) as hijacker:
        eventually(lambda: "retrying" in log.read_text(), "the worker looks for its server", home)
        (project / "go").touch()
        status = reached(home, handle, "completed")  # the command starts another server
        assert urlsplit(published(home).url).port != port
    assert hijacker.requests == []
    assert (status["counts"]["completed"], status["counts"]["failed"]) == (1, 0)
    assert [attempt["state"] for attempt in attempts(home, handle)] == ["succeeded"]
    [worker] = home.folder.glob("workers/*/handle.json")  # the one that was there before
    assert worker.parent == log.parent


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Callable[[FakeServer], RunningWorker]]:
    """Start workers that reach their server by TCP, as those in containers and in jobs of Slurm do."""
    workers: list[RunningWorker] = []

    def start(server: FakeServer) -> RunningWorker:
        workers.append(RunningWorker(server, tmp_path / "worker", "worker"))
        return workers[-1]

    yield start
    for running in workers:
        running.kill()


@pytest.fixture
def genuine() -> Iterator[FakeServer]:
    """A server that has the token of its worker."""
    server = FakeServer({"run": "echo loss=1"}, slots=1, beat=0.2)
    yield server
    server.stop()


def test_a_worker_that_reaches_its_server_by_tcp_shows_no_token_and_does_no_work_without_a_proof(
    genuine: FakeServer, worker: Callable[[FakeServer], RunningWorker], tmp_path: Path
) -> None:
    running = worker(genuine)
    genuine.finished(genuine.queue())
    port = urlsplit(genuine.url).port
    assert port is not None
    genuine.stop()
    marker = tmp_path / "taken"
    with serving(Hijacker(f"touch {marker}", port)) as hijacker:
        until("the worker asks for proofs", lambda: len(hijacker.requests) >= 3)
        genuine.start()
        running.point_to(genuine)
        genuine.finished(genuine.queue())  # it has found its server
    assert hijacker.paths == {PROOF}
    assert {token for _, token in hijacker.requests} == {""}
    assert genuine.token not in repr((hijacker.requests, hijacker.bodies))
    assert not marker.exists()


def test_a_worker_that_is_started_at_a_hijacked_port_does_not_register(
    worker: Callable[[FakeServer], RunningWorker], tmp_path: Path
) -> None:
    marker = tmp_path / "taken"
    with serving(Hijacker(f"touch {marker}")) as hijacker:
        crashed = SimpleNamespace(url=hijacker.url, token=FakeServer.token, slots=1)
        running = worker(cast(FakeServer, crashed))
        until("the worker asks for proofs", lambda: len(hijacker.requests) >= 3)
    assert hijacker.paths == {PROOF}
    assert {token for _, token in hijacker.requests} == {""}
    assert "did not prove" in running.log.read_text()
    assert not marker.exists()


def test_a_program_at_an_old_port_cannot_relay_the_question_to_the_server() -> None:
    token = "w.01890000-0000-7000-8000-000000000000.01890000-0000-7000-8000-000000000001." + "0" * 40
    with live() as server:

        class Relay(Listening):
            def __init__(self) -> None:
                super().__init__(Relaying)
                self.statuses: list[int] = []

        class Relaying(Handler):
            server: Relay

            def do_GET(self) -> None:
                connection = HTTPConnection("127.0.0.1", port, timeout=30)
                connection.request("GET", self.path)
                response = connection.getresponse()
                content = response.read()
                connection.close()
                self.server.statuses.append(response.status)
                self.send(response.status, content)

        port = server.port
        with serving(Relay()) as relay, pytest.raises(ServerNotProven, match="the token was not sent"):
            dial(ServerAddress(relay.url), token)
        assert relay.statuses == [403]


def test_a_proof_is_for_one_nonce_one_address_and_one_worker() -> None:
    token, other = f"w.a.b.{'1' * 40}", f"w.c.b.{'1' * 40}"
    proofs = {proof(*words) for words in [
        (token, "n", "a:1"), (token, "m", "a:1"), (token, "n", "a:2"), (other, "n", "a:1"),
    ]}  # fmt: skip
    assert len(proofs) == 4


@pytest.mark.parametrize("kind", ["nothing", "garbage", "list", "endless", "reset"])
def test_no_answer_of_a_stranger_passes_for_a_proof(kind: str) -> None:
    answers = {"nothing": b"", "garbage": b"\xff{", "list": b'["proof"]', "endless": b"x" * 10_000}

    class Strange(Handler):
        def do_GET(self) -> None:
            self.close_connection = True
            if kind != "reset":
                self.send(200, answers[kind])

    with serving(Listening(Strange)) as stranger, pytest.raises(Exception) as error:
        dial(ServerAddress(stranger.url), "secret")
    assert isinstance(error.value, OSError)


@as_another_user
def test_other_users_of_the_machine_see_nothing_at_the_port_of_an_embedded_server(home: Home, tmp_path: Path) -> None:
    home.run("run", cwd=write(tmp_path / "mine", "echo loss={x}", budget=1))
    server = published(home)
    owner = {"Authorization": f"Bearer {server.token}"}
    session = {"Cookie": f"orchestune-{urlsplit(server.url).port}={secrets.token_urlsafe(32)}"}
    for path, headers in [
        ("/", {}), ("/", session), ("/sign-in", {}), ("/metrics", owner), ("/api/v1/experiments", owner),
        ("/api/v1/workers/w/register", owner), ("/api/v1/server", owner), ("/share/x", {}), ("/static/style.css", {}),
    ]:  # fmt: skip
        assert as_nobody(lambda path=path, headers=headers: ask(server.url, path, **headers)) == b"403", path  # type: ignore[misc]
    assert ask(server.url, "/api/v1/experiments", **owner) == b"200"  # a stolen token is what the check is for


@as_another_user
def test_an_address_for_reports_that_another_user_has_learned_takes_nothing_from_it(home: Home, tmp_path: Path) -> None:
    waits = "while [ ! -e $ORCHESTUNE_ORIGINAL_DIR/go ]; do sleep 0.05; done"
    command = f"echo $ORCHESTUNE_REPORT_URL > $ORCHESTUNE_ORIGINAL_DIR/url; {waits}; echo loss={{x}}"
    project = write(tmp_path / "reporting", command, budget=1)
    handle = launch(home, project)
    url = eventually(lambda: (project / "url").exists() and (project / "url").read_text().strip(), "an address", home)
    assert isinstance(url, str)
    path = urlsplit(url).path
    assert as_nobody(lambda: ask(url, path)) == b"403"
    assert as_nobody(lambda: ask(url, f"{path}x")) == b"403"
    assert ask(url, path) == b"200"
    (project / "go").touch()
    reached(home, handle, "completed")


@as_another_user
def test_a_connection_that_its_user_has_closed_is_not_taken_for_one_of_root(home: Home) -> None:
    """The kernel lists sockets without a process as those of uid 0."""
    home.json("status")
    server = published(home)
    parts = urlsplit(server.url)

    def shoot() -> bytes:
        with socket.create_connection((parts.hostname, parts.port)) as connection:
            request = f"POST /api/v1/shutdown HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.token}\r\n"
            connection.sendall(f"{request}Content-Length: 0\r\n\r\n".encode())
        return b""

    for _ in range(20):
        as_nobody(shoot)
    assert ask(server.url, "/healthz") == b"200"
    assert published(home) == server


@as_another_user
def test_a_socket_of_another_user_gets_no_token(tmp_path: Path) -> None:
    """The state folder was in a folder that everybody may write to, and another user has made it again."""
    folder = tmp_path / "state"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    for parent in (tmp_path, *list(tmp_path.parents)[:3]):
        parent.chmod(parent.stat().st_mode | 0o011)
    path = str(folder / "server.sock")
    ready, waiting = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setresuid(NOBODY, NOBODY, NOBODY)
            listening = socket.socket(socket.AF_UNIX)
            listening.bind(path)
            listening.listen()
            os.write(waiting, b"x")
            threading.Event().wait(60)
        finally:
            os._exit(0)
    try:
        os.close(waiting)
        assert os.read(ready, 1) == b"x"
        with pytest.raises(ServerNotProven, match="another user"):
            dial(ServerAddress("http://127.0.0.1:1", path), "secret")
        with pytest.raises(PermissionError, match="another user"):
            local_socket.connect(path, 5.0)
    finally:
        os.close(ready)
        os.kill(child, 9)
        os.waitpid(child, 0)


@as_another_user
def test_a_socket_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state"
    (state / "run").mkdir(parents=True)
    os.chown(state / "run", NOBODY, NOBODY)
    with pytest.raises(UsageError, match="another user"):
        embedded.listen_locally(state, 1, lambda undo: None)


def test_a_worker_of_this_machine_knows_no_port(home: Home, tmp_path: Path) -> None:
    command = "while [ ! -e $ORCHESTUNE_ORIGINAL_DIR/go ]; do sleep 0.05; done; echo loss={x}"
    project = write(tmp_path / "local", command)
    handle = launch(home, project)
    eventually(lambda: home.json("status", handle)["counts"]["running"], "a trial runs", home)
    worker_files = [json.loads(file.read_text()) for file in home.folder.glob("workers/*/worker.json")]
    (project / "go").touch()
    assert {(item["url"], item["endpoint"]) for item in worker_files} == {(None, str(home.folder / "endpoint.json"))}
    reached(home, handle, "completed")
