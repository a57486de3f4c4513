"""`preload`: a process that has imported the trials' modules once and is forked to run each of them."""

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
from orchestune.worker.processes.tree import MARK
from orchestune.worker.processes.umask import for_command

PATIENCE = 600.0
"""timeout for the imports, in seconds"""
ANSWER_WITHIN = 5.0
MOST_DEATHS = 3
"""unexpected exits after which a worker stops preloading"""
_ROOM = 36
"""bytes reserved for an attempt's id in the initial environment, which each fork overwrites"""
_HEAD = struct.Struct("=I")
_BOOT = (
    "import os,sys;known={name.partition('.')[0] for name in sys.modules};own={'__name__':'orchestune_preload'};"
    "exec(os.fdopen(int(sys.argv[1]),'rb').read(),own);"
    "own['run'](own['serve'](int(sys.argv[2]),sys.argv[3:],known))"
)
_PYTHON = re.compile(r"python(\d(\.\d+)?)?")
_ALONE = frozenset("bBdEIOPqsSuv")
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
            return "the command needs a shell; write it without shell syntax, as `python train.py {args}`"
        return f"the command is {os.path.basename(arguments[0])!r}, and not Python with a script"
    options: list[str] = []
    rest = list(arguments[1:])
    while rest and rest[0].startswith("-") and rest[0] != "-":
        option = rest.pop(0)
        if option in ("-W", "-X") and rest:
            options += [option, rest.pop(0)]
        elif option[:2] in ("-W", "-X") or set(option[1:]) <= _ALONE:
            options.append(option)
        elif option == "-m" and rest:
            return PythonProgram(arguments[0], tuple(options), None, rest[0], tuple(rest[1:]))
        else:
            return f"the command gives Python the option {option}, and not a script"
    if not rest or rest[0] == "-":
        return "the command gives Python no script"
    return PythonProgram(arguments[0], tuple(options), rest[0], None, tuple(rest[1:]))


class PreloadFailed(Exception):
    """The process with preloaded modules is unusable."""


