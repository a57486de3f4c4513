"""Folders for results that are slow to make, kept between runs outside of the repository: one per thing and version."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder() -> Path:
    """`ORCHESTUNE_TEST_CACHE`, or a folder in the user's cache."""
    named = os.environ.get("ORCHESTUNE_TEST_CACHE")
    folder = Path(named) if named else Path.home() / ".cache" / "orchestune-testbeds"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Only one process at a time is in a block of that name; the lock goes with the process that holds it."""
    with (cache_folder() / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def cached_folder(name: str, make: Callable[[Path], None]) -> Path:
    """The cached folder `name`, which `make` fills the first time. A half-made folder is never seen."""
    folder = cache_folder() / name
    if folder.is_dir():
        return folder
    with locked(name):
        if not folder.is_dir():
            fresh = folder.with_name(f".{name}.part")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            make(fresh)
            fresh.rename(folder)
    return folder
