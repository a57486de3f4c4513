"""Folders that are deeper than Python recurses."""

from __future__ import annotations

import os
from pathlib import Path


def dig(folder: Path, levels: int, mode: int) -> None:
    """Folders in folders with a file in each, as a program makes them which always goes down."""
    folder_fd = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("deeper", dir_fd=folder_fd)
        below = os.open("deeper", os.O_RDONLY, dir_fd=folder_fd)
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=below))
        os.fchmod(folder_fd, mode)
        os.close(folder_fd)
        folder_fd = below
    os.close(folder_fd)
