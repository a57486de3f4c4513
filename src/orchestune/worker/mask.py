"""Keeps the values of secrets out of logs, wherever the chunks of the output are cut."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

HIDDEN = b"***"
SHORTEST = 4
"""a value of fewer bytes is no secret that could be kept, and hiding it would shred every log"""
_HALF = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""half of a pair of surrogates, which stands for no byte"""


def spellings(values: Iterable[str]) -> list[bytes]:
    """What to look for: each value, the long lines of one that has several, and its usual encodings."""
    found: set[str] = set()
    for value in values:
        lines = [line for line in value.splitlines() if len(line) >= 2 * SHORTEST]
        for text in [value, value.strip(), *lines]:
            found.update((text, quote(text, safe=""), quote_plus(text), json.dumps(text)[1:-1], repr(text)[1:-1]))
    encoded = {text.encode("utf-8", "surrogateescape") for text in found}
    return sorted((text for text in encoded if len(text) >= SHORTEST), key=lambda text: (-len(text), text))


class Mask:
    """Replaces secrets in a stream of chunks. Holds back only what may be the beginning of a secret."""

    def __init__(self, secrets: list[bytes]) -> None:
        self._secrets = secrets
        self._pattern = re.compile(b"|".join(re.escape(secret) for secret in secrets)) if secrets else None
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What may be shown now of everything that came so far."""
        if self._pattern is None:
            return data
        text = self._held + data
        keep = self._beginning_at_end(text)
        pieces: list[bytes] = []
        position = 0
        for match in self._pattern.finditer(text):
            if match.end() > len(text) - keep and match.start() >= len(text) - keep:
                break
            pieces += (text[position : match.start()], HIDDEN)
            position = match.end()
        cut = max(position, len(text) - keep)
        pieces.append(text[position:cut])
        self._held = text[cut:]
        return b"".join(pieces)

    def flush(self) -> bytes:
        """What was held back, once nothing more comes."""
        rest, self._held = self._held, b""
        return self.once(rest)

    def once(self, data: bytes) -> bytes:
        """A text on its own."""
        return self._pattern.sub(HIDDEN, data) if self._pattern else data

    def text(self, text: str) -> str:
        """A message on its own."""
        return self.once(_HALF.sub("\ufffd", text).encode("utf-8", "surrogateescape")).decode("utf-8", "replace")

    def _beginning_at_end(self, text: bytes) -> int:
        """How many bytes at the end of `text` are the beginning of a secret, at most."""
        longest = 0
        for secret in self._secrets:
            position = text.find(secret[:1], max(0, len(text) - len(secret) + 1))
            while position >= 0 and len(text) - position > longest:
                if secret.startswith(text[position:]):
                    longest = len(text) - position
                position = text.find(secret[:1], position + 1)
        return longest
