"""A private state folder with its own embedded server: nothing of it is left when the block ends.

with Home() as home: home.run("run", "-f", "experiment.yml"); home.json("status", "sgd")
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestune.cli.experiments.follow import INTERRUPTED
from orchestune.cli.main import run
from orchestune.cli.terminal.console import Console

SECONDS = 300.0
READING_COMMANDS = ("best", "status", "trials")
"""commands that only show something, again and again"""
_OWN_COMMAND = (sys.executable, "-m", "orchestune")
_FOREIGN = ("ORCHESTUNE_", "PYTHONPATH", "VIRTUAL_ENV", "COLUMNS", "LINES")  # GNU readline sets the last two


class CommandFailed(AssertionError):
    """A command ended in another way than expected; carries what it said."""


class Home:
    """`orchestune` commands that share one new state folder. `command` is how the program is started."""

    def __init__(self, command: Sequence[str] = _OWN_COMMAND, **settings: str) -> None:
        self.command = list(command)
        self.folder = Path(tempfile.mkdtemp(prefix="orchestune-home-"))
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        self.env["PATH"] = f"{Path(self.command[0]).parent}:{self.env.get('PATH', os.defpath)}"
        self.env |= {"ORCHESTUNE_HOME": str(self.folder), "NO_COLOR": "1", **settings}

    def __enter__(self) -> Home:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, *arguments: str, cwd: Path | str | None = None, **options: Any) -> subprocess.Popen[str]:
        """Start `orchestune ARGUMENTS` with its output in pipes."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        return subprocess.Popen(
            [*self.command, *arguments], stdin=subprocess.DEVNULL, cwd=cwd or self.folder, env=self.env, **options
        )

    def run(
        self, *arguments: str, cwd: Path | str | None = None, expect: int | None = 0, timeout: float = SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run `orchestune ARGUMENTS` to its end. CommandFailed unless it exits with `expect` (None: anything)."""
        with self.start(*arguments, cwd=cwd) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
                raise CommandFailed(
                    f"orchestune {' '.join(arguments)}: not over after {timeout} s\n{out}{err}"
                ) from None
        self._check(arguments, process.returncode, expect, out + err)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def look(self, *arguments: str, cwd: Path | str | None = None, expect: int | None = 0) -> str:
        """Return the output of a command that only shows something; raises CommandFailed like `run`.

        It runs in this process where it can: who waits for something looks often, and a process for each look would
        take the processors from what is waited for.
        """
        if tuple(self.command) != _OWN_COMMAND:
            return self.run(*arguments, cwd=cwd, expect=expect).stdout
        out, err = io.StringIO(), io.StringIO()
        console = Console("--json" in arguments, out, err, self.env, Path(cwd or self.folder))
        code = run(console, [*arguments])
        if code == INTERRUPTED:
            raise KeyboardInterrupt  # the command took what was meant for the tests
        self._check(arguments, code, expect, out.getvalue() + err.getvalue())
        return out.getvalue()

    def json(self, *arguments: str, cwd: Path | str | None = None) -> Any:
        """Return the output of `orchestune ARGUMENTS --json`; see `look` and `LOOKS`."""
        show = self.look if arguments[0] in READING_COMMANDS else lambda *words, cwd: self.run(*words, cwd=cwd).stdout
        return json.loads(show(*arguments, "--json", cwd=cwd))

    def _check(self, arguments: Sequence[str], code: int, expect: int | None, output: str) -> None:
        if expect is not None and code != expect:
            report = f"exit {code}, not {expect}\n{output}\n{self.server_log()}"
            raise CommandFailed(f"orchestune {' '.join(arguments)}: {report}")

    def server_log(self) -> str:
        """The end of each log in the state folder."""
        logs = sorted(self.folder.glob("*.log")) + sorted(self.folder.glob("logs/*.log"))
        return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-4000:]}" for log in logs)

    def processes(self) -> dict[int, str]:
        """Every process that belongs to this state folder, by its environment, arguments or current folder."""
        arguments_by_pid, mark = {}, os.fsencode(str(self.folder))
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal() or int(entry.name) == os.getpid():
                continue
            try:
                arguments = (entry / "cmdline").read_bytes()
                content = arguments + (entry / "environ").read_bytes() + os.fsencode(os.readlink(entry / "cwd"))
            except OSError:  # it ended meanwhile, or is another user's
                continue
            if mark in content:
                arguments_by_pid[int(entry.name)] = arguments.replace(b"\0", b" ").decode(errors="replace").strip()
        return arguments_by_pid

    def close(self) -> None:
        """End what still runs, politely and then by force, and remove the folder. Idempotent."""
        for number, timeout in ((signal.SIGTERM, 15.0), (signal.SIGKILL, 15.0)):
            deadline = time.monotonic() + timeout
            for pid in self.processes():
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    continue
            while self.processes() and time.monotonic() < deadline:
                time.sleep(0.05)
        shutil.rmtree(self.folder, ignore_errors=True)
