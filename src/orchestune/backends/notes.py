"""The folder in which a backend of this machine notes what it did with one worker."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestune.errors import UsageError
from orchestune.ports.backend import Gone
from orchestune.system.private import write_private

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class End:
    """How a worker ended: told once, and again to whoever asks."""

    gone: Gone
    reason: str


def is_worker(name: str) -> bool:
    """Whether it can be the id of a worker, and so the name of its folder."""
    return _NAME.fullmatch(name) is not None


def folder_of(workers: Path, worker: str) -> Path:
    """The folder of a worker. UsageError where the id is none that can be a name of a folder."""
    if not is_worker(worker):
        raise UsageError(f"{worker!r} is no id of a worker")
    return workers / worker


def read_note(path: Path) -> dict[str, Any]:
    """What was noted; nothing where the note is missing or cut off."""
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def noted_deadline(path: Path) -> float | None:
    """When the worker is to be killed, on this machine's monotonic clock; None where nobody ended it."""
    deadline = read_note(path).get("kill_at")
    return float(deadline) if isinstance(deadline, int | float) else None


def note_deadline(path: Path, kill_at: float) -> None:
    """Remember when the worker is to be killed; of several times the earliest holds."""
    write_private(path, json.dumps({"kill_at": min(kill_at, noted_deadline(path) or kill_at)}))


def noted_end(path: Path) -> End | None:
    """The verdict; None where the worker has not ended."""
    document = read_note(path)
    return End(Gone(document["gone"]), str(document["reason"])) if document else None


def note_verdict(path: Path, end: End) -> None:
    """Remember the verdict."""
    write_private(path, json.dumps({"gone": end.gone, "reason": end.reason}))
