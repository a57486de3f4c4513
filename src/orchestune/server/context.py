"""What every route has at hand, and how it calls what blocks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread

from orchestune.errors import StoreUnavailable
from orchestune.server.addresses import Addresses
from orchestune.server.caller_address import Network
from orchestune.server.crowd import CALLER, Crowd, SignIns
from orchestune.server.draining import Draining
from orchestune.server.failures import Failures
from orchestune.server.journal import Journal, Lines, Seen
from orchestune.server.readiness import Readiness
from orchestune.server.shared import Shared
from orchestune.server.terminals import Terminals
from orchestune.server.tokens import KnownCallers
from orchestune.server.turns import Turns
from orchestune.server.unfinished import UnfinishedUploads
from orchestune.services.core import Core
from orchestune.services.recent import Latest

P = ParamSpec("P")
R = TypeVar("R")

# together little more than the connections that the store keeps open
WORK_THREADS = 10
STREAM_THREADS = 4
COLD_THREADS = 8
COLD_THREADS_OF_ONE_CALLER = 4
REPORT_THREADS = 2
REPORTS_READ_AT_ONCE = 8
FILE_THREADS = 6
WORKER_FILE_THREADS = 6
EXPORT_THREADS = 3  # more than one caller may have in progress (`access.EXPORTS_AT_ONCE`)
LOG_THREADS = 4
ANALYSIS_THREADS = 2
HOT_PATIENCE = 0.05
"""seconds that the event loop may wait for another writer"""


@dataclass(frozen=True)
class Pace:
    """How often what waits looks again, in seconds."""

    ping: float = 10.0
    """a stream without news sends a comment that often"""
    gather: float = 0.1
    """a stream reads at most that often, so that many small pieces travel together"""
    poll: float = 1.0
    """how long a signal is awaited where another replica may have caused it"""
    look: float = 1.0
    """a page hears of what it shows at most that often"""
    shared: float = 0.5
    """what one page was shown that long ago, another one may be shown too"""
    slow: float = 1.0
    """a request that takes longer is logged"""


@dataclass
class Audience:
    """Pages that are open: a server that somebody looks at is not idle. They look on the event loop alone."""

    watching: int = 0
    seen: float = float("-inf")

    @contextmanager
    def watch(self) -> Iterator[None]:
        """A page looks."""
        self.watching += 1
        try:
            yield
        finally:
            self.watching -= 1
            self.seen = time.monotonic()

    def gone(self, seconds: float) -> bool:
        """Whether no page has looked for that long; one in the background does not look, and comes back."""
        return not self.watching and time.monotonic() - self.seen >= seconds


@dataclass(frozen=True)
class Context:
    """The parts behind the routes. Limiters bound the threads: one kind of request cannot starve another."""

    core: Core
    draining: Draining
    on_shutdown: Callable[[], None]
    started_at: str
    home: str
    readiness: Readiness
    pace: Pace = Pace()
    addresses: Addresses = field(default_factory=Addresses)
    """where it listens, beside the address that `core` names"""
    known: KnownCallers = field(default_factory=KnownCallers)
    failures: Failures = field(default_factory=Failures)
    sign_ins: SignIns = field(default_factory=SignIns)
    proxies: Sequence[Network] = ()
    """addresses of proxies whose `X-Forwarded-For` is believed"""
    terminals: Terminals = field(default_factory=Terminals)
    unfinished: UnfinishedUploads = field(default_factory=UnfinishedUploads)
    journals: Latest[str, Journal] = field(default_factory=lambda: Latest(200))
    """of the views that were looked at last"""
    seen: Shared[Seen] = field(default_factory=Shared)
    lines: Shared[Lines] = field(default_factory=lambda: Shared(kept=20))
    """what pages look at, and what trials printed, as `live` reads it; each part of a log is a reading of its own"""
    plots: Shared[bytes] = field(default_factory=lambda: Shared(kept=20))
    """larger documents, which every page that shows them asks for whenever a trial has finished"""
    audience: Audience = field(default_factory=Audience)
    worker_turns: Turns = field(default_factory=Turns)
    """of each worker one call is applied at a time: the threads and the store's lock are shared with all others"""
    worker_file_turns: Turns = field(default_factory=Turns)
    """the same for its calls about files, which may be slow and must not delay its heartbeats"""
    cold_turns: Turns = field(default_factory=lambda: Turns(COLD_THREADS_OF_ONE_CALLER))
    """of each caller: expensive reads of one leave threads to the others"""
    report_turns: Turns = field(default_factory=Turns)
    """of each attempt one report is applied at a time"""
    report_body_turns: Turns = field(default_factory=lambda: Turns(REPORTS_READ_AT_ONCE))
    """of each attempt so many reports are received at a time: nothing but a signature limits who sends them"""
    reports: Crowd = field(default_factory=Crowd)
    """requests in progress by attempt, those included that wait for their turn"""
    work_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(WORK_THREADS))
    file_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(FILE_THREADS))
    """for people's files on their way in or out: where the place of files hangs, nobody else waits"""
    worker_file_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(WORKER_FILE_THREADS))
    report_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(REPORT_THREADS))
    export_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(EXPORT_THREADS))
    log_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(LOG_THREADS))
    """for what trials printed: the older part of it lies in the place of files, too, and what is new does not"""
    analysis_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(ANALYSIS_THREADS))
    stream_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(STREAM_THREADS))

    async def hot(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a short service: right here where the store is in this process, where a thread costs more than it.

        Where somebody else writes for longer, a thread waits for it: nothing else may stand still meanwhile.
        """
        if self.core.store.inline:
            with suppress(StoreUnavailable), self.core.store.impatient(HOT_PATIENCE):
                return function(*args, **kwargs)
        return await self.working(function, *args, **kwargs)

    async def working(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call what takes a large report of a worker in a thread, so that other workers are heard meanwhile."""
        return await to_thread.run_sync(partial(function, *args, **kwargs), limiter=self.work_threads)

    async def cold(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call what may take its time in a thread, one of those in which plain routes run."""
        async with self.cold_turn():
            return await to_thread.run_sync(partial(function, *args, **kwargs))

    def cold_turn(self) -> AbstractAsyncContextManager[None]:
        """Wait until the caller occupies fewer than its share of the threads for plain routes."""
        return self.cold_turns.of(key) if (key := CALLER.get()) else nullcontext()

    async def reporting(self, attempt: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call what a report of an attempt asks for in a thread, when its other reports have been applied."""
        async with self.report_turns.of(attempt):
            return await to_thread.run_sync(partial(function, *args, **kwargs), limiter=self.report_threads)

    async def filing(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call what stores or opens people's files in a thread."""
        return await to_thread.run_sync(partial(function, *args, **kwargs), limiter=self.file_threads)

    async def exporting(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call what writes the record of an experiment, which may take minutes, in a thread."""
        return await to_thread.run_sync(partial(function, *args, **kwargs), limiter=self.export_threads)

    async def filing_of(self, worker: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call what stores or opens files of a worker in a thread, when its other calls of this kind are over."""
        async with self.worker_file_turns.of(worker):
            return await to_thread.run_sync(partial(function, *args, **kwargs), limiter=self.worker_file_threads)

    async def printed(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call what reads logs in a thread."""
        return await to_thread.run_sync(partial(function, *args, **kwargs), limiter=self.log_threads)

    async def analysing(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call what computes for seconds in a thread: those who ask for that wait for each other, and nobody else."""
        return await to_thread.run_sync(partial(function, *args, **kwargs), limiter=self.analysis_threads)

    async def streaming(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Read for a stream in a thread."""
        return await to_thread.run_sync(partial(function, *args, **kwargs), limiter=self.stream_threads)
