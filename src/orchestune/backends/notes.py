"""The folder in which a backend of this machine notes what it did with one worker."""

from __future__ import annotations

import json
import os
import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestune.errors import UsageError
from orchestune.ports.backend import Gone
from orchestune.system.private import create_private, write_private

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


class Notes:
    """Notes on a worker that does not end at once: `ending.json` when it was told to, `ended.json` with the verdict."""

    def __init__(self, workers: Path, worker: str) -> None:
        """UsageError where the id is none that can be a name of a folder."""
        self.worker = worker
        self.path = folder_of(workers, worker)
        self._ending = self.path / "ending.json"
        self._ended = self.path / "ended.json"

    def kill_at(self) -> float | None:
        """When the worker is to be killed, on this machine's monotonic clock; None where nobody ended it."""
        return noted_deadline(self._ending)

    def note_ending(self, kill_at: float) -> None:
        """Remember that the worker was told to end; of several times the earliest holds."""
        write_private(self._ending, json.dumps({"kill_at": min(kill_at, self.kill_at() or kill_at)}))

    def end(self) -> End | None:
        """The verdict; None where it has not ended."""
        document = read_note(self._ended)
        return End(Gone(document["gone"]), str(document["reason"])) if document else None

    def _note_verdict(self, end: End) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self._ended, json.dumps({"gone": end.gone, "reason": end.reason}))


def workers_in(folder: Path) -> list[str]:
    """The ids of the workers of which something is noted."""
    return [name for name in (os.listdir(folder) if folder.is_dir() else ()) if is_worker(name)]


def identity(state: Path) -> str:
    """Tells what is ours at a place from what is of another state folder; made at the first call."""
    path = state / "identity"
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        create_private(path, uuid.uuid4().hex)
    return path.read_text()
