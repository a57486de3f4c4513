"""Numbered changes of a view's documents: a resumed stream sends those since its last event, and each only once."""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from orchestune.errors import BadInput
from orchestune.server.answers import encoded

_PLACE = re.compile(r"([0-9a-f]{8})-([0-9]{1,15})(?:-([0-9]{1,18}))?")
_GONE = 1000
"""maximum of deleted documents to remember"""
_TOLD = 20
"""maximum of cached answers, by the number that they start from"""


@dataclass(frozen=True)
class StreamPosition:
    """Position of a stream: the journal, the number of its last change sent, and the log cursor, if any."""

    journal: str
    number: int
    line: int | None = None

    @classmethod
    def parse(cls, text: str) -> StreamPosition | None:
        """Parse the `str` form; return None if `text` is empty. Raises BadInput if it is malformed."""
        if not text:
            return None
        found = _PLACE.fullmatch(text)
        if found is None:
            raise BadInput.one(f"{text!r} is no id of an event of this stream", key="after")
        return cls(found[1], int(found[2]), None if found[3] is None else int(found[3]))

    def __str__(self) -> str:
        return f"{self.journal}-{self.number}" + ("" if self.line is None else f"-{self.line}")

    def at(self, line: int) -> StreamPosition:
        """Return a copy with another log cursor."""
        return replace(self, line=line)


@dataclass
class Journal:
    """The current documents of a view, each with the number of its last change.

    Older versions are not kept, so a client that was away for long gets each document once. Used on the event loop
    only.
    """

    name: str = field(default_factory=lambda: secrets.token_hex(4))
    """random, so that it differs after a server restart or an eviction of the view: clients then reload everything"""
    number: int = 0
    _items: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    _gone: OrderedDict[str, int] = field(default_factory=OrderedDict)
    _forgotten: int = 0
    _told: dict[int, bytes] = field(default_factory=dict)
    """cache of the events since a number: most clients are at the same one"""
    _size: int = 0

    @property
    def size(self) -> int:
        """Bytes of the documents and cached answers."""
        return self._size + sum(map(len, self._told.values()))

    def take(self, events: Mapping[str, bytes]) -> None:
        """Update the journal with the current documents: the event of each, by its name."""
        found: dict[str, tuple[int, bytes]] = {}
        number = self.number + 1
        for name, event in events.items():
            before = self._items.get(name)
            found[name] = before if before is not None and before[1] == event else (number, event)
            self._gone.pop(name, None)
        missing = self._items.keys() - found.keys()
        self._gone.update(dict.fromkeys(missing, number))
        while len(self._gone) > _GONE:
            self._forgotten = self._gone.popitem(last=False)[1]
        if missing or any(changed == number for changed, _ in found.values()):
            self.number = number
            self._told.clear()
        self._items = found
        self._size = sum(len(event) for _, event in found.values())

    def knows(self, place: StreamPosition | None) -> bool:
        """Return True if the stream can resume from `place`; otherwise the client must reload all documents."""
        return place is not None and place.journal == self.name and self._forgotten <= place.number <= self.number

    def since(self, number: int) -> bytes:
        """Return the events since `number`; 0 for all current documents."""
        if number not in self._told:
            if len(self._told) >= _TOLD:
                self._told.clear()
            changed = [event for at, event in self._items.values() if at > number]
            gone = [name for name, at in self._gone.items() if at > number] if number else []
            self._told[number] = b"".join([*changed, *(b"event: gone\ndata: %s\n\n" % encoded(name) for name in gone)])
        return self._told[number]


class Journals:
    """The journals of the most recently used views, bounded by their number and bytes.

    A stream whose journal was evicted goes on: its next read starts another one, with all documents.
    """

    def __init__(self, most: int = 200, most_bytes: int = 64 * 2**20) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._journals: OrderedDict[str, Journal] = OrderedDict()

    def of(self, view: str) -> Journal:
        """Return the journal of a view, which becomes the most recently used one; a new one if absent."""
        journal = self._journals.setdefault(view, Journal())
        self._journals.move_to_end(view)
        return journal

    def evict(self) -> list[str]:
        """Evict the least recently used journals beyond the bounds, but never the last one; return their views."""
        evicted = []
        size = sum(journal.size for journal in self._journals.values())
        while len(self._journals) > 1 and (len(self._journals) > self._most or size > self._most_bytes):
            view, journal = self._journals.popitem(last=False)
            size -= journal.size
            evicted.append(view)
        return evicted


@dataclass(frozen=True)
class JournalRead:
    """The journal of a view after a read, and the signal version before that read."""

    version: int
    journal: Journal


@dataclass(frozen=True)
class LogEvents:
    """Log chunks as an event without its id (empty if there are none), the cursor after them, the signal version of the
    log before the read, and True if more are available.
    """

    next: int
    version: int = 0
    event: bytes = b""
    more: bool = False
