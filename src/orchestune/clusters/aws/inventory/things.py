"""One kind of things, how they are found, and how one is removed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from orchestune.domain.cluster import Planned
from orchestune.errors import NotFound


@dataclass(frozen=True)
class Thing:
    """Something of the cluster that is there."""

    id: str
    name: str = ""
    remove: Callable[[], None] | None = None
    """None: it goes with something else, and is waited for"""
    blocked: Callable[[], str] = lambda: ""
    """what of somebody else keeps it from going, so that waiting is in vain"""

    @property
    def where(self) -> str:
        """Its name, and the id by which the provider's console has it."""
        return self.name if self.name in self.id else f"{self.name} ({self.id})" if self.name else self.id


def take_away(thing: Thing) -> None:
    """Remove it, unless it is gone: an earlier try may have done that whose answer was lost."""
    if thing.remove is not None:
        with suppress(NotFound):
            thing.remove()


@dataclass(frozen=True)
class Shelf:
    """All things of one kind. A later shelf is looked at once the earlier ones are empty."""

    service: str
    kind: str
    find: Callable[[], Sequence[Thing]]
    seconds: float = 900.0
    """how long things of this kind may take to go"""

    def planned(self, thing: Thing) -> Planned:
        """As events name it."""
        return Planned(self.kind, thing.name or thing.id)
