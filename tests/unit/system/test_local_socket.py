"""Unix sockets of one user: found again after a crash, in folders of any depth, and closed to everybody else."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from orchestune.system.local_socket import connect, listen
from orchestune.worker.connection.dialling import ServerAddress, dial


def echo(listening: socket.socket, path: Path) -> bytes:
    """Return the bytes that arrive from a client that connects at `path`."""
    with connect(str(path), 5.0) as client, listening.accept()[0] as connection:
        client.sendall(b"x")
        return connection.recv(1)


@pytest.mark.parametrize("depth", [0, 3])
def test_a_client_connects_however_deep_the_folder_is(tmp_path: Path, depth: int) -> None:
    folder = tmp_path.joinpath(*["d" * 60] * depth)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "run" / "server.sock"
    with listen(path, 5) as listening:
        assert echo(listening, path) == b"x"
        http = dial(ServerAddress("http://127.0.0.1:1", str(path)), "secret")  # the worker's own way
        listening.accept()[0].close()
        http.close()


def test_socket_and_folder_are_private_whatever_they_were(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(0o777)
    with listen(folder / "server.sock", 5):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "server.sock").stat().st_mode) == 0o600
        assert os.listdir(folder) == ["server.sock"]


def test_the_socket_of_a_crashed_server_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "run" / "server.sock"
    listen(path, 5).close()
    assert path.exists()
    with pytest.raises(ConnectionRefusedError):
        connect(str(path), 5.0)
    with listen(path, 5) as listening:
        assert echo(listening, path) == b"x"


def test_nobody_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        connect(str(tmp_path / "server.sock"), 5.0)


def test_a_link_in_the_place_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="run"):
        listen(tmp_path / "run" / "server.sock", 5)
