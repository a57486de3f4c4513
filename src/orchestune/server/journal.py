"""What a view has shown, counted: whoever comes back hears of what changed since, and of nothing twice."""

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
"""documents that went away and are still known to have been there"""
_TOLD = 20
"""places from which somebody was told lately"""


@dataclass(frozen=True)
class Place:
    """How far somebody has heard: changes of which journal, and lines of a log where there are any."""

    journal: str
    number: int
    line: int | None = None

    @classmethod
    def parse(cls, text: str) -> Place | None:
        """What `str` of one gave; None for nothing. BadInput."""
        if not text:
            return None
        found = _PLACE.fullmatch(text)
        if found is None:
            raise BadInput.one(f"{text!r} is no id of an event of this stream", key="after")
        return cls(found[1], int(found[2]), None if found[3] is None else int(found[3]))

    def __str__(self) -> str:
        return f"{self.journal}-{self.number}" + ("" if self.line is None else f"-{self.line}")

    def at(self, line: int) -> Place:
        """The same, behind another line."""
        return replace(self, line=line)


@dataclass
class Journal:
    """The present documents of a view, each with the number of the change that made it what it is.

    Only what is there now is kept, so whoever was away for long hears of each document once. Used on the event loop
    alone.
    """

    name: str = field(default_factory=lambda: secrets.token_hex(4))
    """another one when the server starts again or has forgotten the view: whoever was here before begins anew"""
    number: int = 0
    _items: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    _gone: OrderedDict[str, int] = field(default_factory=OrderedDict)
    _forgotten: int = 0
    _told: dict[int, bytes] = field(default_factory=dict)
    """the events behind a number: most who listen are equally far"""

    def take(self, events: Mapping[str, bytes]) -> None:
        """What is there now: the event that tells of each document, by its name."""
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

    def knows(self, place: Place | None) -> bool:
        """Whether it can tell what has changed since then."""
        return place is not None and place.journal == self.name and self._forgotten <= place.number <= self.number

    def since(self, number: int) -> bytes:
        """The events behind `number`; 0 for all documents that are there."""
        if number not in self._told:
            if len(self._told) >= _TOLD:
                self._told.clear()
            changed = [event for at, event in self._items.values() if at > number]
            gone = [name for name, at in self._gone.items() if at > number] if number else []
            self._told[number] = b"".join([*changed, *(b"event: gone\ndata: %s\n\n" % encoded(name) for name in gone)])
        return self._told[number]


@dataclass(frozen=True)
class Seen:
    """Where what was read stands, and how far what it tells of had counted when it began to be read."""

    version: int
    journal: Journal


@dataclass(frozen=True)
class Lines:
    """Chunks of a log as an event without its id (nothing where there are none), the cursor behind them, the count of
    the log before they were read, and whether more are there already.
    """

    next: int
    version: int = 0
    event: bytes = b""
    more: bool = False
