"""A command's process: its environment, and the errors of commands that cannot be started."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from orchestune.worker.processes import spawn
from orchestune.worker.processes.spawn import StartedProcess, TrialCommand

PRINT_PROCESS = (
    "import os, signal, sys\n"
    "print(os.getcwd(), os.getsid(0) == os.getpid(), sorted(os.environ), sys.stdin.read(), sep='|')\n"
    "print(signal.getsignal(signal.SIGPIPE), sorted(os.sched_getaffinity(0)), sep='|', file=sys.stderr)\n"
    "print(*os.listdir('/proc/self/fd'))\n"
)
Run = Callable[..., tuple[str, int]]


@pytest.fixture(params=["library", "subprocess"])
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Start a command in a folder, wait for it: what it wrote, and its status."""
    if request.param == "subprocess":
        monkeypatch.setattr(spawn, "_library", lambda: None)
    else:
        assert spawn._library() is not None
    folder, text = tmp_path / "folder", tmp_path / "text"
    folder.mkdir()
    text.write_text("hello")

    def start(
        *words: str, environment: Mapping[bytes, bytes] | None = None, cores: tuple[int, ...] = ()
    ) -> StartedProcess:
        output = os.open(tmp_path / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        file = os.open(text, os.O_RDONLY)
        try:
            return spawn.spawn(TrialCommand(list(words), environment or {}, str(folder), (file, output), list(cores)))
        finally:
            os.close(output)
            os.close(file)

    def wait(*words: str, **more: object) -> tuple[str, int]:
        started = start(*words, **more)  # type: ignore[arg-type]
        _, status = os.waitpid(started.pid, 0)
        return (tmp_path / "output").read_text(), status

    return wait


def test_it_runs_in_its_folder_session_and_environment_alone(run: Run, tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    environment = {b"X": b"1", b"LC_ALL": b"C.UTF-8"}
    with open(os.devnull) as own:
        written, status = run(sys.executable, "-ISu", "-c", PRINT_PROCESS, environment=environment, cores=(core,))
        mine = str(own.fileno())
    assert status == 0
    output, error, files = written.splitlines()
    assert output == f"{tmp_path / 'folder'}|True|['LC_ALL', 'X']|hello"
    assert error.endswith(f"|[{core}]") and mine not in files.split()


def test_the_shell_of_a_pipe_ends_quietly(run: Run) -> None:
    written, status = run("/bin/sh", "-c", "kill -PIPE $$; echo still there")
    assert (written, os.WTERMSIG(status)) == ("", signal.SIGPIPE)


def test_it_hears_signals_which_the_thread_that_starts_it_does_not(run: Run) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    try:
        output, status = run("/bin/grep", "SigBlk", "/proc/self/status")
        assert (output.split(), status) == (["SigBlk:", "0" * 16], 0)
        assert signal.SIGCHLD in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_a_program_is_searched_for_where_it_will_run(run: Run, tmp_path: Path) -> None:
    program = tmp_path / "folder" / "bin" / "tool"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    assert run("tool", environment={b"PATH": b"/nowhere:bin"}) == ("found\n", 0)
    assert run("bin/tool") == ("found\n", 0)


@pytest.mark.parametrize(
    ("word", "number"), [("missing", errno.ENOENT), ("./plain", errno.EACCES), ("./text", errno.ENOEXEC)]
)
def test_what_cannot_be_started_says_why(run: Run, tmp_path: Path, word: str, number: int) -> None:
    (tmp_path / "folder" / "plain").touch(0o644)
    (tmp_path / "folder" / "text").touch(0o755)
    (tmp_path / "folder" / "text").write_text("no program\n")
    with pytest.raises(OSError) as caught:
        run(word, environment={b"PATH": b"/nowhere"})
    assert caught.value.errno == number


def test_a_folder_that_is_gone_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "folder").rmdir()
    with pytest.raises(FileNotFoundError):
        run("/bin/true")


@pytest.mark.parametrize("environment", [{}, {b"X": b"a\0b"}])
def test_texts_with_null_bytes_are_refused(run: Run, environment: dict[bytes, bytes]) -> None:
    words = ("/bin/true",) if environment else ("/bin/true", "a\0b")
    with pytest.raises(ValueError, match="null byte"):
        run(*words, environment=environment)
