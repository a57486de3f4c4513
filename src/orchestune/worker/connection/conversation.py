"""Sends reports, heartbeats and polls for leases when they are due, and applies the server's responses."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from orchestune.worker.connection.api import Backoff, Denied, TooLarge, WorkerGone
from orchestune.worker.connection.network import POLL, REPORT, CallOutcome, NetworkThread
from orchestune.worker.connection.reporting import Reporting, Shipment, UnsentReport
from orchestune.worker.files.spool import SPOOL_AFTER_SECONDS, Spool
from orchestune.worker.journal import say
from orchestune.worker.supervisor import Supervisor

BATCH_SECONDS = 0.2
"""seconds for which log lines and metrics of running attempts are batched"""
BATCH_FACTOR = 5
"""batch for this multiple of the last report's duration if that is longer, so that a busy server gets fewer calls"""
MAX_BATCH_SECONDS = 0.5
"""upper bound in seconds on batching: a client that follows the log sees new lines within a second"""
RESPONSE_TIMEOUT_SECONDS = 15.0
"""timeout of a report; a long poll may take one heartbeat interval longer"""
SLURM_NOTICE_SECONDS = 180.0
"""a signal so many seconds before the end of a Slurm job, or later, is about its time limit"""
RESULT_BATCH_SECONDS = 0.004
"""seconds for which the result of a brief attempt is held back to batch it with others, while most slots are busy"""


