"""Room for what one run needs on this machine: in the folder for temporary files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestune.client.local.write_errors import OF_THE_DISK
from orchestune.errors import UsageError
from orchestune.worker.files.removal import remove


@contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """A folder that is gone afterwards. UsageError where none can be made; for what is written into it see `room`."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=prefix))
    except OSError as exc:
        raise UsageError(f"there is no folder for temporary files: {exc.strerror or exc}", _hint()) from exc
    try:
        yield folder
    finally:
        remove(folder)


@contextmanager
def room() -> Iterator[None]:
    """UsageError where the disk does not take what is written into such a folder meanwhile."""
    try:
        yield
    except OSError as exc:
        if exc.errno not in OF_THE_DISK:
            raise
        raise UsageError(f"{tempfile.gettempdir()} cannot be written to: {exc.strerror}", _hint()) from exc


def _hint() -> str:
    return "make room there, or set TMPDIR to a folder on another disk"
