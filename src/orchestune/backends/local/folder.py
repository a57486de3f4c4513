"""What stands on disk for one worker, so that a server which was killed at any moment finds it again."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from orchestune.backends.notes import folder_of, noted_deadline, read_note
from orchestune.system.private import write_private
from orchestune.system.process import Process
from orchestune.worker.removal import remove


class WorkerFolder:
    """`workers/ID` in the state folder: what the worker reads, its log, and the notes of this backend."""

    def __init__(self, workers: Path, worker: str) -> None:
        """UsageError where the id is none that can be a name of a folder."""
        self.path = folder_of(workers, worker)
        self.file = self.path / "worker.json"
        self.log = self.path / "worker.log"
        self.state = self.path / "state"
        self._claim = self.path / "claim"
        self._handle = self.path / "handle.json"
        self._ending = self.path / "ending.json"

    @contextlib.contextmanager
    def claimed(self) -> Iterator[bool]:
        """Alone with this worker, among threads and processes; True where nobody ever was before."""
        for folder in (self.path.parent, self.path, self.state):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = True
        try:
            descriptor = os.open(self._claim, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            fresh = False
            descriptor = os.open(self._claim, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield fresh
        finally:
            os.close(descriptor)

    def started(self) -> Process | None:
        """The process that was started for the worker, as noted; None where nothing was."""
        return Process.from_json(read_note(self._handle))

    def note_started(self, process: Process) -> None:
        """Remember the worker's process."""
        write_private(self._handle, json.dumps(process.to_json()))

    def kill_at(self) -> float | None:
        """When the worker is to be killed, on this machine's monotonic clock; None where nobody ended it."""
        return noted_deadline(self._ending)

    def note_ending(self, kill_at: float) -> None:
        """Remember that the worker was told to end. Without a disk to write to, a restarted server is told again."""
        with contextlib.suppress(OSError):
            write_private(self._ending, json.dumps({"kill_at": kill_at}))

    def forget_secrets(self) -> None:
        """Remove what only a live worker may need: its token. Idempotent."""
        with contextlib.suppress(OSError):
            self.file.unlink()

    @property
    def emptied(self) -> bool:
        """Whether `empty` was done with it."""
        return not (self.file.exists() or self.state.exists())

    def empty(self) -> None:
        """Remove all but the log and the note of what was started. Idempotent; what cannot be removed stays."""
        self.forget_secrets()
        remove(self.state)

    def last_lines(self, count: int) -> list[str]:
        """The end of the worker's log."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - 8192))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return []
        return [line.rstrip() for line in lines if line.strip()][-count:]

    def remove_if_older(self, seconds: float) -> None:
        """Remove everything, the log too, where nothing was changed for that long."""
        with contextlib.suppress(OSError):
            if time.time() - self.path.stat().st_mtime > seconds:
                remove(self.path)
