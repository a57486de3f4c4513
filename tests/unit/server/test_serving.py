"""The process: sockets, signals, and an end that comes."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from orchestune.errors import UsageError
from orchestune.server.main import MAX_OPEN_FILES, main, open_more_files
from orchestune.server.serving import listen
from orchestune.server.settings import Settings
from tests.unit.server.harness import TIMEOUT, Live, live, until

ROOT = Path(__file__).parents[3]


class Process:
    """`orchestune server` as an operator starts it."""

    def __init__(self, state: Path, *options: str, **environ: str) -> None:
        self.state = state
        state.mkdir(exist_ok=True)
        self.log = state.parent / f"{state.name}.log"
        command = [sys.executable, "-m", "orchestune", "server", "--state", str(state), *options]
        base_environ = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTUNE_")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**base_environ, "PYTHONPATH": str(ROOT / "src"), **environ}
            )

    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def url(self) -> str:
        """The address, once it serves."""
        until(lambda: self.process.poll() is not None or self._serving(), f"it serves: {self.log.read_text()}")
        return str(self._serving()[0]["url"])

    def _serving(self) -> list[dict[str, Any]]:
        return [entry for entry in self.entries() if entry["message"] == "serving"]

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        host, _, port = self.url().removeprefix("http://").rpartition(":")
        with closing(HTTPConnection(host, int(port), timeout=TIMEOUT)) as connection:
            token = (self.state / "token").read_text()
            connection.request(method, path, headers={"Authorization": f"Bearer {token}", **(headers or {})})
            response = connection.getresponse()
            return response.status, response.read()

    def ended(self) -> int:
        return self.process.wait(TIMEOUT)


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    started: list[Process] = []
    yield started
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.wait()


def test_a_second_server_on_an_sqlite_database_is_refused(tmp_path: Path, processes: list[Process]) -> None:
    one = Process(tmp_path / "state", "--port", "0", ORCHESTUNE_LOG_FORMAT="json")
    processes.append(one)
    assert one.ask("GET", "/healthz")[0] == 200
    elsewhere = tmp_path / "elsewhere"
    elsewhere.symlink_to(one.state)
    database = f"sqlite:///{elsewhere / 'orchestune.db'}"
    other = Process(tmp_path / "other", "--embedded", "--port", "0", "--database-url", database)
    processes.append(other)
    assert other.ended() == 2
    assert f"another server uses the database {one.state}/orchestune.db" in other.log.read_text()


def test_a_hosted_server_serves_until_it_is_told_to_end_and_writes_no_token(
    tmp_path: Path, processes: list[Process]
) -> None:
    one = Process(tmp_path / "state", "--port", "0", ORCHESTUNE_LOG_FORMAT="json", ORCHESTUNE_LOG_LEVEL="debug")
    processes.append(one)
    status, body = one.ask("GET", "/api/v1/server")
    assert (status, json.loads(body)["home"]) == (200, "hosted")
    host, _, port = one.url().removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port))) as silent:  # open, and says nothing
        one.process.send_signal(signal.SIGTERM)
        assert one.ended() == 0
        assert silent.recv(1) == b""
    assert [entry["message"] for entry in one.entries() if entry["logger"] == "server"][-3:] == [
        "serving",
        "draining",
        "ended",
    ]
    assert (one.state / "token").read_text().strip() not in one.log.read_text()


def test_a_changed_token_file_counts_without_a_restart(tmp_path: Path, processes: list[Process]) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"ada {'a' * 20}\n")
    one = Process(tmp_path / "state", "--port", "0", "--token-file", str(tokens), ORCHESTUNE_LOG_FORMAT="json")
    processes.append(one)
    (one.state / "token").write_text("unused")

    def status(token: str) -> int:
        return one.ask("GET", "/api/v1/tokens", {"Authorization": f"Bearer {token * 20}"})[0]

    assert (status("a"), status("b")) == (200, 401)
    tokens.write_text(f"eve {'b' * 20}\n")
    until(lambda: (status("a"), status("b")) == (401, 200), "the new token alone is valid")
    headers = {"Authorization": f"Bearer {'b' * 20}"}

    def owners() -> list[str]:
        events = json.loads(one.ask("GET", "/api/v1/audit", headers)[1])["items"]
        return [event["details"]["owners"] for event in events if event["kind"] == "role_changed"]

    until(lambda: owners() == ["ada", "eve"], "the audit log has both states")


def test_a_hosted_server_says_when_it_starts_that_it_cannot_keep_files(
    tmp_path: Path, processes: list[Process]
) -> None:
    one = Process(tmp_path / "state", "--port", "0", "--files", "/proc/none", ORCHESTUNE_LOG_FORMAT="json")
    processes.append(one)
    one.url()

    def log_warnings() -> list[str]:
        return [entry["message"] for entry in one.entries() if entry["level"] == "warning"]

    until(lambda: bool(log_warnings()), "a warning")
    assert "cannot store files" in log_warnings()[0] and "/proc/none" in log_warnings()[0]


def test_an_embedded_server_is_found_by_its_file_is_one_alone_and_ends_by_request(
    tmp_path: Path, processes: list[Process]
) -> None:
    one = Process(tmp_path / "state", "--embedded", ORCHESTUNE_LOG_FORMAT="json")
    processes.append(one)
    url = one.url()
    published = json.loads((one.state / "endpoint.json").read_text())
    assert (published["url"], published["pid"]) == (url, one.process.pid)
    other = Process(tmp_path / "state", "--embedded")
    processes.append(other)
    assert other.ended() == 2
    assert "is already running" in other.log.read_text()
    assert one.ask("POST", "/api/v1/shutdown") == (200, b'{"draining":true}')
    assert one.ended() == 0
    assert not (one.state / "endpoint.json").exists()


def test_an_embedded_server_ends_itself_when_idle(tmp_path: Path, processes: list[Process]) -> None:
    one = Process(tmp_path / "state", "--embedded", "--idle-seconds", "0.2")
    processes.append(one)
    assert one.ended() == 0
    assert not (one.state / "endpoint.json").exists()


def test_an_embedded_server_is_not_idle_while_it_takes_or_sends_something(
    tmp_path: Path, processes: list[Process]
) -> None:
    one = Process(tmp_path / "state", "--embedded", "--idle-seconds", "2", ORCHESTUNE_LOG_FORMAT="json")
    processes.append(one)
    archive = gzip.compress(b"code" * 1000)
    host, _, port = one.url().removeprefix("http://").rpartition(":")
    with closing(HTTPConnection(host, int(port), timeout=TIMEOUT)) as connection:
        connection.putrequest("PUT", f"/api/v1/bundles/{hashlib.sha256(archive).hexdigest()}")
        connection.putheader("Authorization", f"Bearer {(one.state / 'token').read_text()}")
        connection.putheader("Content-Length", str(len(archive)))
        connection.endheaders(archive[:10])
        for _ in range(30):  # of a client that sends slowly
            time.sleep(0.1)
            assert (one.state / "endpoint.json").exists()
        connection.send(archive[10:])
        assert connection.getresponse().status == 200
    assert one.ended() == 0


def _nothing(*parts: Any) -> Any:
    raise AssertionError("nothing is built")


def test_a_state_folder_that_cannot_be_made_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match=r"cannot use the folder .*file/state: Not a directory"):
        main(["--state", str(tmp_path / "file/state"), "--port", "0"], _nothing)


def test_a_path_that_is_too_long_for_a_database_is_wrong_use(tmp_path: Path) -> None:
    long = tmp_path / ("d" * 200) / ("e" * 200) / ("f" * 200)
    for options in (["--state", str(long)], ["--state", str(tmp_path), "--database-url", f"sqlite:///{long}/x.db"]):
        with pytest.raises(
            UsageError, match=r"the folder of the database too long: .* has .* bytes \(expected at most 480\)"
        ):
            main(options, _nothing)
        assert not long.exists()


def test_what_hangs_does_not_hold_up_the_end() -> None:
    program = (
        "import threading; from orchestune.server.serving import Deadline; from orchestune.server import logs\n"
        "logs.configure('info', 'plain')\n"
        "threading.Thread(target=threading.Event().wait, name='stuck').start()\n"
        "one = Deadline(0.1); one.start(); one.start(); one.cancel()"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env=environ)
    assert ended.returncode == 1
    assert "stuck" in ended.stderr


def test_an_end_in_time_disarms_the_deadline() -> None:
    program = (
        "from orchestune.server.serving import Deadline\none = Deadline(30)\none.start()\none.cancel()\n"
        "one._timer.join()"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    ended = subprocess.run([sys.executable, "-c", program], timeout=60, env=environ)
    assert ended.returncode == 0


def test_small_answers_are_sent_at_once_and_connections_stay_open(server: Live) -> None:
    connection = server.connect()
    for _ in range(3):
        assert server.ask("GET", "/healthz", connection=connection).status == 200
    connections = server.server.server_state.connections
    assert len(connections) == 1
    options = [
        one.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in connections
    ]
    assert options == [1]
    assert server.server.config.timeout_keep_alive >= 75


def test_requests_finish_before_the_end() -> None:
    def statuses(core: Any, *args: Any) -> dict[str, Any]:
        server.server.end()
        until(lambda: server.draining.begun, "it drains")
        return {"items": [], "next": None}

    with live() as server:
        server.script.answers["statuses"] = statuses
        assert server.ask("GET", "/api/v1/experiments").json() == {"items": [], "next": None}
        assert server.ended.wait(TIMEOUT)


def test_while_it_drains_it_is_not_ready() -> None:
    with live() as server:
        connection = server.connect()
        assert server.ask("GET", "/readyz", token=None, connection=connection).status == 200
        server.draining._event.set()
        assert server.ask("GET", "/readyz", token=None, connection=connection).status == 503


def test_a_port_that_is_taken_is_named_unless_any_will_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(
            UsageError, match=f"cannot listen on 127.0.0.1 port {port}: another program uses 127.0.0.1:{port}"
        ):
            listen(Settings(port=port))
        (tmp_path / "port").write_text(str(port))
        with listen(Settings(state=tmp_path, embedded=True)) as port_found:
            assert port_found.number != port


def test_a_host_that_is_none_of_this_machine_is_named() -> None:
    with pytest.raises(UsageError, match=r"cannot listen on 192\.0\.2\.1"):
        listen(Settings(host="192.0.2.1", port=0))


@pytest.mark.parametrize("both", [True, False])
def test_every_address_of_the_machine_is_one_of_either_kind(monkeypatch: pytest.MonkeyPatch, both: bool) -> None:
    if both and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: both)
    with listen(Settings(host="::", port=0)) as listener:
        assert (listener.sockets[0].family == socket.AF_INET6) is both
        for address in ["127.0.0.1", "::1"] if both else ["127.0.0.1"]:
            with socket.create_connection((address, listener.number)):
                pass


@pytest.mark.parametrize("host", ["a..b", "a" * 70])
@pytest.mark.parametrize("embedded", [False, True])
def test_a_host_that_no_name_can_be_is_named(tmp_path: Path, host: str, embedded: bool) -> None:
    with pytest.raises(UsageError, match=f"cannot listen on {host}"):
        listen(Settings(host=host, state=tmp_path, embedded=embedded))


def test_a_server_may_have_more_open_than_a_shell_gives() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        open_more_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (
            MAX_OPEN_FILES if hard < 0 else min(MAX_OPEN_FILES, hard),
            hard,
        )
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
