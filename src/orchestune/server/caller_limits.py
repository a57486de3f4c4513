"""Limits per caller: concurrent requests, bytes of request bodies in memory, and the rate of sign-ins and audited
actions.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar

from orchestune.errors import StoreUnavailable, Throttled
from orchestune.server.rate_limits import TokenBuckets
from orchestune.services.core import Caller

# A page or command line has one to three requests in progress. Measured with 400 streams of one viewer: a change of
# their experiment blocked the event loop for 0.9 s.
MAX_REQUESTS = 200
MAX_SHARED_REQUESTS = 500  # of all tokens of a role in a cluster, and of all guests of one person
MAX_TOKEN_REQUESTS = 100  # of these: one of them, so that one person does not use up the limit of the role
CALLER: ContextVar[str] = ContextVar("caller", default="")
"""key of the caller whose request this task handles (`key_of`); empty for callers without limits"""

MAX_BODY_BYTES = 2**28
"""maximum of body bytes in memory. The body of a slow client stays in memory until it is complete."""
MAX_CALLER_BODY_BYTES = MAX_BODY_BYTES // 4

MAX_AUDITED_PER_MINUTE = 300
"""maximum of audited actions per caller. The audit log keeps 100,000 rows: without a limit a viewer could displace all
other rows within minutes."""
_AUDITED = re.compile(
    r"POST /api/v1/sign-in|GET /api/v1/experiments/[^/]+/archive|DELETE /api/v1/(experiments|shares)/.*"
    r"|POST /api/v1/experiments/[^/]+/shares"
)
MAX_SIGN_INS_PER_MINUTE = 30  # by one token or link: each is a row of the audit log and a session


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

    def hold(self, key: str, count: int) -> None:
        """Add bytes. Raises Throttled if the caller would exceed its share, StoreUnavailable beyond the total limit."""
        if key and self._held[key] + count > MAX_CALLER_BODY_BYTES:
            text = f"request bodies of this caller take too much memory (at most {MAX_CALLER_BODY_BYTES // 2**20} MiB)"
            raise Throttled(text, "send fewer requests at once, and retry", 1)
        if self._held.total() + count > MAX_BODY_BYTES:
            raise StoreUnavailable("the server has no memory left for request bodies", "retry in a second")
        self._held[key] += count

    def release(self, key: str, count: int) -> None:
        """Subtract bytes that `hold` has added."""
        self._held[key] -= count
        if not self._held[key]:
            del self._held[key]


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


class CallerLimits:
    """Counts requests in progress by caller. Used on the event loop only."""

    def __init__(self) -> None:
        self._in_progress: Counter[str] = Counter()

    def count(self, key: str) -> int:
        """Return how many requests of this caller are in progress."""
        return self._in_progress[key]

    @contextmanager
    def one_of(self, key: str, limit: int) -> Iterator[None]:
        """Count a request of this caller until it is over. Raises Throttled if the caller has `limit` in progress."""
        if self._in_progress[key] >= limit:
            text = f"too many requests of this caller are in progress (at most {limit})"
            raise Throttled(text, "wait for responses, close unused streams, and retry", 1)
        self._in_progress[key] += 1
        try:
            yield
        finally:
            self._in_progress[key] -= 1
            if not self._in_progress[key]:
                del self._in_progress[key]

    @contextmanager
    def request_of(self, caller: Caller, *, is_waiting: bool) -> Iterator[None]:
        """Count a request of a person or worker until it is over. Raises Throttled beyond the limits.

        Streams and long polls (`is_waiting`) are counted apart: idle ones must not keep the caller, or others with the
        same role, from short requests such as `stop`.
        """
        key = key_of(caller)
        if not key:
            yield
            return
        kind = "waiting" if is_waiting else "short"
        with ExitStack() as counted:
            if caller.shared:
                counted.enter_context(self.one_of(f"{kind} {caller.source}", MAX_TOKEN_REQUESTS))
            limit = MAX_SHARED_REQUESTS if caller.shared or caller.role == "guest" else MAX_REQUESTS
            counted.enter_context(self.one_of(f"{kind} {key}", limit))
            yield


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
    return caller.source or f"{caller.role} {caller.name} {caller.experiment} {caller.worker}"
