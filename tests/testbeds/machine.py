"""A machine of its own inside this one: own processes, mounts and network, as far apart as Linux namespaces go.

Pulling its plug is one signal: when the first process of a process namespace dies, the kernel ends all the others at
once and takes mounts and network devices along. Nothing that happens inside needs cleaning up outside.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.testbeds.cache import cached_folder
from tests.testbeds.processes import Process, first_child
from tests.testbeds.waiting import until

# SIGCHLD ignored: orphans that end are collected by the kernel
PAUSE = """
#include <signal.h>
#include <unistd.h>
static void end(int number) { (void)number; _exit(0); }
int main(void) {
    signal(SIGCHLD, SIG_IGN);
    signal(SIGTERM, end);
    signal(SIGINT, end);
    for (;;) pause();
}
"""
PRIVATE = ("/run", "/var/lib", "/var/log")  # what programs write to regardless of their settings
# the children of this process, by machine: collected when the machine is switched off
_CHILDREN: defaultdict[Path, list[subprocess.Popen[bytes]]] = defaultdict(list)
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Broken(RuntimeError):
    """A program of the testbed failed; carries what it said."""


def checked(command: Sequence[str | Path], text: str | None = None, **options: object) -> str:
    """Run a command to its end and return what it printed. Broken, with its errors, unless it exits with 0."""
    done = subprocess.run(
        [str(word) for word in command], input=text, capture_output=True, text=True, check=False, **options  # type: ignore[call-overload]
    )  # fmt: skip
    if done.returncode:
        raise Broken(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return str(done.stdout)


def pause_program() -> Path:
    """A static program that waits for a signal to end: a machine's first process, and a pod's."""

    def compile_it(folder: Path) -> None:
        checked(["gcc", "-static", "-O1", "-s", "-x", "c", "-o", folder / "pause", "-"], PAUSE)

    return cached_folder("pause-1", compile_it) / "pause"


class Machine:
    """Namespaces whose first process is remembered in `folder`/NAME.json; the logs of what runs there lie beside."""

    def __init__(self, folder: Path, name: str, *, network: bool = True) -> None:
        self.folder, self.name, self.network = folder, name, network
        self._file = folder / f"{name}.json"

    @property
    def init(self) -> Process | None:
        """The first process; None where the machine was never switched on."""
        return Process.load(self._file)

    @property
    def alive(self) -> bool:
        """Return True if it is switched on."""
        init = self.init
        return init is not None and init.alive()

    def on(self) -> None:
        """Switch it on. What ran there before is gone; what it wrote to disk is there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        pause = pause_program()
        namespaces = ["--mount", "--pid", "--ipc", *(["--net"] if self.network else [])]
        command = ["unshare", *namespaces, "--fork", "--kill-child", "--mount-proc", str(pause)]
        with self.log("unshare").open("wb") as log:
            outer = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
            )
        _CHILDREN[self._file].append(outer)
        inner = until(f"machine {self.name}", lambda: self._first(outer, pause))
        Process.of(inner).save(self._file)
        mounts = " && ".join(f"mount -t tmpfs tmpfs {folder}" for folder in PRIVATE)
        self.run("sh", "-c", f"mount --make-rshared / && {mounts} && mkdir -p /var/log/pods /run/lock")
        if self.network:
            self.run("ip", "link", "set", "lo", "up")

    def _first(self, outer: subprocess.Popen[bytes], pause: Path) -> int | None:
        if outer.poll() is not None:
            raise Broken(
                f"machine {self.name}: unshare exited with {outer.returncode}; it takes root to make namespaces"
            )
        inner = first_child(outer.pid)
        if inner is None or Path(os.readlink(f"/proc/{inner}/exe")) != pause:
            return None
        return inner

    def off(self) -> None:
        """Pull the plug: every process there dies at once, and is gone when this returns. Idempotent."""
        init = self.init
        if init is not None:
            init.end()
        for process in _CHILDREN.pop(self._file, []):
            process.kill()  # where it was switched on by halves, nothing was written down
            process.wait()
        for file in (self._file, *self.folder.glob(f"{self.name}.*.json")):
            file.unlink(missing_ok=True)

    def enter(self, *command: str | Path) -> list[str]:
        """The command line that runs `command` inside."""
        init = self.init
        if init is None or not init.alive():
            raise Broken(f"machine {self.name} is off")
        namespaces = ["--mount", "--pid", "--ipc", *(["--net"] if self.network else [])]
        return ["nsenter", "--target", str(init.pid), *namespaces, "--", *map(str, command)]

    def run(self, *command: str | Path, text: str | None = None) -> str:
        """Run a command inside to its end; what it printed. Broken unless it exits with 0."""
        return checked(self.enter(*command), text, env=_environment({}))

    def log(self, program: str) -> Path:
        """Return the file for a program's output."""
        return self.folder / f"{self.name}.{program}.log"

    def start(self, program: str, command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> Process:
        """Start a program that stays, under a name by which `stop` finds it."""
        with self.log(program).open("ab") as log:
            outer = subprocess.Popen(
                self.enter(*command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/",
                env=_environment(env or {}),
            )  # fmt: skip
        _CHILDREN[self._file].append(outer)

        def child() -> int | None:
            if outer.poll() is not None:
                raise Broken(f"{program} on {self.name} ended at once:\n{self.tail(program)}")
            return first_child(outer.pid)

        inner = until(f"{program} on {self.name}", child)
        process = Process.of(inner)
        process.save(self._pid_file(program))
        return process

    def _pid_file(self, program: str) -> Path:
        return self.folder / f"{self.name}.{program}.json"

    def running(self, program: str) -> bool:
        """Return True if a program that `start` started still runs."""
        process = Process.load(self._pid_file(program))
        return process is not None and process.alive()

    def stop(self, program: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End a program and return when it is gone. Idempotent."""
        process = Process.load(self._pid_file(program))
        if process is not None:
            process.end(number)
            self._pid_file(program).unlink(missing_ok=True)

    def tail(self, program: str, size: int = 3000) -> str:
        """The end of a program's output."""
        try:
            return self.log(program).read_text(errors="replace")[-size:]
        except FileNotFoundError:
            return "(no output)"


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    variables = {name: os.environ[name] for name in ("HOME", "LANG", "TERM") if name in os.environ}
    return {**variables, "PATH": f"{SYSTEM_PATH}:{os.environ.get('PATH', '')}", **more}
