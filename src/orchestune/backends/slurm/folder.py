"""Files of one worker: notes in the state folder, and a shared folder that its node reads and writes."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

from orchestune.backends.worker_notes import WorkerEnd, WorkerNotes, folder_of, read_note, workers_in
from orchestune.system.private import locked, write_private
from orchestune.worker.files.removal import remove


class WorkerFolder(WorkerNotes):
    """`slurm/workers/ID` in the state folder, and `workers/ID` in the folder that nodes share."""

    def __init__(self, notes: Path, shared: Path, worker: str) -> None:
        """Name the folder; raise UsageError if the id is not a valid folder name."""
        super().__init__(notes, worker)
        self.shared = folder_of(shared, worker)
        self.file, self.log, self.state = (self.shared / each for each in ("worker.json", "worker.log", "state"))
        self._job = self.path / "job.json"

    @contextlib.contextmanager
    def claimed(self) -> Iterator[bool]:
        """Lock the worker against other threads and processes; yield True the first time ever."""
        for folder in (self.path.parent, self.path):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(self.path / "claim"):
            mark = self.path / "claimed"
            fresh = not mark.exists()
            mark.touch()
            yield fresh

    def prepare(self, document: str) -> None:
        """Write the worker's file and create its state folder."""
        for folder in (self.shared.parent, self.shared, self.state):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self.file, document)

    def job(self) -> str | None:
        """Return the number of the worker's job; None if none was submitted."""
        return str(read_note(self._job).get("job") or "") or None

    def note_job(self, job: str) -> None:
        """Record the worker's job."""
        write_private(self._job, json.dumps({"job": job}))

    def note_end(self, end: WorkerEnd) -> None:
        """Record the end and delete the worker's file with its token."""
        self.file.unlink(missing_ok=True)
        self._note_verdict(end)

    def last_lines(self, count: int) -> list[str]:
        """Return the worker's log tail."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(self.log.stat().st_size - 64 * 1024, 0))
                return [line for line in file.read().decode(errors="replace").splitlines() if line.strip()][-count:]
        except OSError:
            return []

    def empty(self) -> None:
        """Delete its trials' files in the shared folder. Idempotent; slow on a remote file system."""
        remove(self.state)

    def remove(self) -> None:
        """Delete all files of the worker. Idempotent, best-effort."""
        remove(self.shared)
        remove(self.path)

    def older_than(self, seconds: float) -> bool:
        """Return True if its end was recorded more than `seconds` ago."""
        try:
            return time.time() - self._ended.stat().st_mtime > seconds
        except OSError:
            return False


def every(notes: Path, shared: Path) -> Iterator[WorkerFolder]:
    """Return the folders of all workers."""
    return (WorkerFolder(notes, shared, name) for name in workers_in(notes))
