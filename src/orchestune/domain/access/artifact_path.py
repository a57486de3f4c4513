"""Validation of artifact paths: relative, `/`-separated, and safe to create below any folder."""

from __future__ import annotations

MAX_PATH_BYTES = 2048
"""bytes in UTF-8: the path is part of a key, and an index row of PostgreSQL has at most 2,704 bytes"""


def problem_of(path: str) -> str | None:
    """Return why `path` is not a valid artifact path; None if it is valid."""
    if not path:
        return "it is empty"
    if path.startswith("/"):
        return "it is absolute"
    if any(ord(character) < 32 or 127 <= ord(character) < 160 or character == "\\" for character in path):
        return "it has a control character or a backslash"
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "it has half of a surrogate pair"
    if size > MAX_PATH_BYTES:
        return f"it has {size:,} bytes (expected at most {MAX_PATH_BYTES:,})"
    part = next((part for part in path.split("/") if part in ("", ".", "..")), None)
    return None if part is None else f"one of its parts is '{part}'"
