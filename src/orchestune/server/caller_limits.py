"""Limits per caller.

They bound concurrent requests, bytes of request bodies in memory, and the rate of sign-ins and audited actions.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar

from orchestune.errors import StoreUnavailable, Throttled
from orchestune.server.caller_address import throttle_key
from orchestune.server.keyed_semaphores import KeyedSemaphores
from orchestune.server.rate_limits import TokenBuckets
from orchestune.services.core import Caller

# A page or command line has one to three requests in progress. Measured with 400 streams of one viewer: a change of
# their experiment blocked the event loop for 0.9 s.
MAX_REQUESTS = 200
MAX_SHARED_REQUESTS = 500  # of all tokens of a role in a cluster, and of all guests of one person
MAX_TOKEN_REQUESTS = 100  # of these: one of them, so that one person does not use up the limit of the role
CALLER: ContextVar[str] = ContextVar("caller", default="")
"""key of the caller whose request this task handles (`key_of`); empty for callers without limits"""
TOKEN: ContextVar[str] = ContextVar("token", default="")
"""digest of its token, if other tokens have the same key; else empty"""

MAX_BODY_BYTES = 2**28
"""maximum of body bytes in memory. The body of a slow client stays in memory until it is complete."""
MAX_CALLER_BODY_BYTES = MAX_BODY_BYTES // 4
MAX_TOKEN_BODY_BYTES = MAX_CALLER_BODY_BYTES // 5  # of one of the tokens of a role, as for `MAX_TOKEN_REQUESTS`

MAX_AUDITED_PER_MINUTE = 300
"""maximum of audited actions per caller. The audit log keeps 100,000 rows: without a limit a viewer could displace all
other rows within minutes."""
_AUDITED = re.compile(
    r"POST /api/v1/sign-in|GET /api/v1/experiments/[^/]+/archive|DELETE /api/v1/(experiments|shares)/.*"
    r"|POST /api/v1/experiments/[^/]+/shares"
)
MAX_LOGINS_PER_MINUTE = 10
MAX_SIGN_INS_PER_MINUTE = 30  # by one token or link: each is a row of the audit log and a session


def set_caller(caller: Caller) -> str:
    """Set the caller of the request that this task handles, and return its key (`key_of`)."""
    key = key_of(caller)
    CALLER.set(key)
    TOKEN.set(caller.source if key and caller.shared else "")
    return key


def set_address(address: str) -> None:
    """Set the caller of a request without authentication: all of them from one address are one caller."""
    CALLER.set(f"unauthenticated at {throttle_key(address)}")


class CallerTurns:
    """Limits the requests of each caller that occupy a thread at once. Used on the event loop only.

    All tokens of a role in a cluster are one caller. One of them has at most half of its turns, and waits for these
    before it waits for one of the role, so that others with the role wait for a few of its requests, not for all.
    Owners of the server, whose key is empty, have no limit.
    """

    def __init__(self, at_once: int) -> None:
        self._callers, self._tokens = KeyedSemaphores(at_once), KeyedSemaphores(max(at_once // 2, 1))

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn of the caller of this task, and hold it."""
        async with AsyncExitStack() as held:
            if token := TOKEN.get():
                await held.enter_async_context(self._tokens.of(token))
            if key := CALLER.get():
                await held.enter_async_context(self._callers.of(key))
            yield


class AuditedRequests:
    """Limits the rate of one caller's audited actions. Used on the event loop only."""

    def __init__(self) -> None:
        self._buckets = TokenBuckets(MAX_AUDITED_PER_MINUTE)

    def count(self, key: str, method: str, path: str) -> None:
        """Count a request if it will be audited. Raises Throttled if the caller has sent too many within a minute."""
        if not _AUDITED.fullmatch(f"{method} {path}"):
            return
        if wait := self._buckets.take(key):
            text = f"too many links, exports or deletions by this caller (at most {MAX_AUDITED_PER_MINUTE} a minute)"
            raise Throttled(text, "retry in a second", math.ceil(wait))


class BodyMemory:
    """Counts the bytes of request bodies that are in memory, by caller. Used on the event loop only.

    Callers without a token share one count. Owners of the server, whose key is empty, count only towards the total.
    """

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()
        self._total = 0

    def hold(self, key: str, count: int) -> None:
        """Add bytes. Raises Throttled if the caller would exceed its share, StoreUnavailable beyond the total limit."""
        if key and self._held[key] + count > MAX_CALLER_BODY_BYTES:
            text = f"request bodies of this caller take too much memory (at most {MAX_CALLER_BODY_BYTES // 2**20} MiB)"
            raise Throttled(text, "send fewer requests at once, and retry", 1)
        if self._total + count > MAX_BODY_BYTES:
            raise StoreUnavailable("the server has no memory left for request bodies", "retry in a second")
        self._held[key] += count
        self._total += count

    def release(self, key: str, count: int) -> None:
        """Subtract bytes that `hold` has added."""
        self._held[key] -= count
        self._total -= count
        if not self._held[key]:
            del self._held[key]


