"""Stores finished attempts on disk until the server accepts them, so that they survive the worker.

Most results are acknowledged within milliseconds, and a write per attempt would cost more than a brief attempt itself.
So a record is saved only if it is unacknowledged for SPOOL_AFTER_SECONDS, or when the worker exits. A worker that is
killed before loses the result; the attempt is then lost, and the server requeues it.

Invariants: a record's file is written completely under another name and then renamed, so it is complete or absent; its
log file exists as long as the record (`LogBuffer.persist` comes first); and both are deleted only after the server has
acknowledged the result and the whole log. A result may be reported twice, if the worker ends between acknowledgement
and deletion: the server recognizes it by the attempt's fencing token.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from orchestune.worker.connection.reporting import UnsentReport
from orchestune.worker.journal import say
from orchestune.worker.metrics.points import PointQueue
from orchestune.worker.metrics.usage import Series
from orchestune.worker.output import LogBuffer

SPOOL_AFTER_SECONDS = 2.0
"""seconds after which an unacknowledged result is written to disk; most are acknowledged before"""


class Spool:
    """Folder with one file per attempt, and another one with the unsent part of its log."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._has_failed = False

    def log_file(self, attempt: str) -> Path:
        """Return the path to which the unsent log of an attempt is spilled."""
        return self._folder / f"{attempt}.log"

    def save(self, record: UnsentReport) -> None:
        """Save an attempt. A failing disk is logged once, and the attempt stays in memory."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            document = {
                "attempt": record.attempt,
                "token": record.token,
                "result": record.result,
                "accepted": record.accepted,
                "points": record.points.to_json(),
                "deciding": record.points.deciding,
                "usage": record.usage.parts(),
                "log": record.log.persist(),
            }
            target = self._folder / f"{record.attempt}.json"
            part = target.with_suffix(".part")
            part.write_text(json.dumps(document), encoding="ascii")
            os.replace(str(part), str(target))
            record.spooled, self._has_failed = True, False
        except OSError as exc:
            if not self._has_failed:
                say(f"cannot spool to {self._folder}: {exc.strerror}; results stay in memory")
            self._has_failed = True

    def drop(self, record: UnsentReport) -> None:
        """Delete an attempt that the server has received."""
        record.log.discard()
        if record.spooled:
            try:
                (self._folder / f"{record.attempt}.json").unlink()
            except OSError:
                pass

    def load(self) -> list[UnsentReport]:
        """Return the records left by earlier workers with this id. An unreadable file is renamed, its log stays."""
        records = []
        for path in sorted(self._folder.glob("*.json")) if self._folder.is_dir() else ():
            try:
                document = json.loads(path.read_text(encoding="ascii"))
                log = LogBuffer.restore(self.log_file(document["attempt"]), document["log"])
                points = PointQueue.restore(document["points"], document.get("deciding") or ())
                usage = Series.restore(document.get("usage") or ())
                record = UnsentReport(document["attempt"], document["token"], log, points, usage)
                record.result, record.accepted = document["result"], document["accepted"]
            except (OSError, ValueError, KeyError, TypeError) as exc:
                say(f"cannot read {path.name} in the spool, renaming it to .bad: {exc}")
                path.replace(path.with_suffix(".bad"))
                continue
            record.spooled = record.is_start_reported = True
            records.append(record)
        log_names = {self.log_file(record.attempt).name for record in records}
        log_names.update(path.with_suffix(".log").name for path in self._folder.glob("*.bad"))
        for path in self._folder.glob("*.log") if self._folder.is_dir() else ():
            if path.name not in log_names:
                path.unlink()
        return records
