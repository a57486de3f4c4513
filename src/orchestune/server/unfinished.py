"""Unfinished uploads of workers, limited in number and bytes: the file store keeps each for a day."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from orchestune.controllers.archiving import UPLOAD_SECONDS
from orchestune.errors import Throttled, TooLarge

MOST_UPLOADS = 1000  # of one worker, which has at most 404 at once: 4 parcels of 100 artifacts, and 4 checkpoints
MOST_BYTES = 200 * 2**30  # of one worker; the largest object that S3 takes in our parts has 156 GiB


class UnfinishedUploads:
    """The uploads of which parts arrived at this server, by worker. Used on the event loop alone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._workers: dict[str, dict[str, tuple[int, float]]] = {}

    def admit(self, worker: str, digest: str, end: int) -> None:
        """Count a part that makes the upload `end` bytes long.

        TooLarge if the upload alone is over the limit. Throttled if the worker's uploads are together: those that it
        commits, or that rest for `UPLOAD_SECONDS`, make room.
        """
        if end > MOST_BYTES:
            raise TooLarge(f"the upload {digest[:12]} is larger than {MOST_BYTES:,} bytes (expected at most that)")
        now = self._clock()
        for name, uploads in list(self._workers.items()):
            if worker not in self._workers or name == worker:
                self.finish(name, [each for each, (_, at) in uploads.items() if now - at > UPLOAD_SECONDS])
        others = {name: size for name, (size, _) in self._workers.get(worker, {}).items() if name != digest}
        if len(others) >= MOST_UPLOADS or sum(others.values()) + end > MOST_BYTES:
            text = f"too many unfinished uploads of this worker (at most {MOST_UPLOADS:,}, and {MOST_BYTES:,} bytes)"
            raise Throttled(text, "commit what was uploaded first")
        self._workers.setdefault(worker, {})[digest] = end, now

    def finish(self, worker: str, digests: Iterable[str]) -> None:
        """Forget uploads that were committed, or that the file store has removed."""
        uploads = self._workers.get(worker, {})
        for digest in digests:
            uploads.pop(digest, None)
        if not uploads:
            self._workers.pop(worker, None)
