"""Numbered changes of a view's documents: a resumed stream sends those since its last event, and each only once."""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestune.errors import BadInput
from orchestune.server.answers import encoded

_POSITION = re.compile(r"([0-9a-f]{8})-([0-9]{1,15})(?:-([0-9]{1,18}))?")
_MAX_DELETED = 1000
"""maximum of deleted documents to remember"""
_MAX_CACHED_RESPONSES = 20
"""maximum of cached responses, by the number that they start from"""


@dataclass(frozen=True)
class StreamPosition:
    """Position of a stream: the journal, the number of its last change sent, and the log cursor, if any."""

    journal: str
    number: int
    log_cursor: int | None = None

    @classmethod
    def parse(cls, text: str) -> StreamPosition | None:
        """Parse the `str` form; return None if `text` is empty. Raises BadInput if it is malformed."""
        if not text:
            return None
        match = _POSITION.fullmatch(text)
        if match is None:
            raise BadInput.one(f"not an event id of this stream: {text!r}", key="after")
        return cls(match[1], int(match[2]), None if match[3] is None else int(match[3]))

    def __str__(self) -> str:
        return f"{self.journal}-{self.number}" + ("" if self.log_cursor is None else f"-{self.log_cursor}")


@dataclass
class Journal:
    """The current documents of a view, each with the number of its last change.

    Older versions are not kept, so a client that was away for long gets each document once. Used on the event loop
    only.
    """

    name: str = field(default_factory=lambda: secrets.token_hex(4))
    """random, so that it differs after a server restart or an eviction of the view: clients then reload everything"""
    number: int = 0
    _events: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    _deleted: OrderedDict[str, int] = field(default_factory=OrderedDict)
    _forgotten: int = 0
    """number of the newest deletion that is not remembered any more: positions before it cannot resume"""
    _cached: dict[int, bytes] = field(default_factory=dict)
    """cache of the events since a number: most clients are at the same one"""
    _size: int = 0

    @property
    def size(self) -> int:
        """Bytes of the documents and cached responses."""
        return self._size + sum(map(len, self._cached.values()))

    def update(self, events: Mapping[str, bytes]) -> None:
        """Update the journal with the current documents: the event of each, by its name."""
        current: dict[str, tuple[int, bytes]] = {}
        number = self.number + 1
        for name, event in events.items():
            previous = self._events.get(name)
            current[name] = previous if previous is not None and previous[1] == event else (number, event)
            self._deleted.pop(name, None)
        missing = self._events.keys() - current.keys()
        self._deleted.update(dict.fromkeys(missing, number))
        while len(self._deleted) > _MAX_DELETED:
            self._forgotten = self._deleted.popitem(last=False)[1]
        if missing or any(changed == number for changed, _ in current.values()):
            self.number = number
            self._cached.clear()
        self._events = current
        self._size = sum(len(event) for _, event in current.values())

    def can_resume(self, position: StreamPosition | None) -> bool:
        """Return True if the stream can resume from `position`; otherwise the client must reload all documents."""
        return (
            position is not None and position.journal == self.name and self._forgotten <= position.number <= self.number
        )

    def since(self, number: int) -> bytes:
        """Return the events since `number`; 0 for all current documents."""
        if number not in self._cached:
            if len(self._cached) >= _MAX_CACHED_RESPONSES:
                self._cached.clear()
            changed = [event for at, event in self._events.values() if at > number]
            deleted = [name for name, at in self._deleted.items() if at > number] if number else []
            gone = (b"event: gone\ndata: %s\n\n" % encoded(name) for name in deleted)
            self._cached[number] = b"".join([*changed, *gone])
        return self._cached[number]


class Journals:
    """The journals of the most recently used views, bounded by their number and bytes.

    A stream whose journal was evicted continues: its next read starts another one, with all documents.
    """

    def __init__(self, max_journals: int = 200, max_bytes: int = 64 * 2**20) -> None:
        self._max_journals, self._max_bytes = max_journals, max_bytes
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
        while len(self._journals) > 1 and (len(self._journals) > self._max_journals or size > self._max_bytes):
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
    """Log chunks as an event without its id, empty if there are none.

    With it come the cursor after them, the signal version of the log before the read, and True if more are available.
    """

    next: int
    version: int = 0
    event: bytes = b""
    more: bool = False
