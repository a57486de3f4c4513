"""Where else an experiment is recorded while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestune.domain.notify import shown


@dataclass(frozen=True)
class Tracker:
    """A tracking server of MLflow."""

    uri: str
    """its address, or `env:NAME` or `file:PATH` on the caller's machine; records have no more than its host"""
    token: str = ""
    """`env:NAME` or `file:PATH` of what is shown there; empty: nothing"""
    experiment: str = ""
    """the experiment there that takes the runs; empty: one of the same name"""

    def to_json(self) -> dict[str, Any]:
        """As records have it."""
        return {"uri": shown(self.uri), "token": self.token, "experiment": self.experiment}

    @classmethod
    def from_json(cls, document: Mapping[str, Any] | None) -> Tracker | None:
        """The inverse, as far as records go."""
        if not document:
            return None
        return cls(str(document["uri"]), str(document.get("token") or ""), str(document.get("experiment") or ""))
