"""Folders that `orchestune get` creates for the files of a trial."""

from __future__ import annotations

import os
from pathlib import Path

from orchestune.domain.specification.code import FETCHED
from orchestune.errors import UsageError


def create(folder: Path) -> Path:
    """Create the folder if missing and return it, marked so that git and later runs ignore it.

    Raises UsageError if the folder belongs to another user, who could replace the downloaded files.
    """
    from orchestune.bundles.ignore import GIT_FILE  # pathspec is slow to import, and only needed here

    if not folder.exists():
        try:
            folder.mkdir()
            (folder / GIT_FILE).write_text(FETCHED)
        except OSError as exc:
            raise UsageError(f"cannot write '{folder}': {exc.strerror}", "choose another folder with -o") from exc
    if any(status.st_uid not in (os.geteuid(), 0) for status in (folder.lstat(), folder.stat())):
        raise UsageError(f"'{folder}' belongs to another user", "choose another folder with -o")
    return folder


def is_one(folder: Path) -> bool:
    """Return True if `get` created the folder."""
    from orchestune.bundles.ignore import GIT_FILE  # as above

    try:
        return (folder / GIT_FILE).read_text() == FETCHED
    except (OSError, UnicodeDecodeError):
        return False
