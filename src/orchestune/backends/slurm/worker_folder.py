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
    """Paths and recorded state of one worker.

    Notes are in `slurm/workers/ID` of the state folder; the files of its node are in `workers/ID` of the shared folder.
    """

    def __init__(self, notes: Path, shared: Path, worker: str) -> None:
        """Compute the paths; nothing is created. Raises UsageError if the ID is not a valid folder name."""
        super().__init__(notes, worker)
        self.shared = folder_of(shared, worker)
        self.settings_file, self.log, self.state_folder = (
            self.shared / name for name in ("worker.json", "worker.log", "state")
        )
        self._job_note = self.path / "job.json"

    @contextlib.contextmanager
    def locked_for_start(self) -> Iterator[bool]:
        """Lock the worker against other threads and processes; yield True only to the first caller."""
        for folder in (self.path.parent, self.path):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(self.path / "claim"):
            claimed_before = self.path / "claimed"
            is_first = not claimed_before.exists()
            claimed_before.touch()
            yield is_first

    def prepare(self, document: str) -> None:
        """Write the worker's settings file and create its state folder."""
        for folder in (self.shared.parent, self.shared, self.state_folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self.settings_file, document)

    def job_id(self) -> str | None:
        """Return Slurm's job ID; None if no job was submitted."""
        return str(read_note(self._job_note).get("job") or "") or None

    def note_job(self, job_id: str) -> None:
        """Record Slurm's job ID."""
        write_private(self._job_note, json.dumps({"job": job_id}))

    def note_end(self, end: WorkerEnd) -> None:
        """Record the end and delete the settings file, which contains the worker's token."""
        self.settings_file.unlink(missing_ok=True)
        self._write_end(end)

    def last_lines(self, count: int) -> list[str]:
        """Return the last `count` lines of the worker's log.

        Only the last 64 KiB are read, and empty lines are dropped. Returns [] if the log cannot be read.
        """
        try:
            with self.log.open("rb") as file:
                file.seek(max(self.log.stat().st_size - 64 * 1024, 0))
                return [line for line in file.read().decode(errors="replace").splitlines() if line.strip()][-count:]
        except OSError:
            return []

    def delete_trial_files(self) -> None:
        """Delete the files of the worker's trials in the shared folder. Idempotent; slow on a remote file system."""
        remove(self.state_folder)

    def remove(self) -> None:
        """Delete all files of the worker. Idempotent, best-effort."""
        remove(self.shared)
        remove(self.path)

    def ended_more_than(self, seconds: float) -> bool:
        """Return True if the worker's end was recorded more than `seconds` ago; False if no end was recorded."""
        try:
            return time.time() - self._ended.stat().st_mtime > seconds
        except OSError:
            return False


def all_worker_folders(notes: Path, shared: Path) -> Iterator[WorkerFolder]:
    """Return the folders of all workers."""
    return (WorkerFolder(notes, shared, name) for name in workers_in(notes))
