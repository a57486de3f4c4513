"""Finished attempts on disk while the server does not take them, so that they outlive the worker too."""

from __future__ import annotations

import json
import os
from pathlib import Path

from orchestune.worker.journal import say
from orchestune.worker.output import Log
from orchestune.worker.points import Points
from orchestune.worker.reporting import Record
from orchestune.worker.usage import Series

PATIENCE = 2.0
"""seconds that an end may wait in memory alone: most are acknowledged at once, and never see the disk"""


class Spool:
    """One file per attempt, and one beside it with what of its log was not sent."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._troubled = False

    def log_file(self, attempt: str) -> Path:
        """Where the log of an attempt goes that cannot be sent soon."""
        return self._folder / f"{attempt}.log"

    def save(self, record: Record) -> None:
        """Write an attempt down. A disk that refuses is told once; the attempt stays in memory."""
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

    def drop(self, record: Record) -> None:
        """The server has it."""
        record.log.discard()
        if record.spooled:
            try:
                (self._folder / f"{record.attempt}.json").unlink()
            except OSError:
                pass

    def load(self) -> list[Record]:
        """What a worker of this id left behind. A file that cannot be read is put aside, and its log stays."""
        found = []
        for path in sorted(self._folder.glob("*.json")) if self._folder.is_dir() else ():
            try:
                document = json.loads(path.read_text(encoding="ascii"))
                log = Log.restore(self.log_file(document["attempt"]), document["log"])
                points = Points.restore(document["points"], document.get("deciding") or ())
                usage = Series.restore(document.get("usage") or ())
                record = Record(document["attempt"], document["token"], log, points, usage)
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
