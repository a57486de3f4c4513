"""Masks the values of secrets in logs, also if they span chunks of the output."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

HIDDEN = b"***"
MIN_SECRET_BYTES = 4
"""minimum length in bytes: a shorter value can be guessed, and masking it would make logs unreadable"""
_UNPAIRED_SURROGATE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""a surrogate that does not encode a byte"""


def spellings(values: Iterable[str], longest: float = math.inf) -> list[bytes]:
    """Return the byte strings to mask: each value, the long lines of multi-line ones, and their usual encodings.

    `longest`: texts of more characters are left out, as no encoding is shorter.
    """
    spelled: set[str] = set()
    for value in values:
        lines = [line for line in value.splitlines() if len(line) >= 2 * MIN_SECRET_BYTES]
        for text in [value, value.strip(), *lines]:
            if len(text) > longest:
                continue
            spelled.update((text, quote(text, safe=""), quote_plus(text), json.dumps(text)[1:-1], repr(text)[1:-1]))
    encoded = {text.encode("utf-8", "surrogateescape") for text in spelled}
    return sorted((text for text in encoded if len(text) >= MIN_SECRET_BYTES), key=lambda text: (-len(text), text))


def masked_text(text: str, secrets: Iterable[bytes]) -> str:
    """Mask a short text without compiling a pattern, which takes many seconds for secrets of 100 KB."""
    encoded = _encoded(text)
    for secret in secrets:
        encoded = encoded.replace(secret, HIDDEN)
    return encoded.decode("utf-8", "replace")


def _encoded(text: str) -> bytes:
    return _UNPAIRED_SURROGATE.sub("\ufffd", text).encode("utf-8", "surrogateescape")


class Mask:
    """Masks secrets in a stream of chunks. Only bytes that may begin a secret are held back."""

    def __init__(self, secrets: list[bytes]) -> None:
        self._secrets = secrets
        self._pattern = re.compile(b"|".join(re.escape(secret) for secret in secrets)) if secrets else None
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Add a chunk and return the masked bytes that are final now."""
        if self._pattern is None:
            return data
        text = self._held + data
        pending = self._beginning_at_end(text)
        pieces: list[bytes] = []
        position = 0
        for match in self._pattern.finditer(text):
            if match.end() > len(text) - pending and match.start() >= len(text) - pending:
                break
            pieces += (text[position : match.start()], HIDDEN)
            position = match.end()
        cut = max(position, len(text) - pending)
        pieces.append(text[position:cut])
        self._held = text[cut:]
        return b"".join(pieces)

    def flush(self) -> bytes:
        """Return the bytes held back, at the end of the stream."""
        rest, self._held = self._held, b""
        return self.once(rest)

    def once(self, data: bytes) -> bytes:
        """Mask a complete byte string."""
        return self._pattern.sub(HIDDEN, data) if self._pattern else data

    def text(self, text: str) -> str:
        """Mask a complete message."""
        return self.once(_encoded(text)).decode("utf-8", "replace")

    def _beginning_at_end(self, text: bytes) -> int:
        """Return the length of the longest suffix of `text` that begins a secret."""
        longest = 0
        for secret in self._secrets:
            position = text.find(secret[:1], max(0, len(text) - len(secret) + 1))
            while position >= 0 and len(text) - position > longest:
                if secret.startswith(text[position:]):
                    longest = len(text) - position
                position = text.find(secret[:1], position + 1)
        return longest
