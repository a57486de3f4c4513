"""Decides what to report to the server and when, and applies its responses."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from orchestune.worker.connection.api import Backoff, Denied, TooLarge, WorkerGone
from orchestune.worker.connection.network import POLL, REPORT, CallOutcome, NetworkThread
from orchestune.worker.connection.reporting import Reporting, Shipment, UnsentReport
from orchestune.worker.files.spool import PATIENCE, Spool
from orchestune.worker.journal import say
from orchestune.worker.supervisor import Supervisor

NEWS_AFTER = 0.2
"""seconds for which log lines and metrics of running attempts are batched"""
NEWS_SHARE = 5
"""batch for this multiple of the last report's duration if that is longer, so that a busy server gets fewer calls"""
NEWS_MOST = 0.5
"""upper bound in seconds on batching: a client that follows the log sees new lines within a second"""
ANSWER_WITHIN = 15.0
ASKED_TO_STOP = {"code": "worker_stopped", "message": "the worker was asked to stop"}
TOGETHER = 0.004
"""seconds for which the result of a brief attempt is held back to batch it with others, while most slots are busy"""


class Conversation:
    """Exchange with the server: reports, heartbeats and the long poll for leases.

    A report is sent when an attempt has ended and no report is in flight; later results go into the next report.

    A long poll is in flight while slots are idle and there is nothing to report. Meanwhile reports do not carry `live`:
    the poll's response may already contain a lease that this worker does not know, and it would look lost.
    """

    def __init__(
        self,
        network: NetworkThread,
        reporting: Reporting,
        supervisor: Supervisor,
        spool: Spool,
        boot: str,
        beat: float,
        sending: Callable[[], int],
    ) -> None:
        self._network, self._reporting, self._supervisor, self._spool = network, reporting, supervisor, spool
        self._sending = sending
        """number of file uploads that have not finished"""
        self._boot, self._every, self._beat = boot, beat, 0
        self._shipment: Shipment | None = None
        self._poll_want = 0
        self._backoff = Backoff()
        self._retry_at = 0.0
        self._save_at = 0.0
        """monotonic time of the next search for results that were unacknowledged too long and must be spooled"""
        self._last_report = 0.0
        self._reported = self._took = 0.0
        """time at which the last report was sent, and seconds until its response"""
        self.last_answer = time.monotonic()
        self.away = False
        self.draining = False
        self.drained = False
        """the server asked this worker to shut down when idle"""
        self.again = False
        """the server asked it to restart afterwards for another experiment"""

    @property
    def quiet(self) -> bool:
        """True if nothing is left to report and no request but a poll is in flight."""
        return self._shipment is None and not self._reporting.records

    def step(self, now: float) -> None:
        """Send a report or a poll if one is due."""
        if now < self._retry_at:
            return
        if self._shipment is None and now >= self._due():
            self._report(now)
        busy = self._shipment is not None or bool(self._reporting.ended())
        if not busy and not self._poll_want and self._want(now) > 0:
            self._poll(now)

    def next_step(self) -> float:
        """Return the monotonic time at which `step` must run next if no event happens before."""
        if self._shipment is not None:
            return self._save_at if self._reporting.ended() else float("inf")
        return max(self._retry_at, self._due())

    def hear(self, now: float) -> None:
        """Apply the responses that have arrived. Raises Gone and Denied."""
        while self._network.replies:
            reply = self._network.replies.popleft()
            shipment, self_poll = None, reply.channel == POLL
            if self_poll:
                self._poll_want = 0
            else:
                shipment, self._shipment = self._shipment, None
                self._took = now - self._reported
            if reply.error is not None:
                self._failed(reply, now)
                continue
            self.last_answer = now
            self._backoff.reset()
            if self.away:
                say("the server answers again")
                self.away = False
            self._heard(shipment, reply.answer, now)
        self._save_what_waits(now)

    def _due(self) -> float:
        """Return the monotonic time at which the next report is due."""
        if self._reporting.backlog():
            return 0.0
        ended = self._reporting.ended()
        if ended:
            return self._together(ended)
        if self._reporting.news():
            return self._last_report + min(max(NEWS_AFTER, NEWS_SHARE * self._took), NEWS_MOST, self._every / 2)
        if self._poll_want:
            return self._last_report + self._every
        return self._last_report + self._every / 2

    def _together(self, ended: Sequence[UnsentReport]) -> float:
        """Return the time until which results are batched: one call each would double the cost of a brief attempt."""
        busy = len(self._supervisor.attempts) + len(self._supervisor.waiting)
        if busy < len(ended) or any(record.lasts(record.ended) for record in ended):
            return 0.0
        return min(record.ended for record in ended) + TOGETHER

    def _want(self, now: float) -> int:
        if self.draining or self.drained or now < self._supervisor.unwell_until:
            return 0
        return max(0, self._supervisor.idle - self._poll_want)

    def _body(self, want: int) -> dict[str, Any]:
        self._beat += 1
        body: dict[str, Any] = {"boot": self._boot, "beat": self._beat, "want": want, "draining": self.draining}
        if not self._poll_want:
            queued = list(self._supervisor.waiting)
            body["live"] = self._reporting.live() + queued
        return body

    def _report(self, now: float) -> None:
        shipment = self._reporting.ship()
        body = self._body(self._want(now))
        body["sending"] = self._sending()
        if shipment.finished:
            body["finished"] = shipment.finished
        if shipment.beats:
            body["beats"] = shipment.beats
        self._shipment, self._last_report, self._reported = shipment, now, now
        self._network.call(REPORT, body, ANSWER_WITHIN)

    def _poll(self, now: float) -> None:
        want = self._want(now)
        body = self._body(want)
        body["wait"] = self._every
        self._poll_want = want
        self._last_report = now
        self._network.call(POLL, body, self._every + ANSWER_WITHIN)

    def _heard(self, shipment: Shipment | None, answer: dict[str, Any], now: float) -> None:
        if shipment is not None:
            for attempt in self._reporting.acknowledge(shipment, answer.get("acks") or ()):
                say(f"attempt {attempt} was superseded")
                self._supervisor.abandon(attempt)
            unheard = [item["attempt"] for item in shipment.finished if not self._accepted(str(item["attempt"]))]
            if unheard:  # not acknowledged although the call succeeded: retry with backoff
                self._retry_at = now + self._backoff.next()
            for record in self._reporting.take_over():
                self._spool.drop(record)
        for order in answer.get("orders") or ():
            self._supervisor.stop(str(order["attempt"]), str(order["state"]), order.get("reason"), order.get("grace"))
        for lease in answer.get("leases") or ():
            if not self._reporting.knows(str(lease["attempt"])):
                self._supervisor.waiting.add(lease)
                if self.draining:  # the poll was in flight when the worker was asked to stop
                    self._supervisor.stop(str(lease["attempt"]), "preempted", ASKED_TO_STOP)
        self._supervisor.capacity = int(answer.get("slots") or self._supervisor.capacity)
        self.drained = self.drained or bool(answer.get("drain"))
        self.again = self.again or bool(answer.get("again"))

    def _accepted(self, attempt: str) -> bool:
        record = self._reporting.records.get(attempt)
        return record is None or record.accepted

    def _failed(self, reply: CallOutcome, now: float) -> None:
        if isinstance(reply.error, (WorkerGone, Denied)):
            raise reply.error
        if isinstance(reply.error, TooLarge):
            self._reporting.shrink()
        if not self.away:
            say(f"{reply.error}; going on, trying again")
            self.away = True
        self._retry_at = now + self._backoff.next()

    def _save_what_waits(self, now: float) -> None:
        if now < self._save_at:
            return
        self._save_at = now + PATIENCE / 4
        for record in self._reporting.records.values():
            if record.result is not None and not record.spooled and now - record.ended > PATIENCE:
                self._spool.save(record)
