"""The end of a cluster that destroys itself when nobody uses it, as its server sees it coming."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Retirement:
    """One cluster's. Written by one controller; read by routes, which see whole values."""

    after: float
    """seconds without work"""
    archive: str
    place: dict[str, Any]
    """what the provider's undertaker needs"""
    mark: Path
    """a file that is there once the end has begun, so that a server which is started again knows it"""
    since: float | None = None
    """wall time since when there is no work, for people; None: there is some"""
    trouble: str = ""
    """why it does not end, although it should"""

    @property
    def begun(self) -> bool:
        """Whether records are copied for the last time, and nothing new is taken any more."""
        return self.mark.exists()

    def begin(self) -> None:
        """Take nothing new from here on."""
        self.mark.touch()

    def call_off(self) -> None:
        """Take what comes, as before."""
        self.mark.unlink(missing_ok=True)
