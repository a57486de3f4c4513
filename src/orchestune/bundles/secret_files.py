"""Detection of files that hold secrets. They are left out of bundles, which every viewer of the experiment can read."""

from __future__ import annotations

import os
import re
from functools import lru_cache

_NAMES = frozenset((".env", ".netrc", ".pypirc", ".git-credentials", ".ssh", ".aws", ".kube"))
_KEY = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY|^PuTTY-User-Key-File-\d", re.MULTILINE)
_MARKS = (b"PRIVATE KEY", b"PuTTY-User-Key-File-")
_MIN_BYTES, _MAX_BYTES = 100, 64 << 10
"""sizes of files that are searched: the shortest key (Ed25519 in PEM) has 119 bytes, and keys are near the beginning"""
SOURCE_SUFFIXES = (
    ".py", ".pyi", ".pyx", ".c", ".cc", ".cpp", ".cu", ".h", ".hpp", ".rs", ".go", ".java", ".scala", ".kt", ".js",
    ".ts", ".r", ".R", ".jl", ".pl", ".m", ".lua", ".f90",
)  # fmt: skip
"""source files: code that handles keys contains their header, and trials cannot run without it"""


def is_secret_name(name: str) -> bool:
    """Return True if a file or folder of this name holds secrets; examples of such files do not."""
    return name in _NAMES or (name.startswith(".env.") and not name.endswith((".example", ".sample", ".template")))


def has_private_key(path: str, status: os.stat_result) -> bool:
    """Return True if a file holds a private key. One that cannot be read has none: packing it reports the error."""
    if not _MIN_BYTES <= status.st_size <= _MAX_BYTES or path.endswith(SOURCE_SUFFIXES):
        return False
    return _has_key(path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@lru_cache(maxsize=100_000)
def _has_key(path: str, *_: int) -> bool:
    """Search a file once for each of its states: a run lists its folder before it packs it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        text = os.read(descriptor, _MAX_BYTES)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return any(mark in text for mark in _MARKS) and _KEY.search(text) is not None
