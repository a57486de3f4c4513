"""Files of one worker, from which a server killed at any moment recovers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestune.backends.worker_notes import WorkerEnd, WorkerNotes, read_note, workers_in
from orchestune.domain.resources.placement import Placement
from orchestune.domain.resources.resources import Resources
from orchestune.ports.backend import WorkerOrder
from orchestune.system.private import locked, write_private

_TAKEN_ALONG = ("root", "links")
"""keys of the client's shell that containers get: an image has its own environment"""


class WorkerFolder(WorkerNotes):
    """`docker/workers/ID` in the state folder.

    `order.json` (with the token) until its container is started, `started.json` afterwards, `ending.json` once it was
    asked to terminate, `ended.json` with the end, `worker.log` with its log tail.
    """

    def __init__(self, workers: Path, worker: str) -> None:
        """Name the folder; raise UsageError if the id is not a valid folder name."""
        super().__init__(workers, worker)
        self._order = self.path / "order.json"
        self._started = self.path / "started.json"

    def take(self, order: WorkerOrder) -> None:
        """Record the order unless already recorded. Raises OSError if it cannot be written."""
        for folder in (self.path.parent, self.path):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._order.exists() and not self._started.exists() and not self._ended.exists():
            write_private(self._order, json.dumps(_to_json(order)))

    def order(self) -> WorkerOrder | None:
        """Return the order that is still to be started; None if there is none."""
        document = read_note(self._order)
        return _from_json(document) if document else None

    def locked_for_start(self) -> AbstractContextManager[None]:
        """Lock the worker against other threads and processes: an earlier server may not have exited completely."""
        return locked(self.path / "claim")

    def started(self) -> str | None:
        """Return the name of the started container; None if none was."""
        return str(read_note(self._started).get("name") or "") or None

    def note_started(self, name: str) -> None:
        """Record that its container runs, and delete the order with its token."""
        write_private(self._started, json.dumps({"name": name}))
        self._order.unlink(missing_ok=True)

    def note_end(self, end: WorkerEnd, lines: list[str]) -> None:
        """Record the end and the log tail, and delete the order with its token."""
        if lines:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self.path / "worker.log", "\n".join([*lines, ""]))
        self._write_end(end)
        self._order.unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete all files of the worker. Idempotent, best-effort."""
        shutil.rmtree(self.path, ignore_errors=True)


def all_worker_folders(workers: Path) -> Iterator[WorkerFolder]:
    """Return the folders of all workers."""
    return (WorkerFolder(workers, name) for name in workers_in(workers))


def _to_json(order: WorkerOrder) -> dict[str, Any]:
    kept = {name: order.launch[name] for name in _TAKEN_ALONG if order.launch.get(name)}
    lean = replace(order, launch=kept)
    return {**vars(lean), "each": order.each.to_json(), "placement": order.placement.to_json(), "avoid": []}


def _from_json(document: Mapping[str, Any]) -> WorkerOrder:
    return WorkerOrder(
        **{
            **document,
            "gpus": tuple(document["gpus"]),
            "each": Resources.from_json(document["each"]),
            "placement": Placement.from_json(document["placement"]),
            "avoid": frozenset(),
        }
    )
