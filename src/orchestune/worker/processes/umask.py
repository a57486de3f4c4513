"""Umask handling: the worker's own files are private to its user, and commands get the umask of the user's shell.

A server sets a private umask for everything below its state folder, which its workers inherit. The umask of the shell
that started the server is passed in the worker's settings file.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PRIVATE = 0o077
_lock = threading.Lock()
_command_umask: int | None = None
"""umask of commands; None for that of this process"""


def keep_private(command_umask: int | None) -> None:
    """Create private files from now on, unless `command_umask` is None; `command_umask` is the umask of commands."""
    global _command_umask
    if command_umask is not None:
        os.umask(PRIVATE)
    _command_umask = command_umask


@contextmanager
def for_command() -> Iterator[None]:
    """Context in which processes start with the umask of commands.

    The umask is process-wide: files that other threads create during the milliseconds of a start get it too. They are
    all in folders that only this user can enter.
    """
    if _command_umask is None:
        yield
        return
    with _lock:
        os.umask(_command_umask)
        try:
            yield
        finally:
            os.umask(PRIVATE)
