"""Which written files of a trial are worth keeping, and the note that names them. The command line uses it too."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

MAX_FILES = 100
"""files per attempt that are listed, the largest first"""
_MAX_NAMED = 3
_NOT_IN_NAMES = re.compile(r"[\ud800-\udfff\x00-\x1f\x7f-\x9f\\]")
_PLAIN_NAME = re.compile(r"\w[\w./-]*", re.ASCII)


class WrittenFile(NamedTuple):
    """A file that an attempt wrote: its path, and size in bytes."""

    path: str
    size: int


def worth_keeping(files: Iterable[WrittenFile], sources: Collection[str]) -> list[WrittenFile]:
    """Return the largest files first, without hidden and empty ones, caches of Python and the `sources`."""
    visible = (
        file
        for file in files
        if file.size
        and not any(part.startswith((".", "__")) for part in file.path.split("/"))
        and not _NOT_IN_NAMES.search(file.path)
        and not any(file.path == source or file.path.startswith(f"{source}/") for source in sources)
    )
    return sorted(visible, key=lambda file: (-file.size, file.path))[:MAX_FILES]


def relative(files: Iterable[WrittenFile], folder: str) -> list[WrittenFile]:
    """Return files of a project with paths relative to `folder`, in which the command runs."""
    return [WrittenFile(posixpath.relpath(file.path, folder or "."), file.size) for file in files]


def note(files: Sequence[WrittenFile]) -> str:
    """Return which files were written and how to keep them: `wrote out/model.pt (3.2 MB); keep it with …`.

    The paths are relative to the folder in which the command runs; `keep` can name only files in it.
    """
    named, left_out = files[:_MAX_NAMED], len(files) - _MAX_NAMED
    names = ", ".join(f"{file.path} ({readable_size(file.size)})" for file in named)
    more = f" and {left_out} more" if left_out > 0 else ""
    below = [file.path for file in named if not file.path.startswith("../")]
    keep = ", ".join(path if _PLAIN_NAME.fullmatch(path) else json.dumps(path) for path in below)
    if not below:
        return f"wrote {names}{more}, outside the folder of the command, where `keep` finds nothing"
    return f"wrote {names}{more}; keep {'it' if len(files) == 1 else 'them'} with `keep: [{keep}]`"


def readable_size(count: float) -> str:
    """Format bytes: `3.2 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