class UnreadMemory:
    """Counts the bytes of responses that their clients have not received yet, by caller. Used on the event loop only.

    A caller may always have one response, whatever its size and whatever others have. Owners of the server, whose key
    is empty, are not limited.
    """

    def __init__(self) -> None:
        self._of_callers: Counter[str] = Counter()
        self._of_tokens: Counter[str] = Counter()  # of those that share a role, which is one caller

    @contextmanager
    def hold(self, key: str, token: str, count: int) -> Iterator[None]:
        """Count bytes until they have been sent; `token`: the source of a caller who shares a role, otherwise empty.

        Raises Throttled if the caller or the token would exceed its share, or all callers the total limit.
        """
        with ExitStack() as counted:
            if key and token:
                counted.enter_context(self._part(self._of_tokens, token, count, MAX_TOKEN_BODY_BYTES))
            counted.enter_context(self._part(self._of_callers, key, count, MAX_CALLER_BODY_BYTES))
            yield

    @contextmanager
    def _part(self, held: Counter[str], key: str, count: int, limit: int) -> Iterator[None]:
        if key and held[key] and (held[key] + count > limit or held.total() + count > MAX_BODY_BYTES):
            text = f"this caller has {held[key]:,} bytes of responses that were not received"
            raise Throttled(text, "receive the responses to earlier requests, and retry", 1)
        held[key] += count
        try:
            yield
        finally:
            held[key] -= count
            if not held[key]:
                del held[key]


class SignIns:
    """Limits the rate of browser sign-ins by one token or one link. Used on the event loop only."""

    def __init__(self) -> None:
        self._buckets = TokenBuckets(MAX_SIGN_INS_PER_MINUTE)

    def count(self, caller: Caller) -> None:
        """Count a sign-in as `caller`. Raises Throttled if there were too many within a minute."""
        key = key_of(caller) and (caller.source or key_of(caller))  # people of one cluster role each have a token
        if key and (wait := self._buckets.take(key)):
            text = f"too many browsers signed in as '{caller.name}' (at most {MAX_SIGN_INS_PER_MINUTE} a minute)"
            raise Throttled(text, "retry in a minute", math.ceil(wait))


class Logins:
    """Limits the rate of sign-ins of command lines that one address begins: each is a request to the provider."""

    def __init__(self) -> None:
        self._buckets = TokenBuckets(MAX_LOGINS_PER_MINUTE)

    def count(self, address: str) -> None:
        """Count a sign-in that begins. Raises Throttled if there were too many within a minute."""
        if wait := self._buckets.take(address):
            text = f"too many sign-ins from this address (at most {MAX_LOGINS_PER_MINUTE} a minute)"
            raise Throttled(text, "retry in a minute", math.ceil(wait))


class CallerLimits:
    """Counts requests in progress by caller. Used on the event loop only."""

    def __init__(self) -> None:
        self._in_progress: dict[str, int] = {}

    def count(self, key: str) -> int:
        """Return how many requests of this caller are in progress."""
        return self._in_progress.get(key, 0)

    def add(self, key: str, limit: int) -> None:
        """Count a request of this caller until `remove`. Raises Throttled if the caller has `limit` in progress."""
        present = self._in_progress.get(key, 0)
        if present >= limit:
            text = f"too many requests of this caller are in progress (at most {limit})"
            raise Throttled(text, "wait for responses, close unused streams, and retry", 1)
        self._in_progress[key] = present + 1

    def remove(self, key: str) -> None:
        """Stop counting a request that `add` has counted."""
        present = self._in_progress.pop(key)
        if present > 1:
            self._in_progress[key] = present - 1

    @contextmanager
    def one_of(self, key: str, limit: int) -> Iterator[None]:
        """Count a request of this caller during the block. Raises Throttled if the caller has `limit` in progress."""
        self.add(key, limit)
        try:
            yield
        finally:
            self.remove(key)

    def add_request_of(self, caller: Caller, key: str, *, is_waiting: bool) -> tuple[str, ...]:
        """Count a request of a person or worker, and return the keys to `remove` when it is over.

        Streams and long polls (`is_waiting`) are counted apart: idle ones must not keep the caller, or others with the
        same role, from short requests such as `stop`. Raises Throttled beyond the limits. `key`: that of `key_of`.
        """
        if not key:
            return ()
        kind = "waiting" if is_waiting else "short"
        own = f"{kind} {key}"
        if not caller.shared:
            self.add(own, MAX_SHARED_REQUESTS if caller.role == "guest" else MAX_REQUESTS)
            return (own,)
        by_token = f"{kind} {caller.source}"
        self.add(by_token, MAX_TOKEN_REQUESTS)
        try:
            self.add(own, MAX_SHARED_REQUESTS)
        except Throttled:
            self.remove(by_token)
            raise
        return by_token, own


def key_of(caller: Caller) -> str:
    """Return the key by which a caller's requests are counted; empty for owners of the server, who are not limited.

    Callers who share a role count together: they can choose the names that they send and request further tokens at no
    cost. So do the guests of all links that one person created.
    """
    if caller.role == "owner":
        return ""
    if caller.role == "guest":
        return f"guests of {caller.shared_by}"
    if caller.shared:
        return f"every {caller.role}"
    return caller.subject or caller.source or f"{caller.role} {caller.name} {caller.experiment} {caller.worker}"
