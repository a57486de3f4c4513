"""What depends on the operating system, with another one in its place."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from orchestune import __main__ as program
from orchestune.system import local_socket, platform, process, process_status
from orchestune.system.process import Process


@pytest.fixture
def macos(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(platform, "name", lambda: "darwin")
    process.boot_id.cache_clear()
    yield
    process.boot_id.cache_clear()  # later tests in this process are on Linux again


def test_native_windows_is_refused_with_the_way_by_wsl(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(platform, "name", lambda: "win32")
    assert program.main() == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert error == "error: orchestune does not run on native Windows" and "wsl --install" in hint


def test_processes_are_identified_without_proc(macos: None) -> None:
    parent = process.parent_and_session(os.getpid())
    assert parent == (os.getppid(), os.getsid(0))
    assert os.getpid() in process.pids()
    status = process_status.status_of(os.getpid())
    assert status is not None and abs(status.started - time.time()) < 86400 * 30


def test_a_process_is_signalled_and_its_end_noticed_without_proc(macos: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as child:
        own = Process.of(child.pid)
        assert own is not None and own.alive()
        assert own.send(signal.SIGKILL)
        child.wait(60)
        assert not own.alive() and not own.send(signal.SIGKILL)
        assert Process.of(child.pid) is None


def test_the_user_at_a_socket_is_read_in_the_form_of_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    class Connection:
        def getsockopt(self, level: int, option: int, size: int) -> bytes:
            assert (level, option, size) == (0, 1, 76)
            return local_socket._BSD_CREDENTIALS.pack(0, 4711, 1, *[20] * 16)

    monkeypatch.delattr(socket, "SO_PEERCRED", raising=False)
    monkeypatch.setattr(socket, "LOCAL_PEERCRED", 1, raising=False)
    with pytest.raises(PermissionError, match=r"another user \(uid 4711\)"):
        local_socket._refuse_other_users(Connection(), "server.sock")  # type: ignore[arg-type]


def test_the_python_interface_names_wsl_where_a_module_of_unix_is_missing() -> None:
    script = "import sys; sys.modules['fcntl'] = None\nimport orchestune\norchestune.tune"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "ImportError: orchestune does not run on native Windows; install WSL" in done.stderr.splitlines()[-1]
