"""The thread pools in which routes make blocking calls, and the turns that callers take for their threads.

*Hot* calls are short and frequent: those of workers, once per trial or heartbeat. *Cold* ones are all others of users,
which may take long, so each caller gets only a share of their threads. Logs, files, exports, analyses, code, streams,
reports, sign-ins and identity reviews have pools of their own, so that no kind of request can starve another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread

from orchestune.errors import StoreUnavailable
from orchestune.server.caller_limits import CallerLimits, CallerTurns
from orchestune.server.keyed_semaphores import KeyedSemaphores
from orchestune.services.core import Core

P = ParamSpec("P")
R = TypeVar("R")

# the sum is slightly above the size of the store's connection pool
WORK_THREADS = 10
STREAM_THREADS = 4
STREAM_THREADS_PER_CALLER = 2
COLD_THREADS = 8
COLD_THREADS_PER_CALLER = 4
IDENTITY_THREADS = 2
SIGN_IN_THREADS = 4
CHECK_THREADS = 4
REPORT_THREADS = 2
MAX_REPORTS_READ_PER_ATTEMPT = 8
MAX_BODIES_PER_CALLER = 16  # bundles and archives: 2 MiB of each may be in memory, and gigabytes on the temporary disk
FILE_THREADS = 6
WORKER_FILE_THREADS = 6
EXPORT_THREADS = 3  # more than the limit of one caller (`access.MAX_EXPORTS_PER_CALLER`)
LOG_THREADS = 4
LOG_THREADS_PER_CALLER = 2
MAX_LARGE_DOCUMENTS = 6  # parsed at once, each of up to 200 MiB; one of each caller
CODE_THREADS = 2
CODE_THREADS_PER_CALLER = 1
ANALYSIS_THREADS = 2
ANALYSIS_THREADS_PER_CALLER = 1
HOT_LOCK_TIMEOUT_SECONDS = 0.05
"""for so long the event loop itself waits for another writer"""


@dataclass(frozen=True, kw_only=True)
class ThreadPools:
    """Limiters of threads, and the turns for them."""

    core: Core
    worker_turns: KeyedSemaphores = field(default_factory=KeyedSemaphores)
    """one call per worker is applied at a time, since all workers share the threads and the store's lock"""
    worker_file_turns: KeyedSemaphores = field(default_factory=KeyedSemaphores)
    """likewise for file transfers of a worker, which may be slow and must not delay its heartbeats"""
    cold_turns: CallerTurns = field(default_factory=lambda: CallerTurns(COLD_THREADS_PER_CALLER))
    """limit per caller, so that the expensive reads of one leave threads to the others"""
    identity_turns: KeyedSemaphores = field(default_factory=KeyedSemaphores)
    """one unknown token per address is reviewed at a time: a review is a request to the cluster"""
    log_turns: CallerTurns = field(default_factory=lambda: CallerTurns(LOG_THREADS_PER_CALLER))
    analysis_turns: CallerTurns = field(default_factory=lambda: CallerTurns(ANALYSIS_THREADS_PER_CALLER))
    """likewise for logs and for computations of seconds"""
    stream_turns: CallerTurns = field(default_factory=lambda: CallerTurns(STREAM_THREADS_PER_CALLER))
    """likewise for streams: each of a caller's streams may show something else, which is read again at every change"""
    report_turns: KeyedSemaphores = field(default_factory=KeyedSemaphores)
    """one report per attempt is applied at a time"""
    large_documents: CallerTurns = field(default_factory=lambda: CallerTurns(1))
    large_document_places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_LARGE_DOCUMENTS))
    code_turns: CallerTurns = field(default_factory=lambda: CallerTurns(CODE_THREADS_PER_CALLER))
    """turns to inspect bundles, which takes seconds for each: apart from analyses, as these create experiments"""
    body_turns: CallerTurns = field(default_factory=lambda: CallerTurns(MAX_BODIES_PER_CALLER))
    """turns to receive bundles and archives"""
    report_body_turns: KeyedSemaphores = field(default_factory=lambda: KeyedSemaphores(MAX_REPORTS_READ_PER_ATTEMPT))
    """limit of reports received at once per attempt: only a signature restricts who sends them"""
    reports: CallerLimits = field(default_factory=CallerLimits)
    """requests in progress by attempt, including those that are queued"""
    work_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(WORK_THREADS))
    file_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(FILE_THREADS))
    """for uploads and downloads of users: a hanging file store blocks no other requests"""
    worker_file_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(WORKER_FILE_THREADS))
    identity_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(IDENTITY_THREADS))
    sign_in_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(SIGN_IN_THREADS))
    check_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(CHECK_THREADS))
    """for calls of the identity provider: new sign-ins, and checks of those that have begun"""
    report_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(REPORT_THREADS))
    export_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(EXPORT_THREADS))
    log_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(LOG_THREADS))
    """for logs: their older part is in the file store, which may hang, but their recent part is not"""
    analysis_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(ANALYSIS_THREADS))
    code_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(CODE_THREADS))
    stream_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(STREAM_THREADS))

    async def hot(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a short service, on the event loop if the store is in this process: a thread would cost more.

        If another writer holds the store's lock for longer than `HOT_LOCK_TIMEOUT_SECONDS`, wait in a thread instead of
        blocking the event loop.
        """
        if self.core.store.in_process:
            with suppress(StoreUnavailable), self.core.store.impatient(HOT_LOCK_TIMEOUT_SECONDS):
                return function(*args, **kwargs)
        return await self.working(function, *args, **kwargs)

    async def working(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Process a large report of a worker in a thread, so that the heartbeats of other workers are not delayed."""
        return await to_thread.run_sync(partial(function, *args, **kwargs), limiter=self.work_threads)

    async def cold(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a slow function in a thread of the pool for plain routes."""
        async with self.cold_turn():
            return await to_thread.run_sync(partial(function, *args, **kwargs))

    def cold_turn(self) -> AbstractAsyncContextManager[None]:
        """Wait until the caller uses fewer than its share of the threads for plain routes."""
        return self.cold_turns.turn()

    async def reporting(self, attempt: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Apply a report of an attempt in a thread, after the earlier reports of this attempt."""
        async with self.report_turns.of(attempt):
            return await to_thread.run_sync(partial(function, *args, **kwargs), limiter=self.report_threads)

    async def filing(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Store or open files of users in a thread."""
        return await to_thread.run_sync(partial(function, *args, **kwargs), limiter=self.file_threads)

    async def exporting(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Export the record of an experiment, which may take minutes, in a thread."""
        return await to_thread.run_sync(partial(function, *args, **kwargs), limiter=self.export_threads)

    async def filing_of(self, worker: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Store or open files of a worker in a thread, one such call per worker at a time."""
        async with self.worker_file_turns.of(worker):
            return await to_thread.run_sync(partial(function, *args, **kwargs), limiter=self.worker_file_threads)

    async def reading_logs(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Read logs in a thread."""
        async with self.log_turn():
            return await self.reading_logs_in_turn(function, *args, **kwargs)

    def log_turn(self) -> AbstractAsyncContextManager[None]:
        """Wait until the caller uses fewer than its share of the threads for logs."""
        return self.log_turns.turn()

    async def reading_logs_in_turn(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Read logs in a thread. The caller has its `log_turn` already."""
        return await to_thread.run_sync(partial(function, *args, **kwargs), limiter=self.log_threads)

    async def analysing(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a computation of seconds in a thread of its own pool: such requests delay each other, but no others."""
        async with self.analysis_turns.turn():
            return await to_thread.run_sync(partial(function, *args, **kwargs), limiter=self.analysis_threads)

    async def reading_code(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Inspect bundles in a thread of their own pool."""
        async with self.code_turns.turn():
            return await to_thread.run_sync(partial(function, *args, **kwargs), limiter=self.code_threads)

    async def streaming(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Read for a stream in a thread."""
        async with self.stream_turn():
            return await self.streaming_in_turn(function, *args, **kwargs)

    def stream_turn(self) -> AbstractAsyncContextManager[None]:
        """Wait until the caller uses fewer than its share of the threads for streams."""
        return self.stream_turns.turn()

    async def streaming_in_turn(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Read for a stream in a thread. The caller has its `stream_turn` already."""
        return await to_thread.run_sync(partial(function, *args, **kwargs), limiter=self.stream_threads)
