"""A daemon that has trouble with single containers: the others are seen and ended all the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestune.backends.docker.backend import DockerBackend
from orchestune.backends.docker.client import DaemonError, DaemonUnreachable
from orchestune.backends.docker.client import DockerEngine as Client
from orchestune.backends.docker.config import Daemon
from orchestune.backends.docker.worker_folder import WorkerFolder
from orchestune.ports.backend import Phase
from tests.testbeds.serving import Handler, Listening, serving

DEAD, WELL = "d" * 64, "a" * 64


def listed(identity: str, name: str | None, state: str, worker: str) -> dict[str, Any]:
    labels = {"orchestune.dev/worker": worker}
    return {"Id": identity, "Names": [f"/{name}"] if name else [], "State": state, "Labels": labels}


class Engine(Listening):
    """Docker's API as far as it is asked here. Answers by method and path, and remembers what was asked."""

    def __init__(self) -> None:
        super().__init__(_RecordingHandler)
        self.asked: list[str] = []
        self.answers: dict[str, tuple[int, Any]] = {"GET /version": (200, {"ApiVersion": "1.44", "Arch": "amd64"})}


class _RecordingHandler(Handler):
    server: Engine

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].removeprefix("/v1.44")
        request_line = f"{self.command} {path}"
        self.server.asked.append(request_line)
        if request_line == "POST /images/create":
            return self._break_off()
        status, document = self.server.answers.get(request_line, (404, {"message": "No such container"}))
        self.send_json(status, document)

    do_POST = do_DELETE = do_GET

    def _break_off(self) -> None:
        """As a daemon does that is stopped while it pulls."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        line = b'{"status": "Downloading"}'
        self.wfile.write(b"%x\r\n%s\r\n40\r\n{" % (len(line), line))
        self.close_connection = True


@pytest.fixture
def engine() -> Iterator[Engine]:
    with serving(Engine()) as daemon:
        yield daemon


@pytest.fixture
def backend(engine: Engine, tmp_path: Path) -> DockerBackend:
    return DockerBackend(tmp_path, "http://lab:1", daemon=Daemon(f"tcp://127.0.0.1:{engine.server_port}"))


def started(tmp_path: Path, worker: str, name: str) -> None:
    place = WorkerFolder(tmp_path / "docker/workers", worker)
    place.path.mkdir(parents=True)
    place.note_started(name)


def test_a_container_that_the_daemon_could_not_remove_has_no_name_and_hides_nobody(
    engine: Engine, backend: DockerBackend, tmp_path: Path
) -> None:
    state = {"Status": "dead", "Dead": True, "ExitCode": 1, "FinishedAt": "2026-01-01T00:00:00Z", "OOMKilled": True}
    engine.answers |= {
        "GET /containers/json": (200, [listed(DEAD, None, "dead", "w1"), listed(WELL, "one", "running", "w2")]),
        f"GET /containers/{DEAD}/json": (200, {"State": state, "HostConfig": {}, "Config": {"Tty": False}}),
        f"GET /containers/{DEAD}/logs": (409, {"message": "can not get logs from container which is dead"}),
        "GET /events": (500, {"message": "no events"}),
    }
    started(tmp_path, "w1", "gone")
    started(tmp_path, "w2", "one")
    one, other = backend.observe({"w1": {}, "w2": {}})
    assert (one.phase, one.reason) == (Phase.GONE, "its container ended with exit code 1")
    assert other.phase is Phase.RUNNING
    engine.answers[f"DELETE /containers/{DEAD}"] = (500, {"message": "device or resource busy"})
    for _ in range(3):
        backend.sweep(frozenset({"w2"}))
    assert engine.asked.count(f"DELETE /containers/{DEAD}") == 1  # and again after a while
    backend._sweep_at = 0.0
    backend.sweep(frozenset({"w2"}))
    assert engine.asked.count(f"DELETE /containers/{DEAD}") == 2


def test_a_container_that_cannot_be_signalled_or_looked_at_hides_nobody(
    engine: Engine, backend: DockerBackend, tmp_path: Path
) -> None:
    containers = [("s", "running", "w1"), ("x", "exited", "w2"), ("one", "running", "w3")]
    engine.answers |= {
        "GET /containers/json": (200, [listed(WELL, *each) for each in containers]),
        "POST /containers/s/kill": (500, {"message": "tried to kill container, but did not receive an exit event"}),
        "GET /containers/x/json": (500, {"message": "cannot be read"}),
    }
    for name, _, worker in containers:
        started(tmp_path, worker, name)
    backend.terminate("w1", {}, 0.0)
    statuses = backend.observe({"w1": {}, "w2": {}, "w3": {}})
    assert [sighting.phase for sighting in statuses] == [Phase.RUNNING] * 3
    assert engine.asked.count("POST /containers/s/kill") == 2


def test_a_daemon_that_stops_while_it_pulls_is_away(engine: Engine) -> None:
    client = Client(10, Daemon(f"tcp://127.0.0.1:{engine.server_port}"))
    messages = client.pull("python:3.12")
    assert next(messages) == {"status": "Downloading"}
    with pytest.raises(DaemonUnreachable, match="no response from Docker"):
        next(messages)


@pytest.mark.filterwarnings("ignore:docker-credential-elsewhere")
def test_a_credential_helper_that_is_missing_is_no_daemon_that_is_away(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text('{"credsStore": "elsewhere"}')
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    client = Client(10, Daemon(f"tcp://127.0.0.1:{engine.server_port}"))
    with pytest.raises(DaemonError, match=r"cannot read your login: .*docker-credential-elsewhere not installed"):
        next(client.pull("python:3.12"))
    assert "POST /images/create" not in engine.asked
