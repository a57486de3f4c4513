"""Queue of leases that are pending because their job is not fetched or the loop has not started them yet."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from orchestune.worker.connection.reporting import Reporting, UnsentReport
from orchestune.worker.files.spool import Spool
from orchestune.worker.job import PreparedJob
from orchestune.worker.journal import say, traceback_of
from orchestune.worker.metrics.points import PointQueue
from orchestune.worker.output import LogBuffer
from orchestune.worker.prepare import Preparation
from orchestune.worker.thread_pool import ThreadPool

_PARSE_ERRORS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError, re.error)
"""errors of the job of another version's server, such as a regular expression that only newer Pythons compile"""


class PendingLeases:
    """The leases that were not started yet, in order of arrival."""

    def __init__(self, preparation: Preparation, crew: ThreadPool, reporting: Reporting, spool: Spool) -> None:
        self._preparation, self._crew, self._reporting, self._spool = preparation, crew, reporting, spool
        self._leases: deque[Mapping[str, Any]] = deque()
        self._fetching: set[int] = set()
        """revisions whose jobs are being fetched"""

    def __len__(self) -> int:
        return len(self._leases)

    def __iter__(self) -> Iterator[str]:
        """Yield the ids of their attempts."""
        return iter([str(lease["attempt"]) for lease in self._leases])

    def add(self, lease: Mapping[str, Any]) -> None:
        """Append a lease."""
        self._leases.append(lease)

    @property
    def startable(self) -> bool:
        """True if `take` would return a lease."""
        return any(int(lease["revision"]) in self._preparation.jobs for lease in self._leases)

    def take(self) -> tuple[Mapping[str, Any], PreparedJob] | None:
        """Remove and return the first lease whose job is known, with the job; fetch the jobs of those before it."""
        for _ in range(len(self._leases)):
            lease = self._leases.popleft()
            job = self._preparation.jobs.get(int(lease["revision"]))
            if job is not None:
                return lease, job
            self._leases.append(lease)
            self._fetch_job(int(lease["revision"]))
        return None

    def end(self, attempt: str, state: str, reason: Mapping[str, Any] | None) -> None:
        """Remove the lease of an attempt, and finish it in `state`; no effect if absent."""
        for lease in [lease for lease in self._leases if lease["attempt"] == attempt]:
            self._leases.remove(lease)
            self.refuse(lease, state, reason)

    def refuse(self, lease: Mapping[str, Any], state: str, reason: Mapping[str, Any] | None) -> None:
        """Report a result for a lease that was not started."""
        attempt_id, token = str(lease["attempt"]), int(lease["token"])
        record = UnsentReport(attempt_id, token, LogBuffer(1 << 20, self._spool.log_file(attempt_id)), PointQueue(()))
        record.log.close()
        self._reporting.add(record)
        result = {
            "attempt": attempt_id, "token": token, "state": state, "exit_code": None, "signal": None, "reason": reason,
            "wall": 0.0, "cpu": 0.0, "memory": 0, "log_bytes": 0, "tail": "",
        }  # fmt: skip
        self._reporting.finish(attempt_id, result)

    def _fetch_job(self, revision: int) -> None:
        if revision in self._fetching:
            return
        self._fetching.add(revision)

        def then(document: Mapping[str, Any] | None, error: BaseException | None) -> None:
            self._fetching.discard(revision)
            if document is None:
                self._refuse_revision(revision, "lost", "bundle_unavailable", f"cannot be fetched: {error}")
                return
            try:
                self._preparation.add_job(document)
            except _PARSE_ERRORS as exc:
                say(f"cannot compile revision {revision}: {traceback_of(exc)}")
                text = f"cannot be compiled by the worker: {type(exc).__name__}: {exc}"
                self._refuse_revision(revision, "failed", "sandbox", text)

        self._crew.run(lambda: self._preparation.fetch_job(revision), then)

    def _refuse_revision(self, revision: int, state: str, code: str, text: str) -> None:
        reason = {"code": code, "message": f"revision {revision} {text}"}
        for lease in [lease for lease in self._leases if int(lease["revision"]) == revision]:
            self._leases.remove(lease)
            self.refuse(lease, state, reason)
