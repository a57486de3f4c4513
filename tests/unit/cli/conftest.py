"""A fake server, and ways to run the command line against it: in this process, and on a terminal of its own."""

from __future__ import annotations

import os
import pty
import re
import select
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ

import pytest

from orchestune.cli.main import main
from tests.testbeds.home import Home
from tests.unit.client.fake_server import FakeServer, status

SOURCE = Path(__file__).parents[3] / "src"


@dataclass(frozen=True)
class Result:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer() as fake:
        fake.put(status())
        for name, value in fake.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("COLUMNS", "100")
        yield fake


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run one command in this process."""

    def run(*words: str) -> Result:
        try:
            code = main(list(words))
        except SystemExit as exc:  # argparse's --help
            code = int(exc.code or 0)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def machine() -> Iterator[Home]:
    """An embedded server that runs trials, for all tests that need one."""
    with Home() as home:
        yield home


@pytest.fixture
def local_server(machine: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Let the commands of this process use that server."""
    monkeypatch.setenv("ORCHESTUNE_HOME", str(machine.folder))
    for name in ("ORCHESTUNE_SERVER", "ORCHESTUNE_CLUSTER"):
        monkeypatch.delenv(name, raising=False)
    return machine


class Terminal:
    """A command on a terminal; `screen` is what it wrote, `press` types."""

    def __init__(
        self, words: list[str], environ: dict[str, str], columns: int = 100, lines: int = 24, script: str = ""
    ) -> None:
        """`script`: a line of a shell with jobs, in which `$O` is the command line, in the place of `words`."""
        self._master, slave = pty.openpty()
        self.resize(columns, lines)
        base = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        program = [sys.executable, "-m", "orchestune"]
        base["O"] = " ".join(program)
        self.process = subprocess.Popen(
            ["sh", "-c", f"set -m; {script}"] if script else [*program, *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=_own_terminal,
            env={**base, "TERM": "xterm", "PYTHONPATH": str(SOURCE), "PYTHONIOENCODING": "utf-8", **environ},
        )
        os.close(slave)
        self.screen = ""

    def resize(self, columns: int, lines: int) -> None:
        ioctl(self._master, TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read(self, seconds: float = 0.1) -> None:
        if select.select([self._master], [], [], seconds)[0]:
            try:
                self.screen += os.read(self._master, 1 << 16).decode("utf-8", "replace")
            except OSError:
                pass  # the other side is closed

    def wait_for(self, pattern: str, seconds: float = 60.0) -> None:
        self._until(lambda: re.search(pattern, plain(self.screen)) is not None, pattern, seconds)

    def wait_for_paints(self, count: int, seconds: float = 60.0) -> None:
        self._until(lambda: self.screen.count("\x1b[J") >= count, f"{count} paints", seconds)

    def _until(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"never saw {what!r} in:\n{plain(self.screen)}"
            self.read()

    def press(self, text: str) -> None:
        os.write(self._master, text.encode())

    def end(self, seconds: float = 60.0) -> int:
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"still running:\n{plain(self.screen)}"
            self.read()
        self.read()
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)


def _own_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def plain(text: str) -> str:
    """Without the sequences that colour and move."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")


@pytest.fixture
def terminal(server: FakeServer) -> Iterator[Callable[..., Terminal]]:
    """Start one command on a terminal."""
    opened: list[Terminal] = []

    def start(*words: str, columns: int = 100, lines: int = 24, script: str = "", **environ: str) -> Terminal:
        opened.append(Terminal(list(words), {**server.environment(), **environ}, columns, lines, script))
        return opened[-1]

    yield start
    for item in opened:
        item.close()
