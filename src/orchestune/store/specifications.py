"""Parsed specifications, cached by their text."""

from __future__ import annotations

import json
from collections import OrderedDict
from threading import Lock

from orchestune.domain.specification.experiment import Specification

_MAX_CACHED_CHARACTERS = 32 * 2**20
"""characters of the cached texts; parsed, they take several times as much memory"""


class _ParsedSpecifications:
    """Thread-safe LRU cache, bounded by the length of the texts: some have 1,000 times the length of others.

    Controllers read every unfinished experiment at each tick. If their texts were more than the bound, each tick would
    parse all of them, so the bound is well above those of hundreds of usual experiments.
    """

    def __init__(self, max_characters: int) -> None:
        self._max_characters = max_characters
        self._size = 0
        self._parsed: OrderedDict[str, Specification] = OrderedDict()
        self._lock = Lock()

    def get(self, text: str) -> Specification:
        """Return the parsed text. Two threads that miss at the same time both parse it."""
        with self._lock:
            if text in self._parsed:
                self._parsed.move_to_end(text)
                return self._parsed[text]
        specification = Specification.from_json(json.loads(text), is_validated=True)
        with self._lock:
            if text not in self._parsed:
                self._size += len(text)
            self._parsed[text] = specification
            while self._size > self._max_characters:
                self._size -= len(self._parsed.popitem(last=False)[0])
        return specification


_PARSED = _ParsedSpecifications(_MAX_CACHED_CHARACTERS)


def read_specification(text: str) -> Specification:
    """Parse a stored specification, which was validated before it was stored. Cached."""
    return _PARSED.get(text)
