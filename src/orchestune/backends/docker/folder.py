"""What stands on disk for one worker, so that a server which was killed at any moment finds it again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestune.backends.notes import End, Notes, read_note, workers_in
from orchestune.domain.placement import Placement
from orchestune.domain.resources import Resources
from orchestune.ports.backend import WorkerOrder
from orchestune.system.private import locked, write_private

_TAKEN_ALONG = ("root", "links")
"""what a container has of the caller's shell: an image has an environment of its own"""


class WorkerFolder(Notes):
    """`docker/workers/ID` in the state folder.

    `order.json` (with the token) until its container was started, `started.json` from then on, `ending.json` once it
    was told to end, `ended.json` with the verdict, `worker.log` with its last lines.
    """

    def __init__(self, workers: Path, worker: str) -> None:
        """UsageError where the id is none that can be a name of a folder."""
        super().__init__(workers, worker)
        self._order = self.path / "order.json"
        self._started = self.path / "started.json"

    def take(self, order: WorkerOrder) -> None:
        """Remember what is to be started, unless that was done before. OSError where it cannot be kept."""
        for folder in (self.path.parent, self.path):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._order.exists() and not self._started.exists() and not self._ended.exists():
            write_private(self._order, json.dumps(_to_json(order)))

    def order(self) -> WorkerOrder | None:
        """What is still to be started; None where nothing is."""
        document = read_note(self._order)
        return _from_json(document) if document else None

    def claimed(self) -> AbstractContextManager[None]:
        """Alone with this worker, among threads and processes: a server may follow one that has not quite ended."""
        return locked(self.path / "claim")

    def started(self) -> str | None:
        """The name of the container that was started; None where none was."""
        return str(read_note(self._started).get("name") or "") or None

    def note_started(self, name: str) -> None:
        """Its container runs: forget the order and its token."""
        write_private(self._started, json.dumps({"name": name}))
        self._order.unlink(missing_ok=True)

    def note_end(self, end: End, lines: list[str]) -> None:
        """Keep the verdict and the last lines, and nothing that is secret."""
        if lines:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self.path / "worker.log", "\n".join([*lines, ""]))
        self._note_verdict(end)
        self._order.unlink(missing_ok=True)

    def remove(self) -> None:
        """Forget the worker. Idempotent; what cannot be removed stays."""
        shutil.rmtree(self.path, ignore_errors=True)


def every(workers: Path) -> Iterator[WorkerFolder]:
    """The folders of all workers."""
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
