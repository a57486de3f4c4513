"""Which keys and names of uploads are allowed: the same for every implementation."""

from __future__ import annotations

import hashlib
import re

from orchestune.errors import BadInput

LONGEST = 512
LARGEST_PART = 8 << 20
"""bytes that one call may add to an upload"""
EMPTY_DIGEST = hashlib.sha256().hexdigest()
UPLOADS = "uploads"
"""the first part of every place that an implementation keeps for itself"""


def checked_key(key: str) -> str:
    """The key of an object, BadInput where it is not one."""
    _check(key, "key")
    if key.split("/", 1)[0] == UPLOADS:
        raise BadInput.one(f"the key {key!r} is not allowed: `{UPLOADS}/` is kept for unfinished uploads")
    return key


def upload_place(upload: str) -> str:
    """Where the unfinished upload is kept: one part of a path, whatever its name holds. BadInput for a wrong name."""
    _check(upload, "upload")
    return hashlib.sha256(upload.encode()).hexdigest()


def checked_digest(digest: str) -> str:
    """A SHA-256 in hex, BadInput where it is not one."""
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise BadInput.one("the digest is not a SHA-256 in 64 lower-case hexadecimal digits")
    return digest


def check_part(offset: int, data: bytes) -> None:
    """BadInput for a part of an upload that cannot be one."""
    if offset < 0:
        raise BadInput.one(f"the offset {offset} is negative")
    if len(data) > LARGEST_PART:
        raise BadInput.one(f"a part of {len(data)} bytes is too large; the largest has {LARGEST_PART}")


def other_content(upload: str, found: str, digest: str) -> BadInput:
    """What `commit` raises when the digest is that of another content."""
    return BadInput.one(
        f"the upload {upload!r} arrived with the SHA-256 {found}, not {digest}; it was dropped", hint="send it again"
    )


def checked_prefix(prefix: str) -> str:
    """The start of keys, possibly empty or in the middle of a part; BadInput where no key starts so."""
    if prefix:
        _check(prefix + "x", "prefix")
    return prefix


def _check(text: str, what: str) -> None:
    wrong = _wrong(text)
    if wrong:
        shown = text if len(text) <= 80 else text[:80] + "…"
        raise BadInput.one(
            f"the {what} {shown!r} is not allowed: {wrong}",
            hint=f"parts with `/` between them, none of them empty, `.` or `..`, at most {LONGEST} characters",
        )


def _wrong(text: str) -> str:
    if not text or len(text) > LONGEST:
        return f"it has {len(text)} characters"
    if any(ord(character) < 32 or character in "\x7f\\" or "\ud800" <= character <= "\udfff" for character in text):
        return "it has a control character, a backslash or half a character"
    for part in text.split("/"):
        if part in ("", ".", ".."):
            return f"one of its parts is {part!r}"
        if len(part.encode()) > 240:
            return "one of its parts has more than 240 bytes"
    return ""
