"""Starts the process of a command; called in a thread beside the loop.

Starting a process blocks until its program is loaded. `subprocess` holds the GIL meanwhile, which stalls the whole
worker. `posix_spawn` of the C library, called through `ctypes`, releases it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from orchestune.worker.processes.cores import pinned_to
from orchestune.worker.processes.umask import for_command

_SETSIGDEF, _SETSIGMASK, _SETSID = 0x04, 0x08, 0x80
"""values in the C libraries of Linux"""
_TO_DEFAULT = (signal.SIGPIPE, signal.SIGXFSZ)
"""signals that Python ignores; reset to their default in children, as `subprocess` does"""


class TrialCommand(NamedTuple):
    """A command with everything needed to start it."""

    arguments: list[str]
    environment: Mapping[bytes, bytes]
    folder: str
    files: tuple[int, int]
    """descriptors of its stdin, and of its stdout and stderr"""
    cores: list[int]
    """CPU cores to pin it to; empty if it may use any"""


class StartedProcess(NamedTuple):
    """A process that was started and may have exited already."""

    pid: int
    at: float
    """monotonic time"""


def spawn(command: TrialCommand) -> StartedProcess:
    """Start a command in a new session. Raises OSError and ValueError in the same cases as `subprocess`.

    The worker has no inheritable descriptors, see `tree.keep_files_from_children`.
    """
    with pinned_to(command.cores), for_command():
        at, library = time.monotonic(), _library()
        pid = _spawn_with_subprocess(command) if library is None else library.spawn(command)
        return StartedProcess(pid, at)


class _Library:
    """The C library, with the attributes shared by all starts."""

    def __init__(self) -> None:
        """Load the library. Raises AttributeError or OSError if it is too old, such as glibc before 2.29."""
        self._start = ctypes.CDLL(None).posix_spawn
        self._c = ctypes.PyDLL(None)  # holds the GIL: releasing it costs more than these calls
        self._change_folder = self._c.posix_spawn_file_actions_addchdir_np
        self._attributes = ctypes.create_string_buffer(1024)
        signals, none = ctypes.create_string_buffer(256), ctypes.create_string_buffer(256)
        self._c.sigemptyset(signals)
        self._c.sigemptyset(none)
        for number in _TO_DEFAULT:
            self._c.sigaddset(signals, int(number))
        _check(self._c.posix_spawnattr_init(self._attributes))
        _check(self._c.posix_spawnattr_setsigdefault(self._attributes, signals))
        _check(self._c.posix_spawnattr_setsigmask(self._attributes, none))
        flags = _SETSIGDEF | _SETSIGMASK | _SETSID
        _check(self._c.posix_spawnattr_setflags(self._attributes, ctypes.c_short(flags)))

    def spawn(self, command: TrialCommand) -> int:
        """Start a command and return its pid."""
        arguments = [os.fsencode(word) for word in command.arguments]
        variables = list(map(b"=".join, command.environment.items()))
        if b"\0" in b"".join((*arguments, *variables)):
            raise ValueError("embedded null byte")
        pid, actions = ctypes.c_int(), ctypes.create_string_buffer(1024)
        _check(self._c.posix_spawn_file_actions_init(actions))
        try:
            for number, file in enumerate((*command.files, command.files[1])):
                _check(self._c.posix_spawn_file_actions_adddup2(actions, file, number))
            _check(self._change_folder(actions, os.fsencode(command.folder)))
            words, environment, reported_error = _array(arguments), _array(variables), errno.ENOENT
            for program in _candidate_paths(command):
                error = self._start(ctypes.byref(pid), program, actions, self._attributes, words, environment)
                if not error:
                    return pid.value
                if error not in (errno.ENOENT, errno.ENOTDIR):
                    reported_error = error
            raise OSError(reported_error, os.strerror(reported_error), command.arguments[0])
        finally:
            self._c.posix_spawn_file_actions_destroy(actions)


@lru_cache(maxsize=None)
def _library() -> _Library | None:
    is_linux = sys.platform == "linux"  # mypy would take the rest for unreachable elsewhere
    try:
        return _Library() if is_linux else None
    except (AttributeError, OSError):
        return None


def _spawn_with_subprocess(command: TrialCommand) -> int:
    mask = signal.pthread_sigmask(signal.SIG_SETMASK, [])  # inherited by the child
    try:
        process = subprocess.Popen(
            command.arguments,
            stdin=command.files[0],
            stdout=command.files[1],
            stderr=command.files[1],
            cwd=command.folder,
            env=command.environment,
            start_new_session=True,
            close_fds=False,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    process.returncode = 0  # the loop reaps it by its pid
    return process.pid


def _candidate_paths(command: TrialCommand) -> list[bytes]:
    """Return the paths at which the program may be, from PATH."""
    name = os.fsencode(command.arguments[0])
    if b"/" in name:
        return [name]
    environment: Any = command.environment  # bytes are allowed, in spite of the type hint
    return [os.path.join(os.fsencode(folder), name) for folder in os.get_exec_path(environment)]


def _array(texts: list[bytes]) -> Any:
    return (ctypes.c_char_p * (len(texts) + 1))(*texts, None)


def _check(failure: int) -> None:
    if failure:
        raise OSError(failure, os.strerror(failure))
