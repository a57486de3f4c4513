"""Notes of a backend on disk about one worker."""

from __future__ import annotations

import json
import os
import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestune.errors import UsageError
from orchestune.ports.backend import WorkerLoss
from orchestune.system.private import create_private, write_private

_IDENTITY = "identity"
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class WorkerEnd:
    """The end of a worker: recorded once and returned to every later caller."""

    loss: WorkerLoss
    reason: str


def is_worker(name: str) -> bool:
    """Return True if it is a valid worker id, and so a folder name."""
    return _NAME.fullmatch(name) is not None


def folder_of(workers: Path, worker: str) -> Path:
    """Return the folder of a worker. Raises UsageError if the id is not a valid folder name."""
    if not is_worker(worker):
        raise UsageError(f"invalid worker id: {worker!r}")
    return workers / worker


def read_note(path: Path) -> dict[str, Any]:
    """Return the content of a note; empty if it is missing or truncated."""
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def noted_deadline(path: Path) -> float | None:
    """Return the worker's deadline on this machine's monotonic clock; None if it was not asked to terminate."""
    deadline = read_note(path).get("kill_at")
    return float(deadline) if isinstance(deadline, int | float) else None


class WorkerNotes:
    """Notes on a worker that takes time to end: `ending.json` when asked to terminate, `ended.json` with the end."""

    def __init__(self, workers: Path, worker: str) -> None:
        """Compute the paths; nothing is created. Raises UsageError if the ID is not a valid folder name."""
        self.worker = worker
        self.path = folder_of(workers, worker)
        self._ending = self.path / "ending.json"
        self._ended = self.path / "ended.json"

    def kill_at(self) -> float | None:
        """Return the worker's deadline on this machine's monotonic clock; None if it was not asked to terminate."""
        return noted_deadline(self._ending)

    def note_ending(self, kill_at: float) -> None:
        """Record that the worker was asked to terminate; the earliest of several deadlines applies."""
        write_private(self._ending, json.dumps({"kill_at": min(kill_at, self.kill_at() or kill_at)}))

    def end(self) -> WorkerEnd | None:
        """Return the recorded end; None if the worker has not ended."""
        document = read_note(self._ended)
        return WorkerEnd(WorkerLoss(document["gone"]), str(document["reason"])) if document else None

    def _write_end(self, end: WorkerEnd) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self._ended, json.dumps({"gone": end.loss, "reason": end.reason}))


def workers_in(folder: Path) -> list[str]:
    """Return the ids of the workers with notes."""
    return [name for name in (os.listdir(folder) if folder.is_dir() else ()) if is_worker(name)]


def identity(state: Path) -> str:
    """Return the id that distinguishes our objects from those of other state folders; created at the first call."""
    path = state / _IDENTITY
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        create_private(path, uuid.uuid4().hex)
    return path.read_text()


def planned_identity(state: Path) -> str:
    """Return the result of `identity` for a dry run, which may create nothing: zeros if it does not exist yet."""
    try:
        return (state / _IDENTITY).read_text()
    except FileNotFoundError:
        return uuid.UUID(int=0).hex
