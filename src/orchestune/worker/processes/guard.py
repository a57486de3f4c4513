"""The guard: the worker's parent process, which kills everything that the worker started when the worker dies.

Guard and worker watch each other. The guard waits for its child by `waitpid`; the worker selects on a pipe whose other
end only the guard holds, so that it becomes readable when the guard dies. Whichever survives kills the rest, and a
SIGKILL to one of them, or the OOM killer, leaves no trial behind.

Both are *child subreapers* if the system supports that: the kernel reparents every orphan below them to them, whatever
its process group or session, so that they can enumerate what is left. Otherwise the process groups of running commands
are killed, which the worker records in memory that it shares with the guard.

Invariants and races:

- A group is recorded once its pid is known and cleared when nothing of the attempt is left. A command that is just
  starting when the worker dies is missing in that record; where there are subreapers, it is found as an orphan.
- Killing is repeated until no child is left: a process may fork between the listing and its death.
- Signals to the guard are forwarded. They are blocked around the fork: otherwise the child could run the guard's
  handler, and a signal before the pid is known would be lost (it is sent after the fork instead).
- The worker has a process group of its own, so Ctrl-C in a terminal reaches it only through the guard, once.
- The guard imports little: it lives as long as the worker, and its memory counts toward the same limit.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import struct
import time
from collections.abc import Callable

from orchestune.worker.processes import tree

_PR_SET_CHILD_SUBREAPER = 36
EXIT_RESTART = 75
"""exit code with which a worker asks to be restarted in a fresh process: it continues with another experiment"""
_FORWARDED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
MAX_GROUPS = 1024
"""capacity of the shared memory, in process groups"""


class Lifeline:
    """State shared by worker and guard: a pipe that closes when the guard dies, and the running process groups."""

    def __init__(self) -> None:
        self.worker_end, self._guard_end = os.pipe()
        self._groups = mmap.mmap(-1, 4 * MAX_GROUPS)

    def note(self, slot: int, group: int) -> None:
        """Record the process group of the slot's command; 0 if none is running."""
        if slot < MAX_GROUPS:
            struct.pack_into("i", self._groups, 4 * slot, group)

    def groups(self) -> list[int]:
        """Return all recorded process groups."""
        return [group for group in struct.unpack(f"{MAX_GROUPS}i", self._groups[:]) if group]

    def close_guard_end(self) -> None:
        """In the worker: keep only the end that detects the guard's death."""
        os.close(self._guard_end)

    def close_worker_end(self) -> None:
        """In the guard: keep only the other end."""
        os.close(self.worker_end)

    def close(self) -> None:
        """In the guard: release everything after the worker has exited."""
        os.close(self._guard_end)
        self._groups.close()


def become_subreaper() -> bool:
    """Let this process adopt its orphaned descendants. Return False if the system does not support it."""
    try:
        return bool(ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


def run_guarded(work: Callable[[Lifeline], int]) -> int:
    """Run `work` in a child process, forward signals to it and return its exit code; rerun it if that is EXIT_RESTART.

    This process becomes the guard. The worker gets its own process group, so that a signal to the guard's group does
    not terminate both at once.
    """
    become_subreaper()
    received: list[int] = []
    worker_pid = 0

    def forward(number: int, frame: object) -> None:
        received.append(number)
        if worker_pid:
            tree.kill(worker_pid, number)

    for number in _FORWARDED_SIGNALS:
        signal.signal(number, forward)
    while True:
        lifeline = Lifeline()
        signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED_SIGNALS)
        worker_pid = os.fork()
        if worker_pid == 0:
            os._exit(_in_child(work, lifeline))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED_SIGNALS)
        lifeline.close_worker_end()
        for received_signal in received:
            tree.kill(worker_pid, received_signal)
        status, worker_pid = _wait_for(worker_pid), 0
        kill_descendants(lifeline.groups())
        lifeline.close()
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
        if code != EXIT_RESTART or received:
            return 0 if code == EXIT_RESTART else code  # a signal came meanwhile: stop instead of restarting


def kill_descendants(groups: list[int]) -> None:
    """Kill all children, and the orphans adopted meanwhile, until none is left that this user can kill."""
    for group in groups:
        tree.kill_group(group, signal.SIGKILL)
    pause = 0.001
    while True:
        children = tree.children()
        for pid in children or ():
            tree.kill_group(pid, signal.SIGKILL)
        killable = [pid for pid in children or () if tree.kill(pid, signal.SIGKILL)]
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pause = 0.001
        except ChildProcessError:
            return
        if children is None or (children and not killable):
            return
        time.sleep(pause)
        pause = min(2 * pause, 0.25)


def _in_child(work: Callable[[Lifeline], int], lifeline: Lifeline) -> int:
    code = os.EX_SOFTWARE
    try:
        for number in _FORWARDED_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED_SIGNALS)
        os.setpgid(0, 0)
        become_subreaper()
        lifeline.close_guard_end()
        code = work(lifeline)
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else 1
    except BaseException:  # noqa: BLE001 - a fork must never run into its parent's code
        import traceback  # imported only here, for a faster start

        traceback.print_exc()
    return code


def _wait_for(worker: int) -> int:
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == worker:
            return status
