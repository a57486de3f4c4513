"""Logs, points and results that the server has not acknowledged yet, packed into `work` calls until it does."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from orchestune.worker.connection.api import encoded
from orchestune.worker.metrics.points import PointQueue
from orchestune.worker.metrics.usage import Series
from orchestune.worker.output import LogBuffer

MAX_ATTEMPT_LOG_BYTES = 256 * 1024
"""log bytes of one attempt per call"""
MAX_CALL_LOG_BYTES = 2 * 2**20
"""log bytes per call"""
MAX_ATTEMPT_POINTS = 2000
"""points of one attempt per call"""
MAX_CALL_JSON_BYTES = 3 * 2**19
"""approximate bytes of JSON per call; the server accepts 2 MiB, a proxy in front of it may accept less"""
MIN_CALL_JSON_BYTES = 2**16
_BYTES_PER_LOG_BYTE, _BYTES_PER_POINT, _BYTES_PER_SAMPLE = 6, 100, 80
"""bytes of JSON: at most per log byte, and about per point without its name and per usage sample"""
MAX_REMEMBERED_ATTEMPTS = 4096
BRIEF_SECONDS = 0.02
"""seconds: an attempt that runs for less is reported only once, at its end"""


class UnsentReport:
    """The unreported state of one attempt."""

    def __init__(
        self, attempt: str, token: int, log: LogBuffer, points: PointQueue, usage: Series | None = None
    ) -> None:
        self.attempt, self.token, self.log, self.points = attempt, token, log, points
        self.usage = usage or Series()
        self.started: float | None = None
        self.is_start_reported = False
        self.result: Mapping[str, Any] | None = None
        self.accepted = False
        """the result was acknowledged or is discarded"""
        self.ended = 0.0
        self.spooled = False

    @property
    def has_news(self) -> bool:
        """True if a heartbeat would carry new data."""
        return bool(self.log.waiting or len(self.points) or (self.started is not None and not self.is_start_reported))

    def has_lasted(self, now: float) -> bool:
        """Return True if it has run for at least BRIEF_SECONDS, until its end or until `now`, or never started."""
        until = now if self.result is None else self.ended
        return self.started is None or until - self.started >= BRIEF_SECONDS

    @property
    def is_reported(self) -> bool:
        """True if nothing is left to report."""
        return self.accepted and self.result is not None and not self.log.waiting


class _Sent(NamedTuple):
    record: UnsentReport
    log: int
    points: int
    usage: list[list[Any]]
    started: bool
    finished: bool


class Shipment(NamedTuple):
    """The content of one call, to be passed to `acknowledge` with the response."""

    beats: list[dict[str, Any]]
    finished: list[dict[str, Any]]
    sent: list[_Sent]


class Reporting:
    """The records of all attempts that are not completely reported."""

    def __init__(self) -> None:
        self.records: OrderedDict[str, UnsentReport] = OrderedDict()
        self._received: OrderedDict[str, None] = OrderedDict()
        self._max_bytes = MAX_CALL_JSON_BYTES

    def shrink(self) -> None:
        """Halve the size of the next calls, after one was rejected as too large."""
        self._max_bytes = max(self._max_bytes // 2, MIN_CALL_JSON_BYTES)

    def add(self, record: UnsentReport) -> None:
        """Add a record, of a new attempt or from the spool."""
        self.records[record.attempt] = record
        self._received[record.attempt] = None
        while len(self._received) > MAX_REMEMBERED_ATTEMPTS:
            self._received.popitem(last=False)

    def knows(self, attempt: str) -> bool:
        """Return True if this lease was received before, so that a repeated response starts nothing twice."""
        return attempt in self._received

    def finish(self, attempt: str, result: Mapping[str, Any], *, superseded: bool = False) -> None:
        """Record the result of an attempt. If `superseded`, the server takes no result; only logs are still sent."""
        record = self.records[attempt]
        record.result, record.accepted, record.ended = result, superseded, time.monotonic()
        if superseded:
            record.points = PointQueue(())

    def live(self) -> list[str]:
        """Return the ids of attempts that are running or whose result is unacknowledged."""
        return [record.attempt for record in self.records.values() if not record.accepted]

    def ended(self) -> list[UnsentReport]:
        """Return the records with an unacknowledged result."""
        return [record for record in self.records.values() if record.result is not None and not record.accepted]

    def has_news(self) -> bool:
        """Return True if a call would carry new data."""
        return any(record.has_news or record.result is not None for record in self.records.values())

    def backlog(self) -> bool:
        """Return True if more data is waiting than fits into one call; calls then follow each other without a pause."""
        return any(
            r.log.waiting > MAX_ATTEMPT_LOG_BYTES or len(r.points) > MAX_ATTEMPT_POINTS for r in self.records.values()
        )

    def ship(self) -> Shipment:
        """Return the heartbeats and results of the next call. Results go first: small, and clients wait for them.

        If not everything fits, the records that were packed move behind the others.
        """
        shipment = Shipment([], [], [])
        budget, room, now = MAX_CALL_LOG_BYTES, self._max_bytes, time.monotonic()
        for results_first in (True, False):
            for record in self.records.values():
                has_result = record.result is not None and not record.accepted
                is_due = results_first or record.accepted or record.has_lasted(now)
                if room > 0 and has_result is results_first and is_due:
                    log_limit = max(0, min(budget, MAX_ATTEMPT_LOG_BYTES, room // _BYTES_PER_LOG_BYTE))
                    logs, size = self._pack(record, log_limit, room, shipment)
                    budget, room = budget - logs, room - size
        if budget <= 0 or room <= 0:
            for sent in shipment.sent:
                self.records.move_to_end(sent.record.attempt)
        return shipment

    def acknowledge(self, shipment: Shipment, acks: Iterable[Mapping[str, Any]]) -> list[str]:
        """Drop what the server has received. Return the ids of running attempts that it no longer wants."""
        results = {str(ack["attempt"]): str(ack["result"]) for ack in acks}
        superseded = []
        for packed in shipment.sent:
            record = packed.record
            record.log.acknowledge(packed.log)
            record.points.acknowledge(packed.points)
            record.usage.acknowledge(packed.usage)
            record.is_start_reported = record.is_start_reported or packed.started
            outcome = results.get(record.attempt)
            if outcome in ("superseded", "unknown", "rejected"):
                if record.result is None:
                    superseded.append(record.attempt)
                record.accepted = True
            elif outcome == "ok" and packed.finished:
                record.accepted = True
        return superseded

    def pop_reported(self) -> list[UnsentReport]:
        """Remove and return the records that are completely reported."""
        reported = [record for record in self.records.values() if record.is_reported]
        for record in reported:
            del self.records[record.attempt]
        return reported

    def _pack(self, record: UnsentReport, budget: int, room: int, shipment: Shipment) -> tuple[int, int]:
        """Pack a record. Return the number of log bytes packed, and the approximate JSON bytes in total."""
        logs, position = record.log.parts(budget) if budget else ([], 0)
        log_bytes = sum(len(part[1]) for part in logs)
        log_json_bytes = sum(len(encoded(part[1])) for part in logs)
        points, count = record.points.parts(
            max(1, min(MAX_ATTEMPT_POINTS, (room - log_json_bytes) // _BYTES_PER_POINT))
        )
        item: dict[str, Any] = {"attempt": record.attempt, "token": record.token, "logs": logs, "points": points}
        usage = record.usage.parts()
        if usage:
            item["usage"] = usage
        finished = record.result is not None and not record.accepted and count == len(record.points)
        if finished:
            assert record.result is not None
            item["points"] = points + record.points.unsent_deciding(points)
            shipment.finished.append({**record.result, **item})
        elif logs or points or usage or (record.started is not None and not record.is_start_reported):
            item["started"] = record.started is not None
            item["age"] = round(time.monotonic() - record.started, 3) if record.started is not None else 0.0
            shipment.beats.append(item)
        else:
            return 0, 0
        shipment.sent.append(_Sent(record, position, count, usage, record.started is not None, finished))
        size = (
            log_json_bytes
            + sum(_BYTES_PER_POINT + len(encoded(point[1])) for point in points)
            + _BYTES_PER_SAMPLE * len(usage)
        )
        return log_bytes, size + (len(encoded(record.result)) if finished else 0)
