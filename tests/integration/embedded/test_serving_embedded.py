"""The server's side: one per state folder, the same address and token over restarts, ends itself when idle."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestune.client.local.endpoint import EmbeddedEndpoint
from orchestune.errors import Conflict, UsageError
from orchestune.server import embedded
from orchestune.system import local_socket
from orchestune.system.process import Process


def test_one_server_holds_a_state_folder(tmp_path: Path) -> None:
    state = tmp_path / "state"
    first = embedded.acquire(state)
    first.publish("http://127.0.0.1:25000", "t", "1.0")
    with pytest.raises(Conflict, match=f"pid {os.getpid()}, http://127.0.0.1:25000"):
        embedded.acquire(state, timeout=0.0)
    first.release()
    first.release()
    embedded.acquire(state).release()


def test_a_lock_is_given_up_with_the_process_and_not_inherited(tmp_path: Path) -> None:
    script = (
        "import os, subprocess, sys; from pathlib import Path; from orchestune.server import embedded\n"
        "lock = embedded.acquire(Path(sys.argv[1]))\n"
        "print(subprocess.Popen(['sleep', '3600'], stdout=subprocess.DEVNULL).pid, flush=True); os._exit(0)"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], env=environ, stdout=subprocess.PIPE, text=True, check=True
    )
    child = int(done.stdout)
    try:
        embedded.acquire(tmp_path, timeout=0.0).release()
    finally:
        os.kill(child, 9)


def test_who_looks_whether_a_server_runs_does_not_keep_one_from_starting(tmp_path: Path) -> None:
    script = (
        "import fcntl, os, sys, time; lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)\n"
        "fcntl.flock(lock, fcntl.LOCK_EX); print(flush=True); time.sleep(0.2)"
    )
    looker = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "server.lock")], stdout=subprocess.PIPE)
    assert looker.stdout is not None
    looker.stdout.readline()
    embedded.acquire(tmp_path, timeout=60.0).release()
    looker.communicate()


def test_a_disk_without_sockets_has_the_server_listen_in_a_private_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, undone = local_socket.listen, list[Callable[[], None]]()

    def listen(path: Path, backlog: int) -> socket.socket:
        if path.is_relative_to(tmp_path):
            raise OSError(errno.EPERM, "Operation not permitted", str(path))
        return real(path, backlog)

    monkeypatch.setattr(local_socket, "listen", listen)
    listening, path = embedded.listen_locally(tmp_path, 5, undone.append)
    with listening, local_socket.connect(str(path), 5.0):
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    undone[0]()
    assert not path.parent.exists()


def test_what_is_published_is_this_process_until_it_is_withdrawn(tmp_path: Path) -> None:
    lock = embedded.acquire(tmp_path)
    lock.publish("http://127.0.0.1:25000", "t", "1.0")
    endpoint = EmbeddedEndpoint.read(tmp_path / "endpoint.json")
    assert endpoint == EmbeddedEndpoint("http://127.0.0.1:25000", "t", Process.of(os.getpid()), "1.0")  # type: ignore[arg-type]
    lock.withdraw()
    lock.withdraw()
    assert not (tmp_path / "endpoint.json").exists()
    lock.release()


def test_what_another_server_published_is_not_withdrawn(tmp_path: Path) -> None:
    lock = embedded.acquire(tmp_path)
    other = EmbeddedEndpoint("http://127.0.0.1:25000", "t", Process(1, 1, "another"), "1.0")
    other.write(tmp_path / "endpoint.json")
    lock.release()
    assert EmbeddedEndpoint.read(tmp_path / "endpoint.json") == other


ANOTHER = '{"url": "http://127.0.0.1:1", "token": "x", "version": "1.0", "pid": 1, "started": 1, "boot": "x"}'


@pytest.mark.parametrize("text", [None, "", "{", ANOTHER])
def test_what_was_published_comes_back_where_somebody_removes_or_changes_it(tmp_path: Path, text: str | None) -> None:
    lock, path = embedded.acquire(tmp_path), tmp_path / "endpoint.json"
    lock.publish("http://127.0.0.1:25000", "t", "1.0")
    before = EmbeddedEndpoint.read(path)
    assert not lock.republish() and not lock.republish()

    async def harm() -> None:
        keeping = asyncio.ensure_future(embedded.keep_published(lock, 0.01))
        path.unlink()
        if text is not None:
            path.write_text(text)
        while EmbeddedEndpoint.read(path) != before:
            await asyncio.sleep(0.01)
        assert not keeping.done()
        keeping.cancel()

    asyncio.run(asyncio.wait_for(harm(), 60.0))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lock.withdraw()
    assert not lock.republish() and not path.exists()
    lock.release()


def test_a_server_whose_folder_was_removed_publishes_nothing_in_that_of_another(tmp_path: Path) -> None:
    state = tmp_path / "state"
    first = embedded.acquire(state)
    first.publish("http://127.0.0.1:25000", "t", "1.0")
    shutil.rmtree(state)
    assert not first.republish() and not state.exists()
    second = embedded.acquire(state)
    second.publish("http://127.0.0.1:25001", "t", "1.0")
    assert not first.republish()
    endpoint = EmbeddedEndpoint.read(state / "endpoint.json")
    assert endpoint is not None and endpoint.url == "http://127.0.0.1:25001"
    second.release()
    first.release()


def test_the_port_of_the_last_run_is_taken_again_where_it_is_free(tmp_path: Path) -> None:
    port = embedded.sticky_port(tmp_path)
    lock = embedded.acquire(tmp_path)
    lock.publish(f"http://127.0.0.1:{port}", "t")
    lock.release()
    assert embedded.sticky_port(tmp_path) == port
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what a server before left closing does not count
        other.bind(("127.0.0.1", port))
        other.listen()
        assert embedded.sticky_port(tmp_path) not in (port, 0)
    assert embedded.sticky_port(tmp_path) == port


def test_the_port_is_none_that_the_system_gives_to_outgoing_connections(tmp_path: Path) -> None:
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert not first <= embedded.sticky_port(tmp_path) <= last


@pytest.mark.parametrize("text", ["", "x", "-5", "99999999"])
def test_a_broken_note_of_the_port_is_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / "port").write_text(text)
    assert 1024 < embedded.sticky_port(tmp_path) < 65536


def test_the_token_stays_and_is_the_owners_alone(tmp_path: Path) -> None:
    token = embedded.token(tmp_path)
    assert len(token) >= 32
    (tmp_path / "token").chmod(0o644)
    assert embedded.token(tmp_path) == token
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    (tmp_path / "token").write_text("")
    assert len(embedded.token(tmp_path)) >= 32
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


async def _count_looks(answers: list[bool], seconds: float) -> int:
    looks, ended = 0, False

    def is_idle() -> bool:
        nonlocal looks
        looks += 1
        return answers[min(looks, len(answers)) - 1]

    def shutdown() -> None:
        nonlocal ended
        ended = True

    await asyncio.wait_for(embedded.shut_down_when_idle(is_idle, seconds, shutdown), 60.0)
    assert ended
    return looks


def test_a_server_ends_itself_after_it_was_idle_for_the_time() -> None:
    assert asyncio.run(_count_looks([True], 0.2)) >= 3


def test_every_sign_of_life_starts_the_time_again() -> None:
    assert asyncio.run(_count_looks([True, True, True, True, False, True], 0.2)) >= 8


def test_requests_are_answered_while_it_is_looked_whether_anything_goes_on() -> None:
    async def look() -> None:
        answered = threading.Event()
        asyncio.get_running_loop().call_later(0.05, answered.set)
        await embedded.shut_down_when_idle(lambda: answered.wait(60.0), 0.0, lambda: None)
        assert answered.is_set()

    asyncio.run(asyncio.wait_for(look(), 30.0))


MOUNTS = """\
/dev/vda / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
"""


def test_a_network_file_system_is_refused_with_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "mounts").write_text(MOUNTS)
    embedded.refuse_network_filesystem(Path("/var/lib/x"), tmp_path / "mounts")
    with pytest.raises(UsageError, match="nfs4") as caught:
        embedded.refuse_network_filesystem(Path("/home/ada"), tmp_path / "mounts")
    assert "ORCHESTUNE_HOME" in caught.value.hint


def test_this_machines_own_folders_are_accepted(tmp_path: Path) -> None:
    embedded.refuse_network_filesystem(tmp_path)
    embedded.refuse_network_filesystem(tmp_path, tmp_path / "no mounts are known")
