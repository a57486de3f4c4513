"""Sends the queued notifications, with retries and backoff until they are accepted."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial

from orchestune.domain.specification.notify import Hook, format_of, public_part
from orchestune.errors import BadInput, Denied, NotFound, TemporaryError, Unreachable
from orchestune.outgoing.destinations import parse
from orchestune.outgoing.http import HttpLink, HttpResponse
from orchestune.outgoing.messages import content, headers
from orchestune.ports.clock import rfc3339
from orchestune.services.core import Core
from orchestune.services.execution.locked_experiment import locked
from orchestune.services.execution.notifications import document
from orchestune.services.memory.lru_cache import LruCache
from orchestune.services.memory.signals import NOTIFYING
from orchestune.services.outgoing import hook_of
from orchestune.store import experiments, notifications
from orchestune.store.experiments import ExperimentRow
from orchestune.store.notifications import Notice
from orchestune.system.isolation import failure_of

log = logging.getLogger(__name__)

RETRY_DELAYS = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0)
"""seconds between delivery attempts: 16 hours in total"""
_MAX_SENDING, _MAX_SENDING_EACH, _MAX_SENDING_OF_PRINCIPAL = 8, 2, 3
"""concurrent messages: in total, per experiment or host, and per principal, so that slow hosts delay no others"""
_PAGE_MESSAGES = 100
"""messages per query; the hosts of ten times as many are cached"""
_HTTP_GONE = 410
_RETRY_SECONDS = 5.0
"""seconds without sending after the store failed to record the result of a delivery"""


_Shares = tuple[str, ...]
"""the experiment, host and principal of a message, of each of which a few are sent at once"""
_OF_PRINCIPAL = "principal "


def _is_used_up(shares: _Shares, counts: Counter[str]) -> bool:
    return any(
        counts[share] >= (_MAX_SENDING_OF_PRINCIPAL if share.startswith(_OF_PRINCIPAL) else _MAX_SENDING_EACH)
        for share in shares
    )


class Notifying:
    """Delivers messages at least once: a row is deleted after its message was accepted.

    If the server dies in between, the message is sent twice; the receiver recognizes duplicates by their identity.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._lock = threading.Lock()
        self._sending: dict[Notice, _Shares] = {}
        self._shares: LruCache[tuple[str, str], _Shares] = LruCache(10 * _PAGE_MESSAGES)
        """(experiment, hook) → shares"""
        self._ended = set[str]()
        """messages whose delivery ended while due rows were being read: the rows read may be stale"""
        self._unwritten: dict[str, Callable[[], None]] = {}
        """message → function that records the result of its last delivery, until that has succeeded: accepted messages
        are not sent again
        """
        self._rests_until = core.clock.monotonic()

    def tick(self) -> None:
        """Start sending the due messages, unless the store could not record the results."""
        if self._core.store.full or self._core.clock.monotonic() < self._rests_until:
            return
        with self._lock:
            counts = Counter(share for shares in self._sending.values() for share in shares)
            free = _MAX_SENDING - len(self._sending)
            self._ended.clear()
        full = {notice.experiment for notice in self._sending if counts[notice.experiment] >= _MAX_SENDING_EACH}
        while free > 0:
            with self._core.store.reading() as session:
                notices = notifications.due(session, full, _PAGE_MESSAGES, 2 * RETRY_DELAYS[-1])
            for notice in notices:
                shares = self._shares_of(notice)
                if free and not _is_used_up(shares, counts) and self._begin(notice, shares):
                    counts.update(shares)
                    free -= 1
            waits = {notice.experiment for notice in notices if _is_used_up(self._shares_of(notice), counts)} - full
            if len(notices) < _PAGE_MESSAGES or not waits:
                return
            full |= waits  # also read the messages queued behind these

    def _shares_of(self, notice: Notice) -> _Shares:
        """Return what bounds the message; without its host if that is unknown or the hook no longer exists."""
        key = notice.experiment, notice.hook
        if (shares := self._shares.get(key)) is not None:
            return self._shares.keep(key, shares)
        try:
            row, hook = self._hook(notice)
            target = parse(hook.url) if hook is not None else None
        except (BadInput, TemporaryError):  # the sending thread runs into the same error and reports it
            return (notice.experiment,)
        if row is None or target is None:
            return (notice.experiment,)
        shares = notice.experiment, f"{target.host}:{target.port}"
        return self._shares.keep(key, (*shares, _OF_PRINCIPAL + row.principal) if row.principal else shares)

    def _hook(self, notice: Notice) -> tuple[ExperimentRow | None, Hook | None]:
        """Return the experiment and the hook, each None if absent."""
        with self._core.store.reading() as session:
            try:
                row = experiments.get(session, notice.experiment)
            except NotFound:
                return None, None
        return row, hook_of(self._core, row.specification, row.id, notice.hook)

    def _begin(self, notice: Notice, shares: _Shares) -> bool:
        with self._lock:
            if notice.identity in self._ended or any(notice.identity == sent.identity for sent in self._sending):
                return False
            self._sending[notice] = shares
        threading.Thread(target=self._run, args=(notice,), name="send", daemon=True).start()
        return True

    def _run(self, notice: Notice) -> None:
        error = failure_of(partial(self._deliver, notice))
        if isinstance(error, TemporaryError):  # from the store: the row still exists and is due
            self._rests_until = self._core.clock.monotonic() + _RETRY_SECONDS
            log.warning("cannot record the delivery of a message, will retry: %s", error)
        elif error is not None:  # the row remains for a retry
            log.error("a message could not be sent", exc_info=error)
            self._unwritten[notice.identity] = partial(self._later, notice, None)
        with self._lock:
            self._sending.pop(notice, None)
            self._ended.add(notice.identity)
        self._core.signals.notify(NOTIFYING)

    def _deliver(self, notice: Notice) -> None:
        """Send a message, unless only the record of its delivery is missing, and record it."""
        if notice.identity not in self._unwritten:
            self._unwritten[notice.identity] = self._send(notice)
        self._unwritten[notice.identity]()
        del self._unwritten[notice.identity]

    def _send(self, notice: Notice) -> Callable[[], None]:
        """Attempt one delivery; return the function that records its result."""
        row, hook = self._hook(notice)
        if row is None or hook is None:
            return partial(self._drop, notice)
        try:
            answer = _post(self._core, hook, notice, row)
        except (Denied, BadInput) as error:
            return partial(self._give_up, notice, hook, error.message)
        except Unreachable as error:
            return self._failed(notice, hook, error.message, None)
        return self._answered(notice, hook, answer)

    def _answered(self, notice: Notice, hook: Hook, answer: HttpResponse) -> Callable[[], None]:
        if answer.good:
            return partial(self._drop, notice)
        if answer.status == _HTTP_GONE:
            return partial(self._give_up, notice, hook, "the receiver responded 410 Gone")
        after = answer.headers.get("retry-after", "")
        return self._failed(
            notice, hook, f"the receiver responded {answer.status}", float(after) if after.isdecimal() else None
        )

    def _failed(self, notice: Notice, hook: Hook, why: str, seconds: float | None) -> Callable[[], None]:
        if notice.delivery_attempts >= len(RETRY_DELAYS):
            return partial(self._give_up, notice, hook, why)
        log.warning("delivery of message %s to %s failed: %s", notice.kind, public_part(hook.url), why)
        return partial(self._later, notice, seconds)

    def _drop(self, notice: Notice) -> None:
        with self._core.store.transaction() as session:
            notifications.drop(session, notice)

    def _later(self, notice: Notice, seconds: float | None) -> None:
        pause = RETRY_DELAYS[min(notice.delivery_attempts, len(RETRY_DELAYS) - 1)]
        with self._core.store.transaction() as session:
            notifications.postpone(session, notice, min(max(pause, seconds or 0.0), RETRY_DELAYS[-1]))

    def _give_up(self, notice: Notice, hook: Hook, why: str) -> None:
        """Drop the message and record the failure in the events of the experiment, where users see it."""
        log.warning("giving up on message %s to %s: %s", notice.kind, public_part(hook.url), why)
        with locked(self._core, notice.experiment) as ledger:
            if notifications.drop(ledger.session, notice):
                to = public_part(hook.url)
                ledger.record(
                    "message_failed",
                    {"about": notice.kind, "to": to, "tries": notice.delivery_attempts + 1, "why": why},
                )


def _post(core: Core, hook: Hook, notice: Notice, row: ExperimentRow) -> HttpResponse:
    data = {**document(core, row, notice.kind, notice.data), "url": f"{core.url}/experiments/{row.handle}"}
    body = content(format_of(hook.format, hook.url), notice.kind, rfc3339(notice.at), data)
    signed = headers(notice.identity, int(core.clock.now()), body, hook.secret)
    with HttpLink(hook.url, core.outgoing.reach) as link:
        return link.request("POST", link.target.path, body, signed)
