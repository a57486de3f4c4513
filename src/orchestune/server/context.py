"""The context that all routes share; its thread pools are in `thread_pools`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from anyio import to_thread

from orchestune.server.addresses import Addresses
from orchestune.server.caller_address import Network, throttle_key
from orchestune.server.caller_limits import Logins, SignIns
from orchestune.server.change_journal import JournalRead, Journals, LogEvents
from orchestune.server.draining import DrainSignal
from orchestune.server.rate_limits import FailedSignIns
from orchestune.server.readiness import Readiness
from orchestune.server.shared_reads import SharedReads
from orchestune.server.terminals import Terminals
from orchestune.server.thread_pools import P, R, ThreadPools
from orchestune.server.tokens import KnownCallers
from orchestune.server.upload_limits import UnfinishedUploads
from orchestune.services.access import authenticate, single_sign_on
from orchestune.services.core import Caller
from orchestune.store.credentials import Credential

MAX_PLOT_BYTES = 64 * 2**20
"""maximum bytes of kept plots, of which one may have tens of MiB: each caller may request other filters"""


@dataclass(frozen=True)
class ServerTimeouts:
    """Intervals and timeouts, in seconds."""

    ping: float = 10.0
    """interval of keep-alive messages of a stream without events"""
    gather: float = 0.1
    """minimum interval between reads of a stream, so that small changes are batched"""
    poll: float = 1.0
    """poll interval for changes by other replicas, which cause no signal here"""
    page_interval: float = 1.0
    """minimum interval between updates of a page"""
    shared: float = 0.5
    """maximum age of a document that another page has read"""
    slow: float = 1.0
    """duration above which a request is logged as slow"""


@dataclass
class OpenPages:
    """The open pages: a server with open pages is not idle. `one_more` is used on the event loop only."""

    _count: int = 0
    _last_closed_at: float = float("-inf")

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Count an open page."""
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1
            self._last_closed_at = time.monotonic()

    def none_for(self, seconds: float) -> bool:
        """Return True if no page was open for that long; one in the background does not count, and comes back."""
        return not self._count and time.monotonic() - self._last_closed_at >= seconds


@dataclass(frozen=True, kw_only=True)
class Context(ThreadPools):
    """The dependencies of the routes."""

    draining: DrainSignal
    on_shutdown: Callable[[], None]
    started_at: str
    home: str
    readiness: Readiness
    pace: ServerTimeouts = ServerTimeouts()
    addresses: Addresses = field(default_factory=Addresses)
    """listening addresses other than `core.url`"""
    callers: KnownCallers = field(default_factory=KnownCallers)
    failures: FailedSignIns = field(default_factory=FailedSignIns)
    sign_ins: SignIns = field(default_factory=SignIns)
    logins: Logins = field(default_factory=Logins)
    proxies: Sequence[Network] = ()
    """addresses of proxies whose `X-Forwarded-For` is trusted"""
    terminals: Terminals = field(default_factory=Terminals)
    unfinished: UnfinishedUploads = field(default_factory=UnfinishedUploads)
    journals: Journals = field(default_factory=Journals)
    """journals of the most recently used views"""
    views: SharedReads[JournalRead] = field(default_factory=SharedReads)
    log_chunks: SharedReads[LogEvents] = field(default_factory=lambda: SharedReads(max_keys=20))
    """documents of views, and log chunks, as `live_stream` reads them, one key per part of a log"""
    plots: SharedReads[bytes] = field(
        default_factory=lambda: SharedReads(max_keys=20, max_size=MAX_PLOT_BYTES, size=len)
    )
    """larger documents, which every page that shows them requests whenever a trial has finished"""
    open_pages: OpenPages = field(default_factory=OpenPages)

    async def identify(self, token: str, address: str) -> Caller | None:
        """Return the caller if the cluster accepts the token; None otherwise.

        Reviews have threads of their own, and one at a time per address. Raises Throttled instead of waiting if the
        address has sent too many unknown tokens. Tokens accepted earlier, which are reviewed again each minute, have
        turns of their own: all users of a cluster may have the same address, that of a forwarded port.
        """
        if not self.core.identities:
            return None
        is_accepted = self.callers.was_known(token)
        turn = token if is_accepted else throttle_key(address)
        had_to_wait = not is_accepted and self.identity_turns.in_use(turn)
        self._refuse_throttled(address, had_to_wait)
        async with self.identity_turns.of(turn):
            self._refuse_throttled(address, had_to_wait)  # those before it may have failed
            review = partial(authenticate.identify, self.core, token)
            return await to_thread.run_sync(review, limiter=self.identity_threads)

    async def signing_in(self, address: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the identity provider for a caller who is not authenticated yet, one call per address at a time.

        Raises Throttled instead of waiting if the address has failed to sign in too often.
        """
        turn = throttle_key(address)
        had_to_wait = self.identity_turns.in_use(turn)
        self._refuse_throttled(address, had_to_wait)
        async with self.identity_turns.of(turn):
            self._refuse_throttled(address, had_to_wait)  # those before it may have failed
            return await to_thread.run_sync(partial(function, *args, **kwargs), limiter=self.sign_in_threads)

    async def check_sign_in(self, sign_in: str) -> None:
        """Ask the identity provider whether a sign-in still holds (`single_sign_on.check_again`)."""
        check = partial(single_sign_on.check_again, self.core, sign_in)
        await to_thread.run_sync(check, limiter=self.check_threads)

    async def revoke(self, ended: Credential | None) -> None:
        """Revoke the refresh token of a sign-in that has ended, if there is one (`single_sign_on.revoke`)."""
        if ended is not None and ended.renewal:
            revoke = partial(single_sign_on.revoke, self.core, ended.renewal)
            await to_thread.run_sync(revoke, limiter=self.check_threads)

    def _refuse_throttled(self, address: str, had_to_wait: bool) -> None:
        if had_to_wait and (refusal := self.failures.throttled(address)):
            raise refusal
