"""External experiment tracker that records an experiment while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestune.domain.specification.notify import public_part


@dataclass(frozen=True)
class Tracker:
    """MLflow tracking server."""

    uri: str
    """the URL, or `env:NAME` or `file:PATH` on the client's machine; only its origin is stored"""
    token: str = ""
    """`env:NAME` or `file:PATH` of the access token; empty: none"""
    experiment: str = ""
    """MLflow experiment for the runs; empty: the one with the same name"""

    def to_json(self) -> dict[str, Any]:
        """Serialize for storage, with the URL redacted."""
        return {"uri": public_part(self.uri), "token": self.token, "experiment": self.experiment}

    @classmethod
    def from_json(cls, document: Mapping[str, Any] | None) -> Tracker | None:
        """Parse a stored tracker, None if absent; its URL remains redacted."""
        if not document:
            return None
        return cls(str(document["uri"]), str(document.get("token") or ""), str(document.get("experiment") or ""))
