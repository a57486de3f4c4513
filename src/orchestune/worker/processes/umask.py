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
_of_commands: int | None = None
"""umask of commands; None for that of this process"""


def keep_private(of_commands: int | None) -> None:
    """Create private files from now on, unless `of_commands` is None; `of_commands` is the umask of commands."""
    global _of_commands
    if of_commands is not None:
        os.umask(PRIVATE)
    _of_commands = of_commands


@contextmanager
def for_command() -> Iterator[None]:
    """Context in which processes start with the umask of commands.

    The umask is process-wide: files that other threads create during the milliseconds of a start get it too. They are
    all in folders that only this user can enter.
    """
    if _of_commands is None:
        yield
        return
    with _lock:
        os.umask(_of_commands)
        try:
            yield
        finally:
            os.umask(PRIVATE)
