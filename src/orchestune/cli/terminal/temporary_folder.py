"""Temporary folders for one run of a command."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestune.client.local.write_errors import DISK_ERRORS
from orchestune.errors import UsageError
from orchestune.worker.files.removal import remove


@contextmanager
def temporary_folder(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """Create a folder that is removed at the end, in `parent` if given.

    Raises UsageError if that fails; for writes into it see `translated_disk_errors`.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    except OSError as exc:
        raise UsageError(f"cannot create a temporary folder: {exc.strerror or exc}", _hint()) from exc
    try:
        yield folder
    finally:
        remove(folder)


@contextmanager
def translated_disk_errors() -> Iterator[None]:
    """Raise UsageError if the disk is full or read-only for a write into such a folder."""
    try:
        yield
    except OSError as exc:
        if exc.errno not in DISK_ERRORS:
            raise
        raise UsageError(f"cannot write to {tempfile.gettempdir()}: {exc.strerror}", _hint()) from exc


def _hint() -> str:
    return "free some disk space there, or set TMPDIR to a folder on another disk"
