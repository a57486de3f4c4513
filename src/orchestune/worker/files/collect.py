"""Collects files of a trial: checkpoints while it runs and at its end, artifacts after it succeeded."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestune.worker.attempt import OVER, RunningAttempt
from orchestune.worker.connection.api import ApiError, ServerEndpoint, Unreachable
from orchestune.worker.files import artifacts, checkpoint
from orchestune.worker.files.checkpoint import UnstableFolder
from orchestune.worker.files.removal import remove
from orchestune.worker.files.uploads import Outbox, deliver
from orchestune.worker.journal import say, traceback_of
from orchestune.worker.thread_pool import ThreadPool

UPLOAD_TIMEOUT_SECONDS = 30.0
"""timeout for uploading a checkpoint to an unreachable server before the attempt finishes without it"""


class Collector:
    """Runs slow work in thread pools and calls back in the loop's thread.

    Checkpoints have a pool of their own: attempts wait for them, and stalled uploads of artifacts must not block them.
    """

    def __init__(
        self, server: ServerEndpoint, outbox: Outbox, crew: ThreadPool, uploads: ThreadPool, checkpoints: ThreadPool
    ) -> None:
        self._server, self._outbox = server, outbox
        self._crew, self._uploads, self._checkpoints = crew, uploads, checkpoints
        self._deadline = float("inf")
        """monotonic deadline of uploads; the rest is left in the outbox for a later worker"""
        self._published: dict[str, Any] = {}
        """attempt → modification marks of its last uploaded checkpoint: an unchanged folder is not uploaded again"""
        self._busy: dict[str, list[Callable[[], None]]] = {}
        """attempts whose checkpoint is being uploaded → what to do after that"""

    def resume(self) -> None:
        """Upload what an earlier worker with this id left in the outbox."""
        for parcel in self._outbox.sealed_parcels():
            self._deliver(parcel)

    def close(self, seconds: float) -> None:
        """Limit uploads to `seconds` at shutdown; unfinished ones stay in the outbox."""
        self._deadline = time.monotonic() + seconds

    def publish(self, attempt: RunningAttempt) -> None:
        """Publish the checkpoint of a running attempt, unless an upload of it is still in progress."""
        if attempt.checkpoint is not None and attempt.id not in self._busy:
            self._publish(attempt, lambda: None)

    def collect(self, attempt: RunningAttempt, then: Callable[[], None]) -> bool:
        """Collect the files of an ended attempt, then call `then`. Return False, without a call, if there are none."""
        state = attempt.outcome()
        patterns = attempt.job.keep if state == "succeeded" else []
        listing = attempt.slot.artifacts if state == "succeeded" and os.path.isfile(attempt.slot.artifacts) else None
        saving = attempt.checkpoint is not None and state in ("succeeded", "preempted")
        if attempt.id in self._busy:  # one after the other: an older checkpoint must not overtake a newer one
            self._busy[attempt.id].append(lambda: self._collect(attempt, patterns, listing, saving, then))
            return True
        if not patterns and not listing and not saving:
            self._published.pop(attempt.id, None)
            return False
        self._collect(attempt, patterns, listing, saving, then)
        return True

    def _collect(
        self,
        attempt: RunningAttempt,
        patterns: list[str],
        listing: str | None,
        saving: bool,
        then: Callable[[], None],
    ) -> None:
        def artifacts_packed() -> None:
            if saving:
                self._publish(attempt, finished)
            else:
                finished()

        def finished() -> None:
            self._published.pop(attempt.id, None)
            then()

        if patterns or listing:
            self._pack_artifacts(attempt, patterns, listing, artifacts_packed)
        else:
            artifacts_packed()

    def _pack_artifacts(
        self, attempt: RunningAttempt, patterns: list[str], listing: str | None, then: Callable[[], None]
    ) -> None:
        notes: list[str] = []

        def work() -> tuple[Path, int] | None:
            view = attempt.folder
            unchanged = attempt.slot.view.unchanged_copies()
            listed = artifacts.listed(listing, unchanged) if listing else []
            chosen = artifacts.choose(view, patterns, attempt.job.keep_limit, notes.append, listed, unchanged)
            return (
                (artifacts.pack(self._outbox, view, attempt.id, attempt.token, chosen), len(chosen)) if chosen else None
            )

        def done(packed: tuple[Path, int] | None, error: BaseException | None) -> None:
            if error is not None:
                notes.append(f"keep: cannot keep the files: {error}")
            for note in notes:
                attempt.write(note)
            if packed is not None:
                parcel, attempt.files = packed
                self._deliver(parcel)
            then()

        self._crew.run(work, done)

    def _publish(self, attempt: RunningAttempt, then: Callable[[], None]) -> None:
        self._busy[attempt.id] = [then]
        folder, previous = attempt.checkpoint, self._published.get(attempt.id)
        step, deadline = attempt.points.step, time.monotonic() + UPLOAD_TIMEOUT_SECONDS

        def work() -> Any:
            assert folder is not None
            packed = checkpoint.pack(self._outbox, folder, attempt.id, attempt.token, step, previous)
            if packed is None:
                return previous
            parcel, marks = packed
            try:
                deliver(self._server, parcel, lambda: time.monotonic() < deadline)
            finally:
                remove(parcel)
            return marks

        def done(marks: Any, error: BaseException | None) -> None:
            if error is None:
                self._published[attempt.id] = marks
            else:
                is_expected = isinstance(error, (Unreachable, UnstableFolder, OSError, ApiError))
                text = error if is_expected else attempt.mask.text(traceback_of(error))
                say(f"the checkpoint of attempt {attempt.id} was not published: {text}")
                if attempt.phase != OVER:
                    attempt.write(f"the checkpoint was not published: {error}")
            for callback in self._busy.pop(attempt.id):
                callback()

        self._checkpoints.run(work, done)

    def _deliver(self, parcel: Path) -> None:
        def done(_: Any, error: BaseException | None) -> None:
            if error is not None:
                say(f"cannot upload {parcel.name}: {error}")

        self._uploads.run(lambda: deliver(self._server, parcel, lambda: time.monotonic() < self._deadline), done)
