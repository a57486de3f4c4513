"""An interactive trial: a shell or another command whose terminal the server relays to the user.

The worker starts this instead of the trial's command, in its folder, with its variables. `ORCHESTUNE_TERMINAL` holds
JSON: `words` (the command; empty: a shell; `{run}` among them: the trial's own command), `tty` (if the user's end is a
terminal), `size` (rows and columns), `variables` (which override the trial's).
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from orchestune.worker.connection.api import ApiError, ServerConnection, ServerEndpoint, call_with_retries
from orchestune.worker.job import TERMINAL_VARIABLE
from orchestune.worker.processes.tree import ATTEMPT_VARIABLE
from orchestune.worker.settings import FILE_VARIABLE, load

RUN = "{run}"
POLL_SECONDS = 10.0
_BLOCK_BYTES = 1 << 15
_EXIT_NOT_FOUND = 127


def main(command: Sequence[str]) -> int:
    """Run the terminal until its command exits. Return the exit code. `command` is the trial's own."""
    settings = load(os.environ)
    options = json.loads(os.environ[TERMINAL_VARIABLE])
    hidden_variables = (TERMINAL_VARIABLE, FILE_VARIABLE)
    environ = {name: value for name, value in os.environ.items() if name not in hidden_variables}
    environ.update(options["variables"])
    words = [part for word in options["words"] for part in (command if word == RUN else [word])]
    server = ServerEndpoint(settings.url, settings.endpoint, settings.token, settings.worker)
    user = _UserTerminal(server, os.environ[ATTEMPT_VARIABLE])
    words = words or _shell(environ)
    if not words or shutil.which(words[0], path=environ.get("PATH")) is None:
        user.say(f"orchestune: {words[0]} was not found in PATH\n" if words else "orchestune: no shell was found\n")
        return user.end(_EXIT_NOT_FOUND)
    child = _start_on_pty(words, environ, options["size"]) if options["tty"] else _start_on_pipes(words, environ)
    threading.Thread(target=user.type_into, args=(child, options["size"]), daemon=True).start()
    user.show(child)
    return user.end(child.wait())


def _shell(environ: Mapping[str, str]) -> list[str]:
    for name in (environ.get("SHELL"), "bash", "sh"):
        path = shutil.which(name, path=environ.get("PATH")) if name else None
        if path:
            return [path]
    return []


class _Command:
    """The running command: read its output from `output`, write the user's input to `input`."""

    def __init__(self, pid: int, output: int, input: int) -> None:
        self.pid, self.output, self.input = pid, output, input

    def wait(self) -> int:
        """Wait for the command and return its exit code."""
        _, status = os.waitpid(self.pid, 0)
        return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)

    def resize(self, size: Sequence[int]) -> None:
        """Set the size of the terminal, if there is one."""
        if self.output == self.input:
            fcntl.ioctl(self.input, termios.TIOCSWINSZ, struct.pack("HHHH", size[0], size[1], 0, 0))

    def hang_up(self) -> None:
        """Send SIGHUP, because the user has disconnected."""
        try:
            os.killpg(self.pid, signal.SIGHUP)
            os.killpg(self.pid, signal.SIGCONT)
        except ProcessLookupError:
            pass


def _start_on_pty(words: Sequence[str], environ: Mapping[str, str], size: Sequence[int]) -> _Command:
    pid, master = os.forkpty()
    if pid == 0:
        try:
            os.execvpe(words[0], list(words), dict(environ))
        finally:
            os._exit(_EXIT_NOT_FOUND)
    child = _Command(pid, master, master)
    child.resize(size)
    return child


def _start_on_pipes(words: Sequence[str], environ: Mapping[str, str]) -> _Command:
    process = subprocess.Popen(
        list(words), env=dict(environ), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True, bufsize=0,
    )  # fmt: skip
    assert process.stdout is not None and process.stdin is not None
    child = _Command(process.pid, os.dup(process.stdout.fileno()), os.dup(process.stdin.fileno()))
    process.stdout.close()
    process.stdin.close()
    process.returncode = 0  # reaped by its pid
    return child


class _UserTerminal:
    """The user's end of the terminal, reached through the server."""

    def __init__(self, server: ServerEndpoint, attempt: str) -> None:
        self._server, self._attempt = server, attempt
        self._path = server.path("terminal")
        self._printed = 0
        self._out = ServerConnection(server, 30.0)

    def say(self, text: str) -> None:
        """Print a text on the user's terminal."""
        self._send(text.encode())

    def show(self, child: _Command) -> None:
        """Relay the command's output until it ends."""
        while True:
            try:
                data = os.read(child.output, _BLOCK_BYTES)
            except OSError:  # the last process has closed the terminal
                return
            if not data:
                return
            self._send(data)

    def end(self, code: int) -> int:
        """Report the exit code and return it."""
        self._call(self._out, over=code)
        return code

    def type_into(self, child: _Command, size: Sequence[int]) -> None:
        """Relay input, in a thread of its own, until the user disconnects."""
        connection, position = ServerConnection(self._server, 30.0), 0
        while True:
            response = self._call(connection, after=position, wait=POLL_SECONDS, size=size)
            if response["size"] is not None and response["size"] != size:
                size = response["size"]
                child.resize(size)
            data, position = base64.b64decode(response["data"]), response["next"]
            try:
                while data:
                    data = data[os.write(child.input, data) :]
            except OSError:
                return
            if response["over"] is not None:
                if child.input == child.output:
                    child.hang_up()
                else:
                    os.close(child.input)
                return

    def _send(self, data: bytes) -> None:
        while data:
            response = self._call(self._out, data=base64.b64encode(data).decode(), at=self._printed, wait=POLL_SECONDS)
            received = response["next"] - self._printed
            self._printed, data = response["next"], data[received:]

    def _call(self, connection: ServerConnection, **body: Any) -> Any:
        try:
            return call_with_retries(connection, "PUT", self._path, {"attempt": self._attempt, **body})
        except ApiError as exc:  # the experiment is gone, and its user with it
            print(f"orchestune: {exc}", file=sys.stderr, flush=True)
            os._exit(1)
