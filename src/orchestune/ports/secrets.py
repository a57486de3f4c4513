"""The interface of a store for the values of secrets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class SecretStore(Protocol):
    """Secrets by experiment, apart from the record. Blocking, idempotent, thread-safe."""

    def put(self, experiment: str, values: Mapping[str, str]) -> None:
        """Store the secrets of an experiment, readable by the server's user only."""

    def get(self, experiment: str) -> dict[str, str]:
        """Return the secrets of an experiment, empty if there are none."""

    def delete(self, experiment: str) -> None:
        """Delete the secrets of an experiment, if any."""


class EnvironmentStore(SecretStore, Protocol):
    """Environments by experiment, on the machine whose shells they come from; otherwise as `SecretStore`."""

    def names(self) -> Sequence[str]:
        """Return the names under which values are stored."""
