"""What stands on disk for one worker: notes beside the server, and what its node reads and writes where both see it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

from orchestune.backends.notes import End, Notes, folder_of, read_note, workers_in
from orchestune.system.private import locked, write_private
from orchestune.worker.removal import remove


class WorkerFolder(Notes):
    """`slurm/workers/ID` in the state folder, and `workers/ID` in the folder that nodes share."""

    def __init__(self, notes: Path, shared: Path, worker: str) -> None:
        """UsageError where the id is none that can be a name of a folder."""
        super().__init__(notes, worker)
        self.shared = folder_of(shared, worker)
        self.file, self.log, self.state = (self.shared / each for each in ("worker.json", "worker.log", "state"))
        self._job = self.path / "job.json"

    @contextlib.contextmanager
    def claimed(self) -> Iterator[bool]:
        """Alone with this worker, among threads and processes; True where nobody ever was before."""
        for folder in (self.path.parent, self.path):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(self.path / "claim"):
            mark = self.path / "claimed"
            fresh = not mark.exists()
            mark.touch()
            yield fresh

    def prepare(self, document: str) -> None:
        """Write what the worker reads, and make the folder of its state."""
        for folder in (self.shared.parent, self.shared, self.state):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self.file, document)

    def job(self) -> str | None:
        """The number of the job that was submitted for it; None where none was."""
        return str(read_note(self._job).get("job") or "") or None

    def note_job(self, job: str) -> None:
        """Remember its job."""
        write_private(self._job, json.dumps({"job": job}))

    def note_end(self, end: End) -> None:
        """Keep the verdict, and nothing that is secret."""
        self.file.unlink(missing_ok=True)
        self._note_verdict(end)

    def last_lines(self, count: int) -> list[str]:
        """The last lines of the worker's output."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(self.log.stat().st_size - 64 * 1024, 0))
                return [line for line in file.read().decode(errors="replace").splitlines() if line.strip()][-count:]
        except OSError:
            return []

    def empty(self) -> None:
        """Remove what its trials left in the shared folder. Idempotent; slow where that is far away."""
        remove(self.state)

    def remove(self) -> None:
        """Forget the worker. Idempotent; what cannot be removed stays."""
        remove(self.shared)
        remove(self.path)

    def older_than(self, seconds: float) -> bool:
        """Whether its end was noted so long ago."""
        try:
            return time.time() - self._ended.stat().st_mtime > seconds
        except OSError:
            return False


def every(notes: Path, shared: Path) -> Iterator[WorkerFolder]:
    """The folders of all workers."""
    return (WorkerFolder(notes, shared, name) for name in workers_in(notes))
