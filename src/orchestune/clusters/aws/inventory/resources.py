"""Resources of one kind: how to find and delete them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from orchestune.domain.clusters.cluster import Planned
from orchestune.errors import NotFound


@dataclass(frozen=True)
class Resource:
    """An existing resource of the cluster."""

    id: str
    name: str = ""
    remove: Callable[[], None] | None = None
    """deletes the resource; None: it is deleted along with another one, wait for it"""
    blocked: Callable[[], str] = lambda: ""
    """describes foreign resources that block the deletion, so that waiting is hopeless; empty if none"""

    @property
    def where(self) -> str:
        """Name, and the ID shown in the AWS console."""
        return self.name if self.name in self.id else f"{self.name} ({self.id})" if self.name else self.id


def take_away(thing: Resource) -> None:
    """Delete a resource. Ignores NotFound: the response to an earlier attempt may have been lost."""
    if thing.remove is not None:
        with suppress(NotFound):
            thing.remove()


@dataclass(frozen=True)
class ResourceKind:
    """All resources of one kind. Removal looks at a kind only after all earlier kinds are gone."""

    service: str
    kind: str
    find: Callable[[], Sequence[Resource]]
    seconds: float = 900.0
    """timeout for deleting all resources of this kind"""

    def planned(self, thing: Resource) -> Planned:
        """Return the resource as named in events."""
        return Planned(self.kind, thing.name or thing.id)
