"""The worker's parent process, which kills everything that the worker started when the worker dies.

Both are *child subreapers* if the system supports that: every orphan below them becomes their child, in whatever
process group or session. Otherwise the process groups recorded in shared memory are killed.
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
AGAIN = 75
"""exit code with which a worker asks to be restarted in a fresh process"""
_HANDED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
GROUPS = 1024
"""capacity of the shared memory, in process groups"""


class Lifeline:
    """State shared by worker and guard: a pipe that closes when the guard dies, and the running process groups."""

    def __init__(self) -> None:
        self.end, self._guard_end = os.pipe()
        self._groups = mmap.mmap(-1, 4 * GROUPS)

    def note(self, slot: int, group: int) -> None:
        """Record the process group of the slot's command; 0 if none is running."""
        if slot < GROUPS:
            struct.pack_into("i", self._groups, 4 * slot, group)

    def groups(self) -> list[int]:
        """Return all recorded process groups."""
        return [group for group in struct.unpack(f"{GROUPS}i", self._groups[:]) if group]

    def keep_end(self) -> None:
        """In the worker: keep only the end that detects the guard's death."""
        os.close(self._guard_end)

    def keep_guard_end(self) -> None:
        """In the guard: keep only the other end."""
        os.close(self.end)

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
    """Run `work` in a child process, forward signals to it and return its exit code; rerun it if that is AGAIN.

    This process becomes the guard. The worker gets its own process group, so that a signal to the guard's group does
    not terminate both at once.
    """
    become_subreaper()
    wanted: list[int] = []
    worker = 0

    def hand_on(number: int, frame: object) -> None:
        wanted.append(number)
        if worker:
            tree.kill(worker, number)

    for number in _HANDED_ON:
        signal.signal(number, hand_on)
    while True:
        line = Lifeline()
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANDED_ON)  # otherwise the guard's handler could run in the worker
        worker = os.fork()
        if worker == 0:
            os._exit(_in_child(work, line))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDED_ON)
        line.keep_guard_end()
        for early in wanted:
            tree.kill(worker, early)
        status, worker = _wait_for(worker), 0
        end_descendants(line.groups())
        line.close()
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
        if code != AGAIN or wanted:
            return 0 if code == AGAIN else code


def end_descendants(groups: list[int]) -> None:
    """Kill all children, and the orphans adopted meanwhile, until none is left that this user can kill."""
    for group in groups:
        tree.kill_group(group, signal.SIGKILL)
    pause = 0.001
    while True:
        children = tree.children()
        for pid in children or ():
            tree.kill_group(pid, signal.SIGKILL)
        ours = [pid for pid in children or () if tree.kill(pid, signal.SIGKILL)]
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pause = 0.001
        except ChildProcessError:
            return
        if children is None or (children and not ours):
            return
        time.sleep(pause)
        pause = min(2 * pause, 0.25)


def _in_child(work: Callable[[Lifeline], int], line: Lifeline) -> int:
    code = 70
    try:
        for number in _HANDED_ON:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDED_ON)
        os.setpgid(0, 0)
        become_subreaper()
        line.keep_end()
        code = work(line)
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
