"""The umask: the worker's own files are for its user alone, and commands create files as their user's shell does.

A server keeps everything below its state folder private by its umask, which its workers inherit. The umask of the shell
that started the server travels in the worker's file.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PRIVATE = 0o077
_lock = threading.Lock()
_of_commands: int | None = None
"""None: commands have that of this process"""


def keep_private(of_commands: int | None) -> None:
    """Create files for this user alone from now on, if it is known which umask commands have instead."""
    global _of_commands
    if of_commands is not None:
        os.umask(PRIVATE)
    _of_commands = of_commands


@contextmanager
def for_command() -> Iterator[None]:
    """Start processes with the umask that commands have.

    The umask is the whole process's: what other threads create meanwhile, for the milliseconds that a start takes, is
    created with it too. All of that lies in folders that only this user can enter.
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
