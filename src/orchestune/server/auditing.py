"""The middleware that writes the audit log: events noted by routes, and refused requests."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from anyio import CapacityLimiter, to_thread
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestune.domain.access.audit import FAILURES, AuditEvent, AuditKind
from orchestune.errors import OrchestuneError, TemporaryError, Throttled
from orchestune.server.caller_address import caller_address, throttle_key
from orchestune.server.caller_limits import key_of
from orchestune.server.context import Context
from orchestune.server.rate_limits import MINUTE_SECONDS, TokenBuckets
from orchestune.services import audit
from orchestune.services.core import Caller

logger = logging.getLogger("orchestune.server")

POLICY_REFUSED = "policy_refused"
"""`code` of errors raised if a policy of the cluster or of this server refuses a request"""
STORE_TIMEOUT_SECONDS = 2.0  # a response waits for the storage of its events, which are in the server log before
_MAX_ROWS_PER_CALLER = 10  # rows per minute of one kind of failure by one caller or address
_MAX_ROWS_PER_KIND = 120  # rows per minute of one kind of failure
_BATCH_EVENTS = 100
_MAX_QUEUED_EVENTS = 1000  # while the store is unavailable; further events are in the server log only
_RETRY_SECONDS = 5.0
_MAX_LISTED_ADDRESSES = 10  # addresses with omitted failures that a summary lists
_STATE = "audit"


@dataclass(frozen=True)
class Note:
    """An action or refusal of a route, before the caller and the address are added."""

    kind: AuditKind
    subject: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    caller: Caller | None = None
    """the caller, if the request itself was not authenticated"""


class RequestNotes(list[Note]):
    """The notes of one request."""

    def add(self, kind: AuditKind, subject: str = "", caller: Caller | None = None, **details: str) -> None:
        """Add an event, which is written before the response is sent. Events of actions are dropped on errors."""
        self.append(Note(kind, subject, {key: text for key, text in details.items() if text}, caller))


def notes_of(scope: Scope) -> RequestNotes:
    """Return the notes of a request."""
    notes: RequestNotes = scope["state"].setdefault(_STATE, RequestNotes())
    return notes


class Auditing:
    """The middleware between `Boundary`, which converts errors into responses, and `AccessMiddleware`."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self.app = app
        self.context = context
        self.trail = AuditTrail(context)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, self._close_at_shutdown(send))
            return
        notes = notes_of(scope)

        async def sending(message: Message) -> None:
            if notes and message["type"] == "http.response.start":
                await self._write(scope, notes)
            await send(message)

        try:
            await self.app(scope, receive, sending)
        except OrchestuneError as exc:
            self._note_refusal(scope, exc)
            await self._write(scope, notes)
            raise

    async def _write(self, scope: Scope, notes: RequestNotes) -> None:
        """Write the notes. Wait until actions are stored, but not failures: each would hold up a thread."""
        address = caller_address(scope, self.context.proxies)
        principal: Caller | None = scope["state"].get("principal")
        has_actions = False
        for note in notes:
            caller = note.caller or principal
            claimed = {"name_claimed": "true"} if caller is not None and caller.shared else {}
            event = AuditEvent(
                note.kind,
                self.context.core.clock.now(),
                caller.name if caller else "",
                caller.role if caller else "",
                address,
                note.subject,
                {**note.details, **claimed},
            )
            self.trail.add(event, _source(caller, address))
            has_actions |= note.kind not in FAILURES
        notes.clear()
        if has_actions:
            await self.trail.settle(STORE_TIMEOUT_SECONDS)

    def _note_refusal(self, scope: Scope, error: OrchestuneError) -> None:
        """Note a refusal by policy or for lack of permissions. Actions noted before the error were not completed."""
        notes = notes_of(scope)
        notes[:] = [note for note in notes if note.kind in FAILURES]
        request = f"{scope['method']} {scope['path']}"
        if error.code == POLICY_REFUSED:
            notes.add(AuditKind.POLICY_REFUSED, request, reason=error.message)
        elif error.status == 403:
            notes.add(AuditKind.ACCESS_DENIED, request, reason=error.message)
        elif isinstance(error, Throttled) and notes:
            notes[:] = [Note(note.kind, note.subject, {**note.details, "throttled": "true"}) for note in notes]

    def _close_at_shutdown(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "lifespan.shutdown.complete":
                await self.trail.close()
            await send(message)

        return sending


def _source(caller: Caller | None, address: str) -> str:
    """Return the key by which failures are limited: the caller if authenticated, otherwise the address.

    Behind a port-forward all callers have one address.
    """
    return f"address {throttle_key(address)}" if caller is None else f"caller {caller.source or key_of(caller)}"


class AuditTrail:
    """The queue of audit events: logged at once, stored in batches. Used on the event loop only.

    Failures beyond the limits are counted, and written as one event per minute.
    """

    def __init__(self, context: Context) -> None:
        self._core = context.core
        self._queue: deque[AuditEvent] = deque(maxlen=_MAX_QUEUED_EVENTS)
        self._thread = CapacityLimiter(1)  # not shared: a hanging store must not block other requests
        self._storing: asyncio.Task[None] | None = None
        self._per_caller = TokenBuckets(_MAX_ROWS_PER_CALLER)
        self._per_kind = TokenBuckets(_MAX_ROWS_PER_KIND, max_keys=len(FAILURES))
        self._omitted: Counter[str] = Counter()
        self._summary: asyncio.TimerHandle | None = None

    def add(self, event: AuditEvent, source: str) -> None:
        """Log `event` and queue it for the store. `source`: the key by which failures of one kind are limited.

        Each kind has its own limits: unknown tokens, which anyone can send, displace no refusals of known callers.
        """
        if event.kind in FAILURES and (
            self._per_caller.take(f"{event.kind} {source}") or self._per_kind.take(event.kind)
        ):
            self._omit(event)
            return
        audit.log(event)
        self._queue.append(event)
        self._start()

    async def settle(self, seconds: float) -> None:
        """Wait until the events so far are stored, for at most `seconds`."""
        if self._storing is not None:
            await asyncio.wait({self._storing}, timeout=seconds)

    async def close(self) -> None:
        """Write the remaining events before the store is closed."""
        if self._summary is not None:
            self._summary.cancel()
            self._summarize()
        await self.settle(STORE_TIMEOUT_SECONDS)
        if self._storing is not None:
            self._storing.cancel()

    def _start(self) -> None:
        if self._storing is None or self._storing.done():
            self._storing = asyncio.get_running_loop().create_task(self._store())

    async def _store(self) -> None:
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(_BATCH_EVENTS, len(self._queue)))]
            try:
                write = partial(audit.record, self._core, batch)
                await to_thread.run_sync(write, abandon_on_cancel=True, limiter=self._thread)
            except TemporaryError as exc:
                logger.warning("security events wait for the store: %s", exc.message)
                self._queue.extendleft(reversed(batch))
                await asyncio.sleep(_RETRY_SECONDS)
            except Exception:  # keep the loop alive for later events; these are in the server log
                logger.exception("security events are in this log only: storing them failed")

    def _omit(self, event: AuditEvent) -> None:
        address = throttle_key(event.address)
        is_listed = address in self._omitted or len(self._omitted) < _BATCH_EVENTS
        self._omitted[address if is_listed else ""] += 1
        if self._summary is None:
            self._summary = asyncio.get_running_loop().call_later(MINUTE_SECONDS, self._summarize)

    def _summarize(self) -> None:
        """Write one event for all omitted failures."""
        self._summary, omitted = None, self._omitted
        self._omitted = Counter()
        most_frequent = omitted.most_common(_MAX_LISTED_ADDRESSES)
        addresses = ", ".join(f"{address} ({count})" for address, count in most_frequent if address)
        details = {"omitted": str(omitted.total()), "addresses": addresses}
        event = AuditEvent(AuditKind.TOKEN_FAILED, self._core.clock.now(), subject="more failures", details=details)
        audit.log(event)
        self._queue.append(event)
        self._start()
