"""What the server does not know yet, put into `work` calls until it says that it knows."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from orchestune.worker.api import encoded
from orchestune.worker.output import Log
from orchestune.worker.points import Points
from orchestune.worker.usage import Series

LOG_BYTES = 256 * 1024
"""of one attempt in one call"""
CALL_BYTES = 2 * 2**20
"""of logs in one call"""
POINTS = 2000
"""of one attempt in one call"""
CALL_MOST = 3 * 2**19
"""bytes of JSON in one call, about; the server takes 2 MiB, and what stands before it may take less"""
CALL_LEAST = 2**16
_BYTE, _POINT, _SAMPLE = 6, 100, 80
"""bytes of JSON, at most, for one of a log, and about for a point without its name and for a sample"""
REMEMBERED = 4096
BRIEF = 0.02
"""seconds: of an attempt that runs for less the server hears all at its end"""


class Record:
    """One attempt as the server has to hear of it."""

    def __init__(self, attempt: str, token: int, log: Log, points: Points, usage: Series | None = None) -> None:
        self.attempt, self.token, self.log, self.points = attempt, token, log, points
        self.usage = usage or Series()
        self.started: float | None = None
        self.start_told = False
        self.result: Mapping[str, Any] | None = None
        self.accepted = False
        """the end was acknowledged, or nobody wants it"""
        self.ended = 0.0
        self.spooled = False

    @property
    def news(self) -> bool:
        """Whether a beat would say anything."""
        return bool(self.log.waiting or len(self.points) or (self.started is not None and not self.start_told))

    def lasts(self, now: float) -> bool:
        """Whether it ran for longer than what is brief until it ended, or does so far; what never started does."""
        until = now if self.result is None else self.ended
        return self.started is None or until - self.started >= BRIEF

    @property
    def over(self) -> bool:
        """Nothing is left to say."""
        return self.accepted and self.result is not None and not self.log.waiting


class _Sent(NamedTuple):
    record: Record
    log: int
    points: int
    usage: list[list[Any]]
    started: bool
    finished: bool


class Shipment(NamedTuple):
    """What one call carries, to be acknowledged when it was answered."""

    beats: list[dict[str, Any]]
    finished: list[dict[str, Any]]
    sent: list[_Sent]


class Reporting:
    """The records of every attempt that the server has not heard the last of."""

    def __init__(self) -> None:
        self.records: OrderedDict[str, Record] = OrderedDict()
        self._known: OrderedDict[str, None] = OrderedDict()
        self._most = CALL_MOST

    def shrink(self) -> None:
        """The last call was refused for its size: the next ones carry less."""
        self._most = max(self._most // 2, CALL_LEAST)

    def add(self, record: Record) -> None:
        """A new attempt, or one from the spool."""
        self.records[record.attempt] = record
        self._known[record.attempt] = None
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def knows(self, attempt: str) -> bool:
        """Whether this lease was seen before: an answer that arrives again starts nothing."""
        return attempt in self._known

    def finish(self, attempt: str, result: Mapping[str, Any], *, unwanted: bool = False) -> None:
        """The attempt ended. Unwanted: the server said that it takes no result; logs still go."""
        record = self.records[attempt]
        record.result, record.accepted, record.ended = result, unwanted, time.monotonic()
        if unwanted:
            record.points = Points(())

    def live(self) -> list[str]:
        """What the worker still works on, or whose end was not acknowledged."""
        return [record.attempt for record in self.records.values() if not record.accepted]

    def ended(self) -> list[Record]:
        """What ended, and the server does not know of."""
        return [record for record in self.records.values() if record.result is not None and not record.accepted]

    def news(self) -> bool:
        """Whether a call would say anything."""
        return any(record.news or record.result is not None for record in self.records.values())

    def backlog(self) -> bool:
        """Whether more waits than one call carries: then calls follow each other without a pause."""
        return any(r.log.waiting > LOG_BYTES or len(r.points) > POINTS for r in self.records.values())

    def ship(self) -> Shipment:
        """The next call's beats and finished attempts. Ends go first: they are small and somebody waits for them.

        Where not everything fits, those that had their turn go behind the others.
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
        """The call arrived. Returns the attempts which run on although nobody wants them any more."""
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

    def take_over(self) -> list[Record]:
        """Remove and return the records that nothing is left to say of."""
        over = [record for record in self.records.values() if record.over]
        for record in over:
            del self.records[record.attempt]
        return over

    def _pack(self, record: Record, budget: int, room: int, shipment: Shipment) -> tuple[int, int]:
        """The bytes of its log that are packed, and about those of JSON in all."""
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
