"""The zygote: imports modules once, then forks for each program that is to run with them.

This is a standalone program: `preload.py`, which describes the protocol, sends its source to the Python of the user's
command, in which Orchestune need not be installed. It imports nothing else of this package.

Each request forks twice. The middle process exits at once, so the kernel reparents the grandchild to the nearest
subreaper, the worker, which then owns it like any other trial. The grandchild gets a session of its own and must behave
as if the command had been executed: arguments, environment, folder, `sys.path`, `__main__`, tracebacks, exit codes. If
that is impossible, the command is executed instead.

Invariants and races:

- The zygote has no other threads and no GPU context, since a fork inherits neither. `_reason_not_to_fork` checks that
  once, after a first fork, because some libraries stop their threads in fork handlers.
- The grandchild reports its pid through a pipe and then waits for a byte of the worker. It does nothing visible before,
  so a worker that gives up, or dies, never has a program running that it does not know.
- The worker finds the processes of an attempt by the *initial* environment in /proc/PID/environ, which a fork inherits
  from the zygote. `_write_attempt_id` overwrites the id there; the zygote is started with a dummy id of equal length.
- A module of the project with the name of a loaded module would have been imported instead of it; `_shadowed` detects
  that.
"""

from __future__ import annotations

import array
import gc
import json
import os
import signal
import socket
import struct
import sys
import threading
import types
import warnings
from collections.abc import Callable
from typing import Any

MARK = b"ORCHESTUNE_ATTEMPT_ID="
EXIT_FAILED = 127
_HEAD = struct.Struct("=I")


def serve(descriptor: int, modules: list[str], builtin_modules: set[str]) -> dict[str, Any]:
    """Import the modules, report the outcome and serve requests until the worker closes the socket.

    Returns only in the forked processes, with the request. `builtin_modules` are those that Python loads by itself.
    """
    control = socket.socket(fileno=descriptor)
    control.set_inheritable(False)
    if sys.path and not sys.path[0]:
        del sys.path[0]  # added by `-c`, but not for other programs
    error = _load(modules) or _reason_not_to_fork()
    _send(control, {"error": error} if error else {"ready": os.getpid()})
    if error:
        os._exit(EXIT_FAILED)
    loaded = sorted({name.partition(".")[0] for name in sys.modules} - builtin_modules)
    while True:
        message = _receive(control)
        if message is None:
            os._exit(0)
        request, descriptors = message
        reading, writing = os.pipe()
        child = _fork()
        if child == 0:
            os.close(reading)
            if _fork() != 0:
                os._exit(0)  # reparents the grandchild to the subreaper
            os.setsid()
            os.write(writing, _HEAD.pack(os.getpid()))
            os.close(writing)
            control.close()
            _set_up(request, descriptors)
            return {**request, "loaded": loaded}
        os.close(writing)
        for each in descriptors:
            os.close(each)
        if child > 0:
            os.waitpid(child, 0)
        data = os.read(reading, _HEAD.size)
        os.close(reading)
        _send(control, {"pid": _HEAD.unpack(data)[0]} if len(data) == _HEAD.size else {"error": "it cannot fork"})


def _load(modules: list[str]) -> str:
    """Import the modules and prepare for forks. Return the reason of a failure, empty if there is none."""
    for name in modules:
        try:
            __import__(name)
        except BaseException as exc:  # noqa: BLE001 - a module may raise anything
            return f"{name} cannot be imported: {type(exc).__name__}: {exc}"
    gc.collect()
    gc.freeze()
    pid = _fork()  # libraries with fork handlers stop their threads at the first fork
    if pid == 0:
        os._exit(0)
    if pid < 0:
        return "it cannot fork: too many processes, or not enough memory"
    os.waitpid(pid, 0)
    return ""


def _reason_not_to_fork() -> str:
    """Return why forks of this process would not work, empty if they would."""
    names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if names:
        return f"importing starts threads ({', '.join(sorted(names))}), which a fork does not inherit"
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if target.startswith(("/dev/nvidia", "/dev/kfd", "/dev/dri/")):
            return f"importing uses a GPU ({target}), which a fork cannot use"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return "importing initializes CUDA, which a fork cannot use"
    threads = len(os.listdir("/proc/self/task")) - 1
    return f"importing starts {threads} threads of a library, which a fork does not inherit" if threads else ""


