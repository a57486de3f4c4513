"""The part of a client of an API server that reads: the server's own client has it, and that of a user's command."""

from __future__ import annotations

from typing import Any, Protocol


class ApiReader(Protocol):
    """A client of an API server.

    Raises NotFound, Denied without the permission, TemporaryError if a retry may succeed.
    """

    def call(self, method: str, path: str) -> Any:
        """Return the response document."""
