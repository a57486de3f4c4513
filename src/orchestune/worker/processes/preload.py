"""`preload`: processes that have imported the trials' modules once and are forked to run each trial (*zygotes*).

An import of a large library takes seconds; a fork takes milliseconds. The zygote runs `zygote.py` on the Python of the
user's command. This module is the worker's end: it starts zygotes, waits for their imports and requests forks.

Protocol, over a socket pair: messages are JSON after four bytes of length. The zygote sends `{"ready"}` or `{"error"}`
after its imports. A request carries three descriptors: the program's stdin, its output, and the reading end of a pipe.
The response is the pid of the fork, which the kernel has reparented to this worker, a child subreaper. The fork waits
until the worker writes a byte to the pipe; so the worker has the pid before the program can exit or be signalled. If
the pipe closes without a byte, because the worker gave up, the fork exits.

Invariants and races:

- One zygote per job revision, interpreter and options. A newer revision replaces the zygotes of older ones, and
  attempts of an older revision are then executed without one.
- Imports may take minutes, so they are awaited in pool threads, one of which reads the socket at a time (`_wait_lock`);
  forks are requested in the loop's thread, and only once `ready` is set.
- `shut_down` may close the socket while a thread waits on it: that thread gets a ValueError or OSError.
- The loop reaps all children. An exit of a zygote before its imports finished is reported by `wait`, a later one by
  `handle_exit`. After MAX_EXITS unexpected exits the worker stops preloading, as trials without it are slower, but run.
- Preloading is only an optimization: if anything prevents it, the command is executed as usual and the log says why.
"""

from __future__ import annotations

import array
import json
import os
import pkgutil
import re
import select
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from orchestune.worker.job import PreparedJob
from orchestune.worker.journal import say
from orchestune.worker.processes import tree
from orchestune.worker.processes.guard import become_subreaper
from orchestune.worker.processes.spawn import TrialCommand
from orchestune.worker.processes.tree import ATTEMPT_VARIABLE
from orchestune.worker.processes.umask import for_command

IMPORT_TIMEOUT_SECONDS = 600.0
"""timeout of the imports"""
RESPONSE_TIMEOUT_SECONDS = 5.0
MAX_EXITS = 3
"""unexpected exits after which a worker stops preloading"""
_ATTEMPT_ID_BYTES = 36
"""bytes reserved for an attempt's id in the initial environment, which each fork overwrites"""
_HEAD = struct.Struct("=I")
_BOOT = (
    "import os,sys;known={name.partition('.')[0] for name in sys.modules};own={'__name__':'orchestune_preload'};"
    "exec(os.fdopen(int(sys.argv[1]),'rb').read(),own);"
    "own['run'](own['serve'](int(sys.argv[2]),sys.argv[3:],known))"
)
_PYTHON = re.compile(r"python(\d(\.\d+)?)?")
_FLAGS = frozenset("bBdEIOPqsSuv")
"""one-letter options of Python without an argument"""


class PythonProgram(NamedTuple):
    """A parsed Python command: the interpreter and its options, and the script or module with its arguments."""

    python: str
    options: tuple[str, ...]
    script: str | None
    """None if `module` is run"""
    module: str | None
    rest: tuple[str, ...]


def program(arguments: Sequence[str]) -> PythonProgram | str:
    """Parse a Python command. Return the reason as text if it is not one."""
    if not _PYTHON.fullmatch(os.path.basename(arguments[0])):
        if os.path.basename(arguments[0]) == "sh" and list(arguments[1:2]) == ["-c"]:
            return "the command needs a shell; write it without shell syntax, such as `python train.py {args}`"
        return f"the command is {os.path.basename(arguments[0])!r} (expected Python with a script or module)"
    options: list[str] = []
    rest = list(arguments[1:])
    while rest and rest[0].startswith("-") and rest[0] != "-":
        option = rest.pop(0)
        if option in ("-W", "-X") and rest:
            options += [option, rest.pop(0)]
        elif option[:2] in ("-W", "-X") or set(option[1:]) <= _FLAGS:
            options.append(option)
        elif option == "-m" and rest:
            return PythonProgram(arguments[0], tuple(options), None, rest[0], tuple(rest[1:]))
        else:
            return f"the command passes {option} to Python (expected a script or `-m MODULE`)"
    if not rest or rest[0] == "-":
        return "the command passes no script to Python (expected a script or `-m MODULE`)"
    return PythonProgram(arguments[0], tuple(options), rest[0], None, tuple(rest[1:]))


