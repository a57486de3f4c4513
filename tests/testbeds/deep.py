"""Folders that are deeper than Python recurses."""

from __future__ import annotations

import os
from pathlib import Path


def dig(folder: Path, levels: int, mode: int) -> None:
    """Folders in folders with a file in each, as a program makes them which always goes down."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("deeper", dir_fd=here)
        below = os.open("deeper", os.O_RDONLY, dir_fd=here)
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=below))
        os.fchmod(here, mode)
        os.close(here)
        here = below
    os.close(here)
