"""The end of a cluster that destroys itself when nobody uses it, as its server sees it coming."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestune.errors import UsageError

_MARK = "retiring"


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


def read(file: Path, state: Path) -> Retirement:
    """What the file says that `cluster create` left for the server. UsageError where it cannot be read."""
    try:
        found = json.loads(file.read_text())
        return Retirement(float(found.pop("after")), str(found.pop("archive")), found, state / _MARK)
    except (OSError, ValueError, KeyError, AttributeError) as exc:
        raise UsageError(f"{file} does not say when this cluster goes: {exc}") from exc


def forget(state: Path) -> None:
    """The end was called off while no server ran."""
    (state / _MARK).unlink(missing_ok=True)