def _fork() -> int:
    """Fork, and return -1 if the system refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about threads, which `_reason_not_to_fork` has checked
        try:
            return os.fork()
        except OSError:
            return -1


def _set_up(request: dict[str, Any], descriptors: list[int]) -> None:
    """In the forked process: set up descriptors, environment, cores, folder and random seeds for the program."""
    stdin, output, go_reader = descriptors
    if os.read(go_reader, 1) != b"g":
        os._exit(EXIT_FAILED)  # the worker gave up on this process
    os.dup2(stdin, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for descriptor in descriptors:
        if descriptor > 2:
            os.close(descriptor)
    environment = {name.encode("latin-1"): value.encode("latin-1") for name, value in request["env"].items()}
    _write_attempt_id(environment.get(MARK[:-1], b""))
    os.environb.clear()
    os.environb.update(environment)
    if request["cores"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, request["cores"])
    try:
        os.chdir(request["cwd"])
    except OSError as exc:
        sys.stderr.write(f"orchestune: {exc}\n")
        os._exit(EXIT_FAILED)
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:
        numpy.seed()  # `random` reseeds itself after a fork; NumPy would start with the same state everywhere


def _write_attempt_id(attempt: bytes) -> None:
    """Write the attempt's id into the initial environment of this process, where the worker looks for it."""
    try:
        with open("/proc/self/environ", "rb") as file:
            data = b"\0" + file.read()
        place = data.find(b"\0" + MARK)
        room = data.find(b"\0", place + 1) - place - 1
        if place < 0 or len(MARK + attempt) > room:
            return
        with open("/proc/self/stat", "rb") as file:
            start = int(file.read().rpartition(b")")[2].split()[47])
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(start + place)
            memory.write((MARK + attempt).ljust(room, b"\0"))
    except (OSError, ValueError, IndexError):
        pass  # the session identifies it too, except for processes that leave it


def run(request: dict[str, Any]) -> None:
    """Run the program. Ends with SystemExit, or executes the command if it would behave differently here."""
    script, rest = request["script"], list(request["rest"])
    folder = os.getcwd() if script is None else os.path.dirname(os.path.realpath(script))
    reason = _shadowed(folder, request["loaded"])
    if reason:
        sys.stderr.write(f"orchestune: preload has no effect, {reason}\n")
        sys.stderr.flush()
    if reason or not (script is None or os.path.isfile(script)):
        os.execve(request["argv"][0], request["argv"], os.environ)
    if hasattr(sys, "orig_argv"):
        setattr(sys, "orig_argv", list(request["argv"]))  # noqa: B010 - later than Python 3.8
    program = types.ModuleType("__main__")
    program.__dict__.update(__builtins__=sys.modules["builtins"])
    if sys.version_info < (3, 14):  # later versions create them lazily
        program.__dict__.update(__annotations__={})
    sys.modules["__main__"] = program
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        sys.path.insert(0, folder)
    sys.argv = [script or "-m", *rest]
    if script is None:
        _run_module(str(request["module"]))
    else:
        _run_file(script, program)


def _shadowed(folder: str, loaded: list[str]) -> str:
    """Return the reason if a module beside the program would have shadowed one that is loaded, otherwise empty."""
    try:
        entries = os.listdir(folder)  # one call; there are hundreds of loaded modules
    except OSError:  # Python could import nothing from it either
        return ""
    for name in sorted({entry[:-3] if entry.endswith(".py") else entry for entry in entries}.intersection(loaded)):
        path = os.path.join(folder, name)
        if os.path.isfile(f"{path}.py") or os.path.isfile(os.path.join(path, "__init__.py")):
            return f"the project has a module {name} of its own"
    return ""


def _run_module(name: str) -> None:
    import runpy  # late, so that it is not preloaded for every program

    as_main: Callable[[str], object] = getattr(runpy, "_run_module_as_main")  # noqa: B009 - what `-m` does itself
    _end(lambda: as_main(name))


def _run_file(script: str, program: types.ModuleType) -> None:
    from importlib.machinery import SourceFileLoader

    path = os.path.join(os.getcwd(), script) if sys.version_info >= (3, 9) else script
    program.__dict__.update(__file__=path, __cached__=None, __loader__=SourceFileLoader("__main__", path))

    def execute() -> None:
        with open(path, "rb") as file:
            code = compile(file.read(), path, "exec", dont_inherit=True)
        exec(code, program.__dict__)

    _end(execute)


def _end(work: Callable[[], object]) -> None:
    """Run `work` and exit as a program does. Frames of this module are removed from a traceback."""
    with _Program():
        work()


class _Program:
    """The block ends the process on an exception as the interpreter does."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        if value is None or isinstance(value, SystemExit):
            return
        while trace is not None and trace.tb_frame.f_globals is globals():
            trace = trace.tb_next
        value = value.with_traceback(trace)
        sys.last_type, sys.last_value, sys.last_traceback = type(value), value, trace
        sys.excepthook(type(value), value, trace)
        if isinstance(value, KeyboardInterrupt):
            sys.stderr.flush()
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        sys.exit(1)


def _send(control: socket.socket, document: dict[str, Any]) -> None:
    data = json.dumps(document).encode("ascii")
    control.sendall(_HEAD.pack(len(data)) + data)


def _receive(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Return the next request and its descriptors; None if the worker closed the socket."""
    descriptors = array.array("i")
    data, ancillary, _, _ = control.recvmsg(1 << 16, socket.CMSG_LEN(3 * descriptors.itemsize))
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    while len(data) < _HEAD.size or len(data) < _HEAD.size + _HEAD.unpack_from(data)[0]:
        part = control.recv(1 << 20)
        if not part:
            return None
        data += part
    return json.loads(data[_HEAD.size :].decode("ascii")), list(descriptors)
