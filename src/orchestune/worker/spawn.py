"""Starts the process of a command, for a thread beside the loop.

Whoever starts a process waits until its program is loaded, and `subprocess` keeps the interpreter's lock meanwhile, so
that nothing else of the worker goes on. The C library's `posix_spawn`, called through `ctypes`, keeps it from nobody.
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

from orchestune.worker.cores import on
from orchestune.worker.umask import for_command

_SETSIGDEF, _SETSIGMASK, _SETSID = 0x04, 0x08, 0x80
"""of Linux' C libraries"""
_TO_DEFAULT = (signal.SIGPIPE, signal.SIGXFSZ)
"""signals that Python ignores; `subprocess` gives them back to what it starts too"""


class Command(NamedTuple):
    """What is started, and how."""

    arguments: list[str]
    environment: Mapping[bytes, bytes]
    folder: str
    files: tuple[int, int]
    """what it reads from, and what it writes to"""
    cores: list[int]
    """none: any"""


class Started(NamedTuple):
    """A process that runs, or has ended already."""

    pid: int
    at: float
    """on the monotonic clock"""


def spawn(command: Command) -> Started:
    """Start it in a session of its own. OSError, ValueError, as `subprocess` has them.

    The worker has no open file that a child would inherit, see `tree.keep_files_from_children`.
    """
    with on(command.cores), for_command():
        at, library = time.monotonic(), _library()
        pid = _by_subprocess(command) if library is None else library.spawn(command)
        return Started(pid, at)


class _Library:
    """The C library, with the attributes that all starts have in common."""

    def __init__(self) -> None:
        """AttributeError, OSError where it is too old, as glibc before 2.29 is."""
        self._start = ctypes.CDLL(None).posix_spawn
        self._c = ctypes.PyDLL(None)  # keeps the interpreter's lock, which to give and take costs more than these calls
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

    def spawn(self, command: Command) -> int:
        """The pid."""
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
            words, environment, failure = _array(arguments), _array(variables), errno.ENOENT
            for program in _places(command):
                failed = self._start(ctypes.byref(pid), program, actions, self._attributes, words, environment)
                if not failed:
                    return pid.value
                if failed not in (errno.ENOENT, errno.ENOTDIR):
                    failure = failed
            raise OSError(failure, os.strerror(failure), command.arguments[0])
        finally:
            self._c.posix_spawn_file_actions_destroy(actions)


@lru_cache(maxsize=None)
def _library() -> _Library | None:
    if sys.platform != "linux":
        return None
    try:
        return _Library()
    except (AttributeError, OSError):
        return None


def _by_subprocess(command: Command) -> int:
    mask = signal.pthread_sigmask(signal.SIG_SETMASK, [])  # which a child begins with
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
    process.returncode = 0  # the loop waits for it by its pid
    return process.pid


def _places(command: Command) -> list[bytes]:
    """Where the program may be."""
    name = os.fsencode(command.arguments[0])
    if b"/" in name:
        return [name]
    environment: Any = command.environment  # its names may be bytes, whatever the types say
    return [os.path.join(os.fsencode(folder), name) for folder in os.get_exec_path(environment)]


def _array(texts: list[bytes]) -> Any:
    return (ctypes.c_char_p * (len(texts) + 1))(*texts, None)


def _check(failure: int) -> None:
    if failure:
        raise OSError(failure, os.strerror(failure))
