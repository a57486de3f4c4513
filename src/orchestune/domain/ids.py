"""Identities: UUIDv7 for experiments and attempts, and the short handles that people type."""

from __future__ import annotations

import re
import unicodedata
import uuid

HANDLE_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: nothing that reads like something else


def uuid7(milliseconds: int, entropy: bytes) -> str:
    """A UUID of version 7 (RFC 9562): sorts by time; `entropy` is ten random bytes."""
    value = (milliseconds & (2**48 - 1)) << 80 | int.from_bytes(entropy[:10], "big")
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0x3 << 62) | 2 << 62
    return str(uuid.UUID(int=value))


def slug(name: str) -> str:
    """The part of a handle that comes from the experiment's name: lower case, dashes, at most 24 characters."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    text = ""
    for word in words:
        if text and len(text) + 1 + len(word) > 24:
            break
        text = f"{text}-{word}" if text else word[:24]
    return text or "experiment"


def handle(name: str, entropy: bytes) -> str:
    """`sgd-7f3a`: the slug of the name and four characters; `entropy` is at least four random bytes."""
    return f"{slug(name)}-{''.join(HANDLE_ALPHABET[byte % 32] for byte in entropy[:4])}"


def is_handle(text: str) -> bool:
    """Return True if `text` is made like a handle: words that every shell and every terminal shows as they are."""
    return re.fullmatch(r"[0-9a-z]+(-[0-9a-z]+)*", text) is not None


def split_reference(text: str) -> tuple[str, int | None]:
    """`sgd-7f3a/12` → (`sgd-7f3a`, 12); without a slash the trial is None. ValueError where the number is none."""
    experiment, slash, number = text.partition("/")
    if not slash:
        return experiment, None
    if not number.isdecimal() or int(number) < 1:
        raise ValueError(
            f"'{text}': after the slash stands the number of a trial, such as {experiment or 'sgd-7f3a'}/12"
        )
    return experiment, int(number)
