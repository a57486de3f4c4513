"""Readiness probe: the store answers in time and the disk is writable. Available without authentication."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from anyio import CapacityLimiter, to_thread

from orchestune.errors import OrchestuneError, StoreDamaged, StoreUnavailable
from orchestune.services.core import Core
from orchestune.services.queries import read_server

logger = logging.getLogger("orchestune.server")

CHECK_TIMEOUT_SECONDS = 1.5  # a probe is answered within 2 s, even if the store hangs
MIN_FREE_BYTES = 16 * 2**20  # bytes; below that the next transaction or log may fail
_TEST_WRITE_BYTES = 4096  # a test write detects exceeded quotas, which the free space of a file system does not show
_TIMED_OUT = StoreUnavailable("the store or the disk does not respond in time", "retry in a moment")


class NotReady(StoreUnavailable):
    """The server is not ready. The message is public: it has no address, no path and no text from the driver."""


class Readiness:
    """One check at a time, shared by all probes: a hanging store blocks one thread. Used on the event loop only."""

    def __init__(self, core: Core, folders: Sequence[Path] = ()) -> None:
        """`folders`: folders that the server writes to; those that exist are checked."""
        self._core, self._folders = core, folders
        self._thread = CapacityLimiter(1)
        self._check: asyncio.Task[OrchestuneError | None] | None = None
        self._logged = ""

    async def require(self) -> None:
        """Raise NotReady unless the server is ready. Takes at most `CHECK_TIMEOUT_SECONDS`."""
        if self._check is None or self._check.done():
            check = to_thread.run_sync(self._problem, abandon_on_cancel=True, limiter=self._thread)
            self._check = asyncio.ensure_future(check)
        done, _ = await asyncio.wait({self._check}, timeout=CHECK_TIMEOUT_SECONDS)
        problem = self._check.result() if done else _TIMED_OUT
        self._log(problem.message if problem else "")
        if problem is not None:
            raise NotReady(problem.message.partition(":")[0], problem.hint)

    def _log(self, problem: str) -> None:
        """Log each new problem once, with the details that the public message omits."""
        if problem and problem != self._logged:
            logger.warning("not ready: %s", problem)
        elif self._logged and not problem:
            logger.info("ready again")
        self._logged = problem

    def _problem(self) -> OrchestuneError | None:
        """Return the problem, None if there is none. The part of its message after a colon is only for the log."""
        for folder in self._folders:
            problem = disk_problem(folder) if folder.is_dir() else ""
            if problem:
                return StoreUnavailable(problem, "free space on the server's disk; no data was lost")
        try:
            read_server.health(self._core)
        except (StoreUnavailable, StoreDamaged) as exc:
            return exc
        return None


def disk_problem(folder: Path, min_free_bytes: int = MIN_FREE_BYTES) -> str:
    """Return the reason why `folder` is not writable; empty if it is."""
    try:
        system = os.statvfs(folder)
        free = system.f_bavail * system.f_frsize
        if system.f_blocks and free < min_free_bytes:  # some network file systems do not report their size
            return f"the disk is full: {folder} has {free:,} bytes left"
        _test_write(folder / f".ready-{os.getpid()}")
    except OSError as exc:
        return f"cannot write to the disk: {folder}: {exc.strerror or exc}"
    return ""


def _test_write(path: Path) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, bytes(_TEST_WRITE_BYTES))
    finally:
        os.close(handle)
        with contextlib.suppress(OSError):
            path.unlink()