def worker_stopped(environ: Mapping[str, str], now: float) -> dict[str, str]:
    """Return the reason with which attempts end when the worker is asked to stop.

    It names the time limit of a Slurm job that is nearly over: Slurm sends the signal some time before that. `environ`
    is that of the worker, `now` the wall time.
    """
    text = "the worker was asked to stop"
    start, end = environ.get("SLURM_JOB_START_TIME", ""), environ.get("SLURM_JOB_END_TIME", "")
    if start.isdigit() and end.isdigit() and int(end) - now <= SLURM_NOTICE_SECONDS:
        text = f"the time limit of its Slurm job, {(int(end) - int(start)) / 60:.0f} min, was nearly reached"
    return {"code": "worker_stopped", "message": text}


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
        interval: float,  # seconds between heartbeats
        pending_uploads: Callable[[], int],
    ) -> None:
        self._network, self._reporting, self._supervisor, self._spool = network, reporting, supervisor, spool
        self._pending_uploads = pending_uploads
        """returns the number of unfinished file uploads"""
        self._boot, self._interval, self._heartbeat = boot, interval, 0
        self._pause = 0.0
        """minimum seconds between calls without a result, as the server last requested"""
        self._shipment: Shipment | None = None
        self._poll_want = 0
        self._backoff = Backoff()
        self._retry_at = 0.0
        self._save_at = 0.0
        """monotonic time of the next search for results that were unacknowledged too long and must be spooled"""
        self._last_report = 0.0
        self._reported_at = self._report_seconds = 0.0
        """time at which the last report was sent, and seconds until its response"""
        self.last_answer = time.monotonic()
        self.is_unreachable = False
        self.draining = False
        self.drained = False
        """the server asked this worker to shut down when idle"""
        self.must_restart = False
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
        if not busy and not self._poll_want and self._wanted_leases(now) > 0:
            self._poll(now)

    def next_step(self) -> float:
        """Return the monotonic time at which `step` must run next if no event happens before."""
        if self._shipment is not None:
            return self._save_at if self._reporting.ended() else float("inf")
        return max(self._retry_at, self._due())

    def receive(self, now: float) -> None:
        """Apply the responses that have arrived. Raises WorkerGone and Denied."""
        while self._network.replies:
            reply = self._network.replies.popleft()
            shipment, is_poll = None, reply.channel == POLL
            if is_poll:
                self._poll_want = 0
            else:
                shipment, self._shipment = self._shipment, None
                self._report_seconds = now - self._reported_at
            if reply.error is not None:
                self._handle_error(reply, now)
                continue
            self.last_answer = now
            self._backoff.reset()
            if self.is_unreachable:
                say("the server is reachable again")
                self.is_unreachable = False
            self._apply(shipment, reply.answer, now)
        self._spool_unacknowledged(now)

    def _due(self) -> float:
        """Return the monotonic time at which the next report is due."""
        if self._reporting.backlog():
            return 0.0
        ended = self._reporting.ended()
        if ended:
            return self._batch_deadline(ended)
        if self._reporting.has_news():
            batch = max(BATCH_SECONDS, BATCH_FACTOR * self._report_seconds)
            return self._last_report + max(min(batch, MAX_BATCH_SECONDS, self._interval / 2), self._pause)
        return self._last_report + max(self._interval if self._poll_want else self._interval / 2, self._pause)

    def _batch_deadline(self, ended: Sequence[UnsentReport]) -> float:
        """Return the time until which results are batched: one call each would double the cost of a brief attempt."""
        busy = len(self._supervisor.attempts) + len(self._supervisor.waiting)
        if busy < len(ended) or any(record.has_lasted(record.ended) for record in ended):
            return 0.0
        return min(record.ended for record in ended) + RESULT_BATCH_SECONDS

    def _wanted_leases(self, now: float) -> int:
        if self.draining or self.drained or now < self._supervisor.paused_until:
            return 0
        return max(0, self._supervisor.idle - self._poll_want)

    def _body(self, want: int) -> dict[str, Any]:
        self._heartbeat += 1
        body: dict[str, Any] = {"boot": self._boot, "beat": self._heartbeat, "want": want, "draining": self.draining}
        if not self._poll_want:
            queued = list(self._supervisor.waiting)
            body["live"] = self._reporting.live() + queued
        return body

    def _report(self, now: float) -> None:
        shipment = self._reporting.ship()
        body = self._body(self._wanted_leases(now))
        body["sending"] = self._pending_uploads()
        if shipment.finished:
            body["finished"] = shipment.finished
        if shipment.beats:
            body["beats"] = shipment.beats
        self._shipment, self._last_report, self._reported_at = shipment, now, now
        self._network.call(REPORT, body, RESPONSE_TIMEOUT_SECONDS)

    def _poll(self, now: float) -> None:
        want = self._wanted_leases(now)
        body = self._body(want)
        body["wait"] = wait = max(self._interval, self._pause)
        self._poll_want = want
        self._last_report = now
        self._network.call(POLL, body, wait + RESPONSE_TIMEOUT_SECONDS)

    def _apply(self, shipment: Shipment | None, response: dict[str, Any], now: float) -> None:
        if shipment is not None:
            for attempt in self._reporting.acknowledge(shipment, response.get("acks") or ()):
                say(f"attempt {attempt} was superseded")
                self._supervisor.abandon(attempt)
            unacknowledged = [item["attempt"] for item in shipment.finished if not self._accepted(str(item["attempt"]))]
            if unacknowledged:  # not acknowledged although the call succeeded: retry with backoff
                self._retry_at = now + self._backoff.next()
            for record in self._reporting.pop_reported():
                self._spool.drop(record)
        for order in response.get("orders") or ():
            self._supervisor.stop(str(order["attempt"]), str(order["state"]), order.get("reason"), order.get("grace"))
        for lease in response.get("leases") or ():
            if not self._reporting.knows(str(lease["attempt"])):
                self._supervisor.waiting.add(lease)
                if self.draining:  # the poll was in flight when the worker was asked to stop
                    self._supervisor.stop(str(lease["attempt"]), "preempted", worker_stopped({}, 0.0))
        self._pause = float(response.get("pause") or 0.0)
        self._supervisor.capacity = int(response.get("slots") or self._supervisor.capacity)
        self.drained = self.drained or bool(response.get("drain"))
        self.must_restart = self.must_restart or bool(response.get("again"))

    def _accepted(self, attempt: str) -> bool:
        record = self._reporting.records.get(attempt)
        return record is None or record.accepted

    def _handle_error(self, reply: CallOutcome, now: float) -> None:
        if isinstance(reply.error, (WorkerGone, Denied)):
            raise reply.error
        if isinstance(reply.error, TooLarge):
            self._reporting.shrink()
        if not self.is_unreachable:
            say(f"{reply.error}; attempts keep running, retrying")
            self.is_unreachable = True
        self._retry_at = now + self._backoff.next()

    def _spool_unacknowledged(self, now: float) -> None:
        if now < self._save_at:
            return
        self._save_at = now + SPOOL_AFTER_SECONDS / 4
        for record in self._reporting.records.values():
            if record.result is not None and not record.spooled and now - record.ended > SPOOL_AFTER_SECONDS:
                self._spool.save(record)
