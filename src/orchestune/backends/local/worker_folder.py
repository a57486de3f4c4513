"""Files of one worker, from which a server killed at any moment recovers."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from orchestune.backends.worker_notes import folder_of, noted_deadline, read_note
from orchestune.system.private import write_private
from orchestune.system.process import Process
from orchestune.worker.files.removal import remove

RETAINED = "retained"
"""folder of a worker with the files that its trials wrote and nothing keeps; `client.local.work_folders` reads it"""


class WorkerFolder:
    """`workers/ID` in the state folder: the worker's settings file, its log, and this backend's notes."""

    def __init__(self, workers: Path, worker: str) -> None:
        """Name the folder; raise UsageError if the id is not a valid folder name."""
        self.path = folder_of(workers, worker)
        self.settings_file = self.path / "worker.json"
        self.log = self.path / "worker.log"
        self.state_folder = self.path / "state"
        self.retained = self.path / RETAINED
        self._claim = self.path / "claim"
        self._handle = self.path / "handle.json"
        self._ending = self.path / "ending.json"

    @contextlib.contextmanager
    def locked_for_start(self) -> Iterator[bool]:
        """Lock the worker against other threads and processes; yield True only to the first caller."""
        for folder in (self.path.parent, self.path, self.state_folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_first = True
        try:
            descriptor = os.open(self._claim, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            is_first = False
            descriptor = os.open(self._claim, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield is_first
        finally:
            os.close(descriptor)

    def started(self) -> Process | None:
        """Return the recorded process of the worker; None if none was started."""
        return Process.from_json(read_note(self._handle))

    def note_started(self, process: Process) -> None:
        """Record the worker's process."""
        write_private(self._handle, json.dumps(process.to_json()))

    def kill_at(self) -> float | None:
        """Return the worker's deadline on this machine's monotonic clock; None if it was not asked to terminate."""
        return noted_deadline(self._ending)

    def note_ending(self, kill_at: float) -> None:
        """Record that the worker was asked to terminate. Best-effort: a restarted server asks again without it."""
        with contextlib.suppress(OSError):
            write_private(self._ending, json.dumps({"kill_at": kill_at}))

    def delete_secrets(self) -> None:
        """Delete the settings file with its token, which only a live worker needs. Idempotent."""
        with contextlib.suppress(OSError):
            self.settings_file.unlink()

    @property
    def emptied(self) -> bool:
        """True if `empty` has been completed."""
        return not (self.settings_file.exists() or self.state_folder.exists())

    def empty(self) -> None:
        """Delete all files but the log and the record of the process. Idempotent, best-effort."""
        self.delete_secrets()
        remove(self.state_folder)

    def last_lines(self, count: int) -> list[str]:
        """Return the worker's log tail."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - 8192))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return []
        return [line.rstrip() for line in lines if line.strip()][-count:]

    def remove_retained_if_older(self, seconds: float) -> None:
        """Delete what trials wrote and nothing keeps, if unchanged for that long."""
        with contextlib.suppress(OSError):
            if time.time() - self.retained.stat().st_mtime > seconds:
                remove(self.retained)

    def remove_if_older(self, seconds: float) -> None:
        """Delete all files, including the log, if unchanged for that long."""
        with contextlib.suppress(OSError):
            if time.time() - self.path.stat().st_mtime > seconds:
                remove(self.path)