class Zygote:
    """One process with preloaded modules. Call `start` and `become` in the loop's thread, `wait` in other threads."""

    def __init__(self, python: str, options: Sequence[str], modules: Sequence[str]) -> None:
        self._command = [python, *options]
        self._modules = list(modules)
        self._control: socket.socket | None = None
        self._one_waits = threading.Lock()
        self.pid = 0
        self.ready = False
        """the imports have finished or failed"""
        self.error = ""
        """reason why the process is unusable; empty if it is usable"""

    def start(self, environment: Mapping[bytes, bytes], folder: str) -> None:
        """Start the process, which begins to import. Raises OSError."""
        text = pkgutil.get_data("orchestune.worker.processes", "zygote.py") or b""
        control, theirs = socket.socketpair()
        reading, writing = os.pipe()
        is_started = False
        try:
            with for_command():
                process = subprocess.Popen(
                    [*self._command, "-c", _BOOT, str(reading), str(theirs.fileno()), *self._modules],
                    stdin=subprocess.DEVNULL,
                    cwd=folder,
                    env={**environment, MARK.encode(): b"0" * _ROOM},
                    pass_fds=(reading, theirs.fileno()),
                    start_new_session=True,
                )
            is_started = True
        finally:
            theirs.close()
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

    def wait(self, wanted: Callable[[], bool]) -> None:
        """Block until the process is ready or `wanted` returns False."""
        until = time.monotonic() + PATIENCE
        while wanted() and not self.ready:
            if not self._one_waits.acquire(timeout=0.1):
                continue
            try:
                if not self.ready:
                    self._listen(until)
            finally:
                self._one_waits.release()

    def become(self, found: PythonProgram, command: TrialCommand) -> int:
        """Fork the process to run a program. Return the pid, now a child of this worker. Raises Broken."""
        if self._control is None:
            raise PreloadFailed("it was given up")
        document = {
            "argv": [*self._command, *(["-m", found.module] if found.script is None else [found.script]), *found.rest],
            "script": found.script,
            "module": found.module,
            "rest": found.rest,
            "env": {name.decode("latin-1"): value.decode("latin-1") for name, value in command.environment.items()},
            "cwd": command.folder,
            "cores": sorted(command.cores),
        }
        data = json.dumps(document).encode("ascii")
        data = _HEAD.pack(len(data)) + data
        waiting, go = os.pipe()
        try:
            self._control.settimeout(ANSWER_WITHIN)
            passed = array.array("i", [*command.files, waiting])
            sent = self._control.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, passed)])
            self._control.sendall(data[sent:])
            answer = self._hear()
            if "pid" not in answer:
                raise PreloadFailed(str(answer.get("error")))
            os.write(go, b"g")
            return int(answer["pid"])
        except OSError as exc:
            raise PreloadFailed(f"it does not answer: {exc}") from exc
        finally:
            os.close(waiting)
            os.close(go)

    def end(self) -> None:
        """Kill the process. Programs forked from it keep running."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self.pid:
            tree.kill_group(self.pid, signal.SIGKILL)

    def _listen(self, until: float) -> None:
        control = self._control
        if control is None:
            self.error, self.ready = "it was given up", True
            return
        try:
            if select.select([control], [], [], 0.1)[0]:
                control.settimeout(ANSWER_WITHIN)
                self.error = str(self._hear().get("error") or "")
            elif time.monotonic() < until:
                return
            else:
                self.error = f"importing takes longer than {PATIENCE:g}s"
        except (PreloadFailed, OSError, ValueError):  # ValueError: `end` closed the socket meanwhile
            self.error = "the process that imports has ended; its last words are in the worker's log"
        self.ready = True

    def _hear(self) -> dict[str, Any]:
        if self._control is None:
            raise PreloadFailed("it was given up")
        data = b""
        while len(data) < _HEAD.size or len(data) < _HEAD.size + _HEAD.unpack_from(data)[0]:
            part = self._control.recv(1 << 16)
            if not part:
                raise PreloadFailed("it has ended")
            data += part
        answer: dict[str, Any] = json.loads(data[_HEAD.size :].decode("ascii"))
        return answer


class Preloader:
    """The preloaded processes of this worker, one per job revision, Python interpreter and options."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._zygotes: dict[tuple[int, str, tuple[str, ...]], Zygote] = {}
        self._deaths = 0
        self._said: set[str] = set()

    @property
    def pids(self) -> set[int]:
        """Pids of the preloaded processes, which are children of the worker but belong to no attempt."""
        return {zygote.pid for zygote in self._zygotes.values() if zygote.pid}

    def zygote(self, job: PreparedJob, arguments: Sequence[str]) -> Zygote | str:
        """Return the process for a command, starting it if needed; the reason as text if preloading is impossible."""
        found = program(arguments)
        if isinstance(found, str):
            return found
        if not become_subreaper():
            return "only Linux hands on processes whose parent has ended"
        key = (job.revision, found.python, found.options)
        zygote = self._zygotes.get(key)
        if zygote is not None:
            return zygote.error or zygote
        if self._deaths >= MOST_DEATHS:
            return f"the process that imports has died {self._deaths} times"
        if any(job.revision < revision for revision, *_ in self._zygotes):
            return "it goes on with older code, and what is imported is for the newer one"
        self._forget(lambda other: other[0] != job.revision)
        zygote = Zygote(found.python, found.options, job.preload)
        try:
            zygote.start(job.environment, self._folder)
        except OSError as exc:
            return f"{found.python} cannot be started: {exc.strerror}"
        self._zygotes[key] = zygote
        return zygote

    def lost(self, zygote: Zygote, reason: object) -> None:
        """Drop an unusable process. The next trial starts a new one, unless MOST_DEATHS were lost."""
        if zygote in self._zygotes.values():
            self._deaths += 1
            say(f"the process with preloaded modules is lost: {reason}")
            self._forget(lambda key: self._zygotes[key] is zygote)

    def ended(self, pid: int) -> None:
        """Handle a reaped child of the worker; other pids are ignored."""
        for zygote in list(self._zygotes.values()):
            if zygote.pid == pid:
                zygote.pid = 0
                if zygote.ready and not zygote.error:  # otherwise `wait` reports the reason
                    self.lost(zygote, "it has ended")

    def first_time(self, text: str) -> bool:
        """Return True on the first call with this text."""
        new = text not in self._said
        self._said.add(text)
        return new

    def end(self) -> None:
        """Kill all processes, at shutdown of the worker."""
        self._forget(lambda key: True)

    def _forget(self, which: Callable[[tuple[int, str, tuple[str, ...]]], bool]) -> None:
        for key in [key for key in self._zygotes if which(key)]:
            self._zygotes.pop(key).end()
