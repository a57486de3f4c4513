"""Validation of keys and upload names, shared by all implementations."""

from __future__ import annotations

import hashlib
import re

from orchestune.errors import BadInput

MAX_KEY_CHARS = 512
MAX_PART_BYTES = 8 << 20
"""maximum number of bytes that one call may append to an upload"""
EMPTY_DIGEST = hashlib.sha256().hexdigest()
UPLOADS = "uploads"
"""first component of every path reserved for unfinished uploads"""


def checked_key(key: str) -> str:
    """Return `key` if it is a valid key of an object; raises BadInput otherwise."""
    _check(key, "key")
    if key.split("/", 1)[0] == UPLOADS:
        raise BadInput.one(f"the key {key!r} is not allowed: `{UPLOADS}/` is reserved for unfinished uploads")
    return key


def upload_name(upload: str) -> str:
    """Return the name under which an unfinished upload is stored: one path component, whatever characters `upload` has.

    Raises BadInput for an invalid upload name.
    """
    _check(upload, "upload")
    return hashlib.sha256(upload.encode()).hexdigest()


def checked_digest(digest: str) -> str:
    """Return `digest` if it is a SHA-256 in hex; raises BadInput otherwise."""
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise BadInput.one("the digest is not a SHA-256 in 64 lower-case hexadecimal digits")
    return digest


def check_part(offset: int, data: bytes) -> None:
    """Raise BadInput if the offset is negative or the part too large."""
    if offset < 0:
        raise BadInput.one(f"the offset {offset} is negative")
    if len(data) > MAX_PART_BYTES:
        raise BadInput.one(f"a part of {len(data)} bytes is too large; the largest has {MAX_PART_BYTES}")


def digest_mismatch(upload: str, actual: str, digest: str) -> BadInput:
    """Return the error that `commit` raises if the uploaded content has a different digest."""
    return BadInput.one(
        f"the upload {upload!r} has the SHA-256 {actual} (expected {digest}); it was discarded", hint="upload it again"
    )


def checked_prefix(prefix: str) -> str:
    """Return `prefix`, possibly empty or ending within a component. Raises BadInput if no valid key starts with it."""
    if prefix:
        _check(prefix + "x", "prefix")
    return prefix


def _check(text: str, kind: str) -> None:
    problem = _find_problem(text)
    if problem:
        excerpt = text if len(text) <= 80 else text[:80] + "…"
        raise BadInput.one(
            f"the {kind} {excerpt!r} is not allowed: {problem}",
            hint=f"use parts separated by `/`, none of them empty, `.` or `..`, at most {MAX_KEY_CHARS} characters",
        )


def _find_problem(text: str) -> str:
    if not text or len(text) > MAX_KEY_CHARS:
        return f"it has {len(text)} characters"
    if any(ord(character) < 32 or character in "\x7f\\" or "\ud800" <= character <= "\udfff" for character in text):
        return "it has a control character, a backslash or half a surrogate pair"
    for part in text.split("/"):
        if part in ("", ".", ".."):
            return f"one of its parts is {part!r}"
        if len(part.encode()) > 240:
            return "one of its parts has more than 240 bytes"
    return ""
