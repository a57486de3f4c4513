"""Stores finished attempts on disk until the server accepts them, so that they survive the worker."""

from __future__ import annotations

import json
import os
from pathlib import Path

from orchestune.worker.connection.reporting import UnsentReport
from orchestune.worker.journal import say
from orchestune.worker.metrics.points import PointQueue
from orchestune.worker.metrics.usage import Series
from orchestune.worker.output import LogBuffer

PATIENCE = 2.0
"""seconds after which an unacknowledged result is written to disk; most are acknowledged before"""


class Spool:
    """Folder with one file per attempt, and another one with the unsent part of its log."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._troubled = False

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
            record.spooled, self._troubled = True, False
        except OSError as exc:
            if not self._troubled:
                say(f"cannot spool to {self._folder}: {exc.strerror}; finished work waits in memory")
            self._troubled = True

    def drop(self, record: UnsentReport) -> None:
        """Delete an attempt that the server has received."""
        record.log.discard()
        if record.spooled:
            try:
                (self._folder / f"{record.attempt}.json").unlink()
            except OSError:
                pass

    def load(self) -> list[UnsentReport]:
        """Return the records left by earlier workers with this id. An unreadable file is renamed, its log is kept."""
        found = []
        for path in sorted(self._folder.glob("*.json")) if self._folder.is_dir() else ():
            try:
                document = json.loads(path.read_text(encoding="ascii"))
                log = LogBuffer.restore(self.log_file(document["attempt"]), document["log"])
                points = PointQueue.restore(document["points"], document.get("deciding") or ())
                usage = Series.restore(document.get("usage") or ())
                record = UnsentReport(document["attempt"], document["token"], log, points, usage)
                record.result, record.accepted = document["result"], document["accepted"]
            except (OSError, ValueError, KeyError, TypeError) as exc:
                say(f"cannot read {path.name} in the spool: {exc}")
                path.replace(path.with_suffix(".bad"))
                continue
            record.spooled = record.start_told = True
            found.append(record)
        kept = {self.log_file(record.attempt).name for record in found}
        kept.update(path.with_suffix(".log").name for path in self._folder.glob("*.bad"))
        for path in self._folder.glob("*.log") if self._folder.is_dir() else ():
            if path.name not in kept:
                path.unlink()
        return found
