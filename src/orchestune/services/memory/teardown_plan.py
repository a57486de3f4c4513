"""State of the teardown of a cluster that destroys itself after an idle timeout."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestune.errors import UsageError

_MARK = "retiring"


@dataclass
class TeardownPlan:
    """Teardown plan and state of one cluster. Written by one controller; routes read each field atomically."""

    after: float
    """Idle timeout in seconds."""
    archive: str
    place: dict[str, Any]
    """Options of the provider's teardown."""
    mark: Path
    """File that exists once the teardown has started, so that a restarted server knows it."""
    since: float | None = None
    """Wall time since when the cluster is idle, for display; None if it is not idle."""
    trouble: str = ""
    """Error that blocks the teardown; empty if none."""

    @property
    def begun(self) -> bool:
        """True once the teardown has started: the final copy of the records is made, new requests are refused."""
        return self.mark.exists()

    def begin(self) -> None:
        """Start the teardown: refuse new requests from now on."""
        self.mark.touch()

    def call_off(self) -> None:
        """Cancel the teardown: accept requests again. Idempotent."""
        self.mark.unlink(missing_ok=True)


def read(file: Path, state: Path) -> TeardownPlan:
    """Parse the plan that `cluster create` wrote for the server. Raises UsageError if it cannot be read."""
    try:
        settings = json.loads(file.read_text())
        return TeardownPlan(float(settings.pop("after")), str(settings.pop("archive")), settings, state / _MARK)
    except (OSError, ValueError, KeyError, AttributeError) as exc:
        raise UsageError(f"cannot read the teardown plan {file}: {exc}") from exc


def forget(state: Path) -> None:
    """Delete the mark of a teardown that was cancelled while no server ran. Idempotent."""
    (state / _MARK).unlink(missing_ok=True)
