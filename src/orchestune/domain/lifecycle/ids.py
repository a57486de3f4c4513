"""Identifiers: UUIDv7 for experiments and attempts, and the short handles that users type."""

from __future__ import annotations

import re
import unicodedata
import uuid

HANDLE_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no ambiguous characters


def uuid7(milliseconds: int, entropy: bytes) -> str:
    """Return a UUID of version 7 (RFC 9562), which sorts by time; `entropy` is ten random bytes."""
    value = (milliseconds & (2**48 - 1)) << 80 | int.from_bytes(entropy[:10], "big")
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0x3 << 62) | 2 << 62
    return str(uuid.UUID(int=value))


def slug(name: str) -> str:
    """Return the handle's prefix made from the experiment's name: lower case, dashes, at most 24 characters."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    text = ""
    for word in words:
        if text and len(text) + 1 + len(word) > 24:
            break
        text = f"{text}-{word}" if text else word[:24]
    return text or "experiment"


def handle(name: str, entropy: bytes) -> str:
    """Return the slug of the name and four characters, as `sgd-7f3a`; `entropy` is at least four random bytes."""
    return f"{slug(name)}-{''.join(HANDLE_ALPHABET[byte % 32] for byte in entropy[:4])}"


def is_handle(text: str) -> bool:
    """Return True if `text` has the form of a handle: words that no shell or terminal needs to quote or escape."""
    return re.fullmatch(r"[0-9a-z]+(-[0-9a-z]+)*", text) is not None


def split_reference(text: str) -> tuple[str, int | None]:
    """Split `sgd-7f3a/12` into (`sgd-7f3a`, 12); the trial is None without a slash.

    Raises ValueError if the part after the slash is not a trial number.
    """
    experiment, slash, number = text.partition("/")
    if not slash:
        return experiment, None
    if not number.isdecimal() or int(number) < 1:
        raise ValueError(f"invalid trial number: '{text}' (expected such as {experiment or 'sgd-7f3a'}/12)")
    return experiment, int(number)
