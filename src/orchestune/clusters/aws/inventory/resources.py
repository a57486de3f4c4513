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
    delete: Callable[[], None] | None = None
    """requests the deletion; None: it is deleted along with another resource, or already being deleted"""
    blocker: Callable[[], str] = lambda: ""
    """describes foreign resources that block the deletion, so that waiting is hopeless; empty if none"""

    @property
    def display_name(self) -> str:
        """Name, and the ID shown in the AWS console."""
        return self.name if self.name in self.id else f"{self.name} ({self.id})" if self.name else self.id


def delete(resource: Resource) -> None:
    """Request the deletion. Ignores NotFound: the response to an earlier attempt may have been lost."""
    if resource.delete is not None:
        with suppress(NotFound):
            resource.delete()


@dataclass(frozen=True)
class ResourceKind:
    """All resources of one kind. Removal looks at a kind only after all earlier kinds are gone."""

    service: str
    kind: str
    find: Callable[[], Sequence[Resource]]
    timeout: float = 900.0
    """seconds within which all resources of this kind must be deleted"""

    def planned(self, resource: Resource) -> Planned:
        """Return the resource as named in events."""
        return Planned(self.kind, resource.name or resource.id)
