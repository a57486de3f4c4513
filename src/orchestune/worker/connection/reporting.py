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

LOG_BYTES = 256 * 1024
"""log bytes of one attempt per call"""
CALL_BYTES = 2 * 2**20
"""log bytes per call"""
POINTS = 2000
"""points of one attempt per call"""
CALL_MOST = 3 * 2**19
"""approximate bytes of JSON per call; the server accepts 2 MiB, a proxy in front of it may accept less"""
CALL_LEAST = 2**16
_BYTE, _POINT, _SAMPLE = 6, 100, 80
"""bytes of JSON: at most per log byte, and about per point without its name and per usage sample"""
REMEMBERED = 4096
BRIEF = 0.02
"""seconds: an attempt that runs for less is reported only once, at its end"""


class UnsentReport:
    """The unreported state of one attempt."""

    def __init__(
        self, attempt: str, token: int, log: LogBuffer, points: PointQueue, usage: Series | None = None
    ) -> None:
        self.attempt, self.token, self.log, self.points = attempt, token, log, points
        self.usage = usage or Series()
        self.started: float | None = None
        self.start_told = False
        self.result: Mapping[str, Any] | None = None
        self.accepted = False
        """the result was acknowledged or is discarded"""
        self.ended = 0.0
        self.spooled = False

    @property
    def news(self) -> bool:
        """True if a heartbeat would carry new data."""
        return bool(self.log.waiting or len(self.points) or (self.started is not None and not self.start_told))

    def lasts(self, now: float) -> bool:
        """Return True if it has run for at least BRIEF seconds, until its end or until `now`, or never started."""
        until = now if self.result is None else self.ended
        return self.started is None or until - self.started >= BRIEF

    @property
    def over(self) -> bool:
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
        self._known: OrderedDict[str, None] = OrderedDict()
        self._most = CALL_MOST

    def shrink(self) -> None:
        """Halve the size of the next calls, after one was rejected as too large."""
        self._most = max(self._most // 2, CALL_LEAST)

    def add(self, record: UnsentReport) -> None:
        """Add a record, of a new attempt or from the spool."""
        self.records[record.attempt] = record
        self._known[record.attempt] = None
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def knows(self, attempt: str) -> bool:
        """Return True if this lease was received before, so that a repeated response starts nothing twice."""
        return attempt in self._known

    def finish(self, attempt: str, result: Mapping[str, Any], *, unwanted: bool = False) -> None:
        """Record the result of an attempt. If `unwanted`, the server takes no result; only logs are still sent."""
        record = self.records[attempt]
        record.result, record.accepted, record.ended = result, unwanted, time.monotonic()
        if unwanted:
            record.points = PointQueue(())

    def live(self) -> list[str]:
        """Return the ids of attempts that are running or whose result is unacknowledged."""
        return [record.attempt for record in self.records.values() if not record.accepted]

    def ended(self) -> list[UnsentReport]:
        """Return the records with an unacknowledged result."""
        return [record for record in self.records.values() if record.result is not None and not record.accepted]

    def news(self) -> bool:
        """Return True if a call would carry new data."""
        return any(record.news or record.result is not None for record in self.records.values())

    def backlog(self) -> bool:
        """Return True if more data is waiting than fits into one call; calls then follow each other without a pause."""
        return any(r.log.waiting > LOG_BYTES or len(r.points) > POINTS for r in self.records.values())

    def ship(self) -> Shipment:
        """Return the heartbeats and results of the next call. Results go first: small, and clients wait for them.

        If not everything fits, the records that were packed move behind the others.
        """
        shipment = Shipment([], [], [])
        budget, room, now = CALL_BYTES, self._most, time.monotonic()
        for ended in (True, False):
            for record in self.records.values():
                unheard = record.result is not None and not record.accepted
                if room > 0 and unheard is ended and (ended or record.accepted or record.lasts(now)):
                    logs, size = self._pack(record, max(0, min(budget, LOG_BYTES, room // _BYTE)), room, shipment)
                    budget, room = budget - logs, room - size
        if budget <= 0 or room <= 0:
            for sent in shipment.sent:
                self.records.move_to_end(sent.record.attempt)
        return shipment

    def acknowledge(self, shipment: Shipment, acks: Iterable[Mapping[str, Any]]) -> list[str]:
        """Drop what the server has received. Return the ids of running attempts that it no longer wants."""
        results = {str(ack["attempt"]): str(ack["result"]) for ack in acks}
        unwanted = []
        for sent in shipment.sent:
            record = sent.record
            record.log.acknowledge(sent.log)
            record.points.acknowledge(sent.points)
            record.usage.acknowledge(sent.usage)
            record.start_told = record.start_told or sent.started
            result = results.get(record.attempt)
            if result in ("superseded", "unknown", "rejected"):
                if record.result is None:
                    unwanted.append(record.attempt)
                record.accepted = True
            elif result == "ok" and sent.finished:
                record.accepted = True
        return unwanted

    def take_over(self) -> list[UnsentReport]:
        """Remove and return the records that are completely reported."""
        over = [record for record in self.records.values() if record.over]
        for record in over:
            del self.records[record.attempt]
        return over

    def _pack(self, record: UnsentReport, budget: int, room: int, shipment: Shipment) -> tuple[int, int]:
        """Pack a record. Return the number of log bytes packed, and the approximate JSON bytes in total."""
        logs, position = record.log.parts(budget) if budget else ([], 0)
        printed = sum(len(part[1]) for part in logs)
        written = sum(len(encoded(part[1])) for part in logs)
        points, count = record.points.parts(max(1, min(POINTS, (room - written) // _POINT)))
        item: dict[str, Any] = {"attempt": record.attempt, "token": record.token, "logs": logs, "points": points}
        usage = record.usage.parts()
        if usage:
            item["usage"] = usage
        finished = record.result is not None and not record.accepted and count == len(record.points)
        if finished:
            assert record.result is not None
            item["points"] = points + record.points.last_words(points)
            shipment.finished.append({**record.result, **item})
        elif logs or points or usage or (record.started is not None and not record.start_told):
            item["started"] = record.started is not None
            item["age"] = round(time.monotonic() - record.started, 3) if record.started is not None else 0.0
            shipment.beats.append(item)
        else:
            return 0, 0
        shipment.sent.append(_Sent(record, position, count, usage, record.started is not None, finished))
        size = written + sum(_POINT + len(encoded(point[1])) for point in points) + _SAMPLE * len(usage)
        return printed, size + (len(encoded(record.result)) if finished else 0)
