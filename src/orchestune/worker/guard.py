"""The process above the worker, which ends everything that the worker started when the worker dies.

Both are *child subreapers* where the system has that: whatever loses its parent below them becomes their child,
whichever process group or session it went to. Where it does not exist, process groups noted in shared memory are
killed instead.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import struct
import time
from collections.abc import Callable

from orchestune.worker import tree

_PR_SET_CHILD_SUBREAPER = 36
AGAIN = 75
"""the exit code of a worker that wants to begin anew, in a process that knows nothing of before"""
_HANDED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
GROUPS = 1024
"""process groups that the shared memory has room for"""


class Lifeline:
    """What a worker shares with its guard: a pipe that ends when the guard dies, and the groups that run."""

    def __init__(self) -> None:
        self.end, self._guard_end = os.pipe()
        self._groups = mmap.mmap(-1, 4 * GROUPS)

    def note(self, slot: int, group: int) -> None:
        """The slot's command runs in `group` (0: nothing runs)."""
        if slot < GROUPS:
            struct.pack_into("i", self._groups, 4 * slot, group)

    def groups(self) -> list[int]:
        """Every group that was noted and not taken back."""
        return [group for group in struct.unpack(f"{GROUPS}i", self._groups[:]) if group]

    def keep_end(self) -> None:
        """In the worker: hold only the end that notices the guard's death."""
        os.close(self._guard_end)

    def keep_guard_end(self) -> None:
        """In the guard: hold the other one."""
        os.close(self.end)

    def close(self) -> None:
        """In the guard: the worker is gone."""
        os.close(self._guard_end)
        self._groups.close()


def become_subreaper() -> bool:
    """Make orphans among the descendants children of this process; False where the system cannot."""
    try:
        return bool(ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


def run_guarded(work: Callable[[Lifeline], int]) -> int:
    """Run `work` in a child process of a guard, hand signals on to it, and return its exit code; AGAIN: run it again.

    The guard is this process. The worker gets a process group of its own, so that a signal to the guard's group does
    not end both at once.
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
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANDED_ON)  # or the worker would take one as the guard that it was
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
    """Kill every child, and what becomes a child when its parent dies, until none is left that can be killed."""
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
        import traceback  # only where it is needed: the worker starts faster

        traceback.print_exc()
    return code


def _wait_for(worker: int) -> int:
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == worker:
            return status
