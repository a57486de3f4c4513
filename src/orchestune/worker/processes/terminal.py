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

from orchestune.worker.connection.api import ApiError, ServerConnection, ServerEndpoint, call_patiently
from orchestune.worker.job import TOLD
from orchestune.worker.processes.tree import MARK
from orchestune.worker.settings import FILE_VARIABLE, load

RUN = "{run}"
WAIT = 10.0
_BLOCK = 1 << 15
_NOT_FOUND = 127


def main(command: Sequence[str]) -> int:
    """Run the terminal until its command exits. Return the exit code. `command` is the trial's own."""
    settings = load(os.environ)
    told = json.loads(os.environ[TOLD])
    hidden = (TOLD, FILE_VARIABLE)
    environ = {name: value for name, value in os.environ.items() if name not in hidden}
    environ.update(told["variables"])
    words = [word for given in told["words"] for word in (command if given == RUN else [given])]
    server = ServerEndpoint(settings.url, settings.endpoint, settings.token, settings.worker)
    far = _Far(server, os.environ[MARK])
    words = words or _shell(environ)
    if not words or shutil.which(words[0], path=environ.get("PATH")) is None:
        far.say(f"orchestune: {words[0]} was not found here\n" if words else "orchestune: there is no shell here\n")
        return far.end(_NOT_FOUND)
    near = _on_a_terminal(words, environ, told["size"]) if told["tty"] else _on_pipes(words, environ)
    threading.Thread(target=far.type_into, args=(near, told["size"]), daemon=True).start()
    far.show(near)
    return far.end(near.wait())


def _shell(environ: Mapping[str, str]) -> list[str]:
    for name in (environ.get("SHELL"), "bash", "sh"):
        found = shutil.which(name, path=environ.get("PATH")) if name else None
        if found:
            return [found]
    return []


class _Near:
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


def _on_a_terminal(words: Sequence[str], environ: Mapping[str, str], size: Sequence[int]) -> _Near:
    pid, end = os.forkpty()
    if pid == 0:
        try:
            os.execvpe(words[0], list(words), dict(environ))
        finally:
            os._exit(_NOT_FOUND)
    near = _Near(pid, end, end)
    near.resize(size)
    return near


def _on_pipes(words: Sequence[str], environ: Mapping[str, str]) -> _Near:
    process = subprocess.Popen(
        list(words), env=dict(environ), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True, bufsize=0,
    )  # fmt: skip
    assert process.stdout is not None and process.stdin is not None
    near = _Near(process.pid, os.dup(process.stdout.fileno()), os.dup(process.stdin.fileno()))
    process.stdout.close()
    process.stdin.close()
    process.returncode = 0  # reaped by its pid
    return near


class _Far:
    """The user's end of the terminal, reached through the server."""

    def __init__(self, server: ServerEndpoint, attempt: str) -> None:
        self._server, self._attempt = server, attempt
        self._path = server.path("terminal")
        self._printed = 0
        self._out = ServerConnection(server, 30.0)

    def say(self, text: str) -> None:
        """Print a text on the user's terminal."""
        self._send(text.encode())

    def show(self, near: _Near) -> None:
        """Relay the command's output until it ends."""
        while True:
            try:
                data = os.read(near.output, _BLOCK)
            except OSError:  # the last process has closed the terminal
                return
            if not data:
                return
            self._send(data)

    def end(self, code: int) -> int:
        """Report the exit code and return it."""
        self._call(self._out, over=code)
        return code

    def type_into(self, near: _Near, size: Sequence[int]) -> None:
        """Relay input, in a thread of its own, until the user disconnects."""
        connection, typed = ServerConnection(self._server, 30.0), 0
        while True:
            answer = self._call(connection, after=typed, wait=WAIT, size=size)
            if answer["size"] is not None and answer["size"] != size:
                size = answer["size"]
                near.resize(size)
            data, typed = base64.b64decode(answer["data"]), answer["next"]
            try:
                while data:
                    data = data[os.write(near.input, data) :]
            except OSError:
                return
            if answer["over"] is not None:
                if near.input == near.output:
                    near.hang_up()
                else:
                    os.close(near.input)
                return

    def _send(self, data: bytes) -> None:
        while data:
            answer = self._call(self._out, data=base64.b64encode(data).decode(), at=self._printed, wait=WAIT)
            taken = answer["next"] - self._printed
            self._printed, data = answer["next"], data[taken:]

    def _call(self, connection: ServerConnection, **body: Any) -> Any:
        try:
            return call_patiently(connection, "PUT", self._path, {"attempt": self._attempt, **body})
        except ApiError as exc:  # the experiment is gone, and its user with it
            print(f"orchestune: {exc}", file=sys.stderr, flush=True)
            os._exit(1)
