"""Process control of this backend: start a worker, find its processes, kill them all."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from subprocess import DEVNULL, Popen

from orchestune.backends.shell import FILE_VARIABLE
from orchestune.system.process import Process, has_variable, parent_and_session, pids
from orchestune.worker.processes.tree import WORKER_VARIABLE


def spawn(program: Sequence[str], environ: Mapping[str, str], folder: Path, log: Path) -> Process:
    """Start a worker in its own session, with its output in `log`. Raises OSError."""
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        child = Popen(
            list(program),
            stdin=DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            env=dict(environ),
            start_new_session=True,
        )
    process = Process.of(child.pid)  # exists even if it exited at once: it has not been waited for
    assert process is not None
    child.returncode = 0  # it outlives this program; `exit_code` waits by pid
    return process


def exit_code(process: Process) -> int | None:
    """Return the exit code of a finished process (negative: the signal that killed it), once.

    None if it is running, was waited for, or is not our child, for example after a restart of the server.
    """
    if Process.of(process.pid) != process:
        return None
    try:
        pid, status = os.waitpid(process.pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if pid else None


def find_worker(file: Path) -> Process | None:
    """Return the running worker that was started with this file by any program; None if absent."""
    mark = _mark(file)
    for pid in pids():
        about = parent_and_session(pid)
        if about and about[1] == pid and has_variable(pid, mark):
            return Process.of(pid)
    return None


def belongings(worker: Process, file: Path, known: Iterable[Process], *, session: bool) -> set[Process]:
    """Return the processes of a worker.

    They are itself, those `known` before, those whose environment names its settings `file` (ORCHESTUNE_WORKER_FILE,
    which every process inherits, also after its parent has ended), and all their descendants.

    `session`: include its session. Not for a worker that exited long ago: its number may have been reused.
    """
    known = {process for process in known if process.alive()}
    by_pid = _parents_and_sessions()
    mark = _mark(file)
    roots = {process.pid for process in known}
    roots |= {pid for pid, entry in by_pid.items() if (session and entry[1] == worker.pid) or has_variable(pid, mark)}
    return _trees(roots, by_pid)


def left_by_trials(worker: str) -> set[Process]:
    """Return the processes of a worker's trials, wherever they moved, and all their descendants."""
    by_pid, mark = _parents_and_sessions(), f"{WORKER_VARIABLE}={worker}".encode()
    return _trees({pid for pid in by_pid if has_variable(pid, mark)}, by_pid)


def kill_all(find: Callable[[], set[Process]]) -> bool:
    """Kill all processes that `find` returns, stopped first so they cannot fork. Return False if none was killed."""
    stopped: set[Process] = set()
    while new := find() - stopped:
        for process in new:
            process.send(signal.SIGSTOP)
        stopped |= new
    killed = [process.send(signal.SIGKILL) for process in stopped]
    return any(killed)


def _parents_and_sessions() -> dict[int, tuple[int, int]]:
    """Return parent and session of each process."""
    return {pid: entry for pid in pids() if (entry := parent_and_session(pid))}


def _trees(roots: set[int], by_pid: Mapping[int, tuple[int, int]]) -> set[Process]:
    """Return these and their descendants, except this process and its children: a trial may have started it."""
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in by_pid.items():
        children.setdefault(parent, []).append(pid)
    tree = roots - {os.getpid()}
    pending = list(tree)
    while pending:
        fresh = [pid for pid in children.get(pending.pop(), ()) if pid not in tree and pid != os.getpid()]
        tree.update(fresh)
        pending += fresh
    return {process for pid in tree if (process := Process.of(pid)) and process.alive()}


def _mark(file: Path) -> bytes:
    return f"{FILE_VARIABLE}={file}".encode(errors="surrogateescape")
