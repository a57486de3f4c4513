"""Where the values of secrets live while an experiment needs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class SecretStore(Protocol):
    """Values by experiment; never in the record. Blocking, idempotent, safe to call from several threads."""

    def put(self, experiment: str, values: Mapping[str, str]) -> None:
        """Keep the values of one experiment, readable by the server's user alone."""

    def get(self, experiment: str) -> dict[str, str]:
        """The values, an empty mapping where there are none."""

    def delete(self, experiment: str) -> None:
        """Forget them; a missing experiment is no error."""
