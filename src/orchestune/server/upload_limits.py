"""Limits on the number and bytes of workers' unfinished uploads, which the file store keeps for a day."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from orchestune.controllers.garbage_collection import UPLOAD_SECONDS
from orchestune.errors import Throttled, TooLarge

MAX_UPLOADS = 1000  # of one worker, which has at most 404 at once: 4 parcels of 100 artifacts, and 4 checkpoints
MAX_BYTES = 200 * 2**30  # of one worker; the largest S3 object with our part size has 156 GiB


class UnfinishedUploads:
    """Unfinished uploads of which this server received parts, by worker. Used on the event loop only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._workers: dict[str, dict[str, tuple[int, float]]] = {}

    def admit(self, worker: str, digest: str, end: int) -> None:
        """Count a part that makes the upload `end` bytes long.

        Raises TooLarge if the upload alone exceeds the limit, Throttled if the worker's uploads together do. An upload
        stops counting when it is committed, or after `UPLOAD_SECONDS` without a new part.
        """
        if end > MAX_BYTES:
            raise TooLarge(f"the upload {digest[:12]} is too large (expected at most {MAX_BYTES:,} bytes)")
        now = self._clock()
        for name, uploads in list(self._workers.items()):
            if worker not in self._workers or name == worker:
                self.finish(name, [each for each, (_, at) in uploads.items() if now - at > UPLOAD_SECONDS])
        others = {name: size for name, (size, _) in self._workers.get(worker, {}).items() if name != digest}
        if len(others) >= MAX_UPLOADS or sum(others.values()) + end > MAX_BYTES:
            text = f"too many unfinished uploads of this worker (at most {MAX_UPLOADS:,}, and {MAX_BYTES:,} bytes)"
            raise Throttled(text, "commit the finished uploads first")
        self._workers.setdefault(worker, {})[digest] = end, now

    def finish(self, worker: str, digests: Iterable[str]) -> None:
        """Forget uploads that were committed, or that the file store has removed."""
        uploads = self._workers.get(worker, {})
        for digest in digests:
            uploads.pop(digest, None)
        if not uploads:
            self._workers.pop(worker, None)