class PreloadFailed(Exception):
    """The process with preloaded modules is unusable."""


class Zygote:
    """One process with preloaded modules. Call `start` and `fork` in the loop's thread, `wait` in other threads."""

    def __init__(self, python: str, options: Sequence[str], modules: Sequence[str]) -> None:
        self._command = [python, *options]
        self._modules = list(modules)
        self._control: socket.socket | None = None
        self._wait_lock = threading.Lock()
        self.pid = 0
        self.ready = False
        """the imports have finished or failed"""
        self.error = ""
        """reason why the process is unusable; empty if it is usable"""

    def start(self, environment: Mapping[bytes, bytes], folder: str) -> None:
        """Start the process, which begins to import. Raises OSError."""
        text = pkgutil.get_data("orchestune.worker.processes", "zygote.py") or b""
        control, remote = socket.socketpair()
        reading, writing = os.pipe()
        is_started = False
        try:
            with for_command():
                process = subprocess.Popen(
                    [*self._command, "-c", _BOOT, str(reading), str(remote.fileno()), *self._modules],
                    stdin=subprocess.DEVNULL,
                    cwd=folder,
                    env={**environment, ATTEMPT_VARIABLE.encode(): b"0" * _ATTEMPT_ID_BYTES},
                    pass_fds=(reading, remote.fileno()),
                    start_new_session=True,
                )
            is_started = True
        finally:
            remote.close()
            os.close(reading)
            if not is_started:
                control.close()
                os.close(writing)
        process.returncode = 0  # the loop reaps all children
        self.pid, self._control = process.pid, control
        try:
            with os.fdopen(writing, "wb") as file:
                file.write(text)
        except OSError:
            pass  # it has exited: `wait` reports that

    def wait(self, is_wanted: Callable[[], bool]) -> None:
        """Block deadline the process is ready or `is_wanted` returns False."""
        deadline = time.monotonic() + IMPORT_TIMEOUT_SECONDS
        while is_wanted() and not self.ready:
            if not self._wait_lock.acquire(timeout=0.1):
                continue
            try:
                if not self.ready:
                    self._wait_once(deadline)
            finally:
                self._wait_lock.release()

    def fork(self, python_program: PythonProgram, command: TrialCommand) -> int:
        """Fork the process to run a program. Return the pid, now a child of this worker. Raises PreloadFailed."""
        if self._control is None:
            raise PreloadFailed("it was shut down")
        document = {
            "argv": [
                *self._command,
                *(["-m", python_program.module] if python_program.script is None else [python_program.script]),
                *python_program.rest,
            ],
            "script": python_program.script,
            "module": python_program.module,
            "rest": python_program.rest,
            "env": {name.decode("latin-1"): value.decode("latin-1") for name, value in command.environment.items()},
            "cwd": command.folder,
            "cores": sorted(command.cores),
        }
        data = json.dumps(document).encode("ascii")
        data = _HEAD.pack(len(data)) + data
        go_reader, go_writer = os.pipe()
        try:
            self._control.settimeout(RESPONSE_TIMEOUT_SECONDS)
            descriptors = array.array("i", [*command.files, go_reader])
            sent = self._control.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
            self._control.sendall(data[sent:])
            response = self._receive()
            if "pid" not in response:
                raise PreloadFailed(str(response.get("error")))
            os.write(go_writer, b"g")
            return int(response["pid"])
        except OSError as exc:
            raise PreloadFailed(f"it does not respond: {exc}") from exc
        finally:
            os.close(go_reader)
            os.close(go_writer)

    def shut_down(self) -> None:
        """Kill the process. Programs forked from it keep running."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self.pid:
            tree.kill_group(self.pid, signal.SIGKILL)

    def _wait_once(self, deadline: float) -> None:
        control = self._control
        if control is None:
            self.error, self.ready = "it was shut down", True
            return
        try:
            if select.select([control], [], [], 0.1)[0]:
                control.settimeout(RESPONSE_TIMEOUT_SECONDS)
                self.error = str(self._receive().get("error") or "")
            elif time.monotonic() < deadline:
                return
            else:
                self.error = f"the imports took longer than {IMPORT_TIMEOUT_SECONDS:g}s"
        except (PreloadFailed, OSError, ValueError):  # ValueError: `shut_down` closed the socket meanwhile
            self.error = "the process that imports the modules has exited; its output is in the worker's log"
        self.ready = True

    def _receive(self) -> dict[str, Any]:
        if self._control is None:
            raise PreloadFailed("it was shut down")
        data = b""
        while len(data) < _HEAD.size or len(data) < _HEAD.size + _HEAD.unpack_from(data)[0]:
            part = self._control.recv(1 << 16)
            if not part:
                raise PreloadFailed("it has exited")
            data += part
        response: dict[str, Any] = json.loads(data[_HEAD.size :].decode("ascii"))
        return response


class Preloader:
    """The preloaded processes of this worker, one per job revision, Python interpreter and options."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._zygotes: dict[tuple[int, str, tuple[str, ...]], Zygote] = {}
        self._exits = 0
        self._logged: set[str] = set()

    @property
    def pids(self) -> set[int]:
        """Pids of the preloaded processes, which are children of the worker but belong to no attempt."""
        return {zygote.pid for zygote in self._zygotes.values() if zygote.pid}

    def zygote(self, job: PreparedJob, arguments: Sequence[str]) -> Zygote | str:
        """Return the process for a command, starting it if needed; the reason as text if preloading is impossible."""
        python_program = program(arguments)
        if isinstance(python_program, str):
            return python_program
        if not become_subreaper():
            return "it requires Linux, where orphaned processes are reparented to the worker"
        key = (job.revision, python_program.python, python_program.options)
        zygote = self._zygotes.get(key)
        if zygote is not None:
            return zygote.error or zygote
        if self._exits >= MAX_EXITS:
            return f"the process that imports the modules has exited unexpectedly {self._exits} times"
        if any(job.revision < revision for revision, *_ in self._zygotes):
            return "this attempt runs older code, and the modules are preloaded for a newer revision"
        self._forget(lambda other: other[0] != job.revision)
        zygote = Zygote(python_program.python, python_program.options, job.preload)
        try:
            zygote.start(job.environment, self._folder)
        except OSError as exc:
            return f"{python_program.python} cannot be started: {exc.strerror}"
        self._zygotes[key] = zygote
        return zygote

    def drop_failed(self, zygote: Zygote, reason: object) -> None:
        """Drop an unusable process. The next trial starts a new one, unless MAX_EXITS were dropped."""
        if zygote in self._zygotes.values():
            self._exits += 1
            say(f"the process with preloaded modules is lost: {reason}")
            self._forget(lambda key: self._zygotes[key] is zygote)

    def handle_exit(self, pid: int) -> None:
        """Handle a reaped child of the worker; other pids are ignored."""
        for zygote in list(self._zygotes.values()):
            if zygote.pid == pid:
                zygote.pid = 0
                if zygote.ready and not zygote.error:  # otherwise `wait` reports the reason
                    self.drop_failed(zygote, "it has exited")

    def is_first_time(self, text: str) -> bool:
        """Return True on the first call with this text."""
        is_new = text not in self._logged
        self._logged.add(text)
        return is_new

    def shut_down(self) -> None:
        """Kill all processes, at shutdown of the worker."""
        self._forget(lambda key: True)

    def _forget(self, which: Callable[[tuple[int, str, tuple[str, ...]]], bool]) -> None:
        for key in [key for key in self._zygotes if which(key)]:
            self._zygotes.pop(key).shut_down()
