"""A hosted server behind a proxy of the same machine: no other user takes its place, or speaks for the proxy."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from orchestune.errors import BadInput, UsageError
from orchestune.server.serving import listen_for_proxy
from orchestune.server.settings import load
from tests.security.test_port_hijack import NOBODY, as_another_user, as_nobody
from tests.unit.server.harness import until
from tests.unit.server.test_serving import Process

PUBLIC = "http://orchestune.example.org"


def ask(socket_path: Path, path: str, **headers: str) -> tuple[int, bytes]:
    """Ask as the proxy does; return status and body of the answer."""
    with socket.socket(socket.AF_UNIX) as connection, closing(HTTPConnection("localhost")) as proxy:
        connection.settimeout(60)
        connection.connect(str(socket_path))
        proxy.sock = connection
        proxy.request("GET", path, headers={name.replace("_", "-"): text for name, text in headers.items()})
        with proxy.getresponse() as answer:
            return answer.status, answer.read()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as `RuntimeDirectoryMode=0750` makes it."""
    socket_folder = tmp_path / "run"
    socket_folder.mkdir()
    socket_folder.chmod(0o750)
    for parent in (tmp_path, *list(tmp_path.parents)[:3]):  # another user reaches it, and not what is in it
        parent.chmod(parent.stat().st_mode | 0o011)
    return socket_folder


@pytest.fixture
def server(tmp_path: Path, folder: Path) -> Iterator[Process]:
    options = ("--public-url", PUBLIC, "--trusted-proxies", "127.0.0.1", "--log-format", "json")
    started = Process(tmp_path / "state", "--host", f"unix:{folder / 'server.sock'}", *options)
    yield started
    started.process.terminate()
    started.process.wait(60)


def connects(path: Path) -> bytes:
    """Try to connect; return the name of the error, if there is one."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(path))
        except OSError as exc:
            return type(exc).__name__.encode()
    return b"connected"


def takes(path: Path) -> bytes:
    """Try to take the place of a server that is down."""
    with socket.socket(socket.AF_UNIX) as squatter:
        try:
            path.unlink(missing_ok=True)
            squatter.bind(str(path))
        except OSError as exc:
            return type(exc).__name__.encode()
    return b"bound"


def test_a_server_serves_its_proxy_and_sees_the_callers_behind_it(server: Process, folder: Path) -> None:
    assert server.url() == PUBLIC
    path = folder / "server.sock"
    assert ask(path, "/healthz")[0] == 200
    assert ask(path, "/api/v1/server", Authorization="Bearer wrong", X_Forwarded_For="203.0.113.7")[0] == 401
    token = (server.state / "token").read_text()
    owner = {"Authorization": f"Bearer {token}"}
    until(lambda: b"203.0.113.7" in ask(path, "/api/v1/audit", **owner)[1], "the caller's address is in the audit log")
    assert path.stat().st_mode & 0o777 == 0o660
    assert folder.stat().st_mode & 0o777 == 0o750


@as_another_user
def test_another_user_neither_reaches_the_socket_nor_takes_its_place(server: Process, folder: Path) -> None:
    path = folder / "server.sock"
    server.url()
    assert as_nobody(lambda: connects(path)) == b"PermissionError"
    server.process.kill()
    server.process.wait(60)
    assert as_nobody(lambda: takes(path)) == b"PermissionError"


def test_the_socket_of_a_running_server_is_not_replaced_and_that_of_a_crashed_one_is(folder: Path) -> None:
    path = folder / "server.sock"
    running = listen_for_proxy(path)
    with running.socket, pytest.raises(UsageError, match="another server"):
        listen_for_proxy(path)
    with listen_for_proxy(path).socket:
        assert connects(path) == b"connected"


@pytest.mark.parametrize("mode", [0o770, 0o777])
def test_a_folder_in_which_others_can_replace_the_socket_is_refused(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    with pytest.raises(UsageError, match="other users can write"):
        listen_for_proxy(folder / "server.sock")


@as_another_user
def test_a_folder_of_another_user_is_refused(folder: Path) -> None:
    os.chown(folder, NOBODY, NOBODY)
    with pytest.raises(UsageError, match="belongs to another user"):
        listen_for_proxy(folder / "server.sock")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--host", "unix:/run/x/s"], "public_url"),
        (["--host", "unix:run/s", "--public-url", PUBLIC], "absolute"),
        (["--host", "unix:/run/x/s", "--public-url", PUBLIC, "--port", "1"], "port"),
        (["--host", "unix:/run/x/s", "--public-url", PUBLIC, "--embedded"], "embedded"),
    ],
)
def test_settings_that_contradict_a_socket_are_refused(options: list[str], problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        load(options, {})
