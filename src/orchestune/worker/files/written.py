"""Files that trials write and `keep` does not name: retained on the user's machine, noted in the log elsewhere.

While an attempt runs, `FOLDER/ATTEMPT` is a link to its copy of the project. When it has succeeded, the link is
replaced by a folder with the files that it wrote. `FOLDER/ATTEMPT.json` lists them: `{"folder": …, "files": [[path,
bytes], …]}`. The paths are relative to the project; users read and type paths relative to `folder`, in which the
command runs.
"""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from orchestune.worker.attempt import RunningAttempt
from orchestune.worker.files.removal import remove
from orchestune.worker.files.unkept import WrittenFile, note, relative, worth_keeping
from orchestune.worker.journal import say

MAX_RETAINED_BYTES = 512 * 2**20
"""bytes of retained files per worker; beyond it those of the oldest attempts are removed"""
MAX_ATTEMPTS = 1000
"""attempts per worker whose files are listed"""
MAX_SCANNED_ENTRIES = 1000
"""entries of a work folder up to which it is searched for written files: about 3 ms in the loop's thread"""


class WrittenFiles:
    """The written files of this worker's attempts, in `folder`; None retains nothing.

    Best-effort: without space or permission files are removed with the work folder.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._sizes: OrderedDict[str, int] = OrderedDict()
        """bytes that are retained of each attempt, the oldest first"""

    def begin(self, attempt: RunningAttempt) -> None:
        """Make the work folder of a running attempt accessible by the attempt's id."""
        if self._folder is not None:
            with suppress(OSError):
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.symlink(str(attempt.slot.view.folder), str(self._folder / attempt.id))
                self._list(attempt, ())

    def end(self, attempt: RunningAttempt) -> None:
        """Retain what an ended attempt wrote, since the next one reuses its work folder, or note it in the log."""
        try:
            if self._folder is not None:
                with suppress(FileNotFoundError):
                    (self._folder / attempt.id).unlink()
                    self._list_path(attempt).unlink()
            files = _unkept(attempt)
            if files and self._folder is not None:
                self._list(attempt, files)
                self._retain(self._folder / attempt.id, attempt.slot.view.folder, files)
            elif files:
                attempt.write(note(relative(files, attempt.job.folder)))
        except OSError as exc:
            say(f"cannot retain the files of attempt {attempt.id}: {exc}")

    def _list_path(self, attempt: RunningAttempt) -> Path:
        assert self._folder is not None
        return self._folder / f"{attempt.id}.json"

    def _list(self, attempt: RunningAttempt, files: Sequence[WrittenFile]) -> None:
        document = {"folder": attempt.job.folder, "files": files}
        self._list_path(attempt).write_text(json.dumps(document), encoding="utf-8")

    def _retain(self, place: Path, view: Path, files: Sequence[WrittenFile]) -> None:
        self._sizes[place.name] = size = 0
        for file in files:
            if size + file.size <= MAX_RETAINED_BYTES:
                (place / file.path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.rename(str(view / file.path), str(place / file.path))
                self._sizes[place.name] = size = size + file.size
        while sum(self._sizes.values()) > MAX_RETAINED_BYTES or len(self._sizes) > MAX_ATTEMPTS:
            oldest, _ = self._sizes.popitem(last=False)
            remove(place.with_name(oldest))
            remove(place.with_name(f"{oldest}.json"))


def _unkept(attempt: RunningAttempt) -> list[WrittenFile]:
    """Return the files that a succeeded attempt without `keep` wrote; sources of metrics are left out."""
    if attempt.job.keep or attempt.superseded or attempt.outcome() != "succeeded":
        return []
    sources = [str(source["where"]) for source in attempt.job.collect if source["kind"] != "regex"]
    files = (WrittenFile(path, size) for path, size in attempt.slot.view.written(MAX_SCANNED_ENTRIES))
    return worth_keeping(files, sources)
