"""The operating system of this machine.

Apart from the worker, which imports nothing of this package, no other module reads `sys.platform`, so that a test can
replace one function.
"""

from __future__ import annotations

import sys

UNTESTED = "local trials on macOS are untested; trials on a cluster or a server run on Linux and are tested"
"""note of a command that starts trials on this machine"""
WINDOWS = "orchestune does not run on native Windows"
WSL = "install WSL (`wsl --install`), open its terminal, and install and run orchestune there"


def name() -> str:
    """Return the name of the operating system as Python has it: linux, darwin, win32 and so on."""
    return sys.platform


def is_linux() -> bool:
    """Return True if this machine has Linux's files in /proc, its options of sockets and its system calls."""
    return name() == "linux"


def is_macos() -> bool:
    """Return True on macOS."""
    return name() == "darwin"


def is_windows() -> bool:
    """Return True on native Windows. In WSL it is Linux."""
    return name() == "win32"
