"""Prepares what a command needs before it starts and may take long: job, bundle, view and checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from orchestune.worker import environment
from orchestune.worker.attempt import RunningAttempt
from orchestune.worker.connection.api import (
    MAX_UNREACHABLE_SECONDS,
    Absent,
    ApiError,
    Backoff,
    Denied,
    ServerConnection,
    ServerEndpoint,
    Unreachable,
    WorkerGone,
)
from orchestune.worker.files import bundle, checkpoint
from orchestune.worker.files.bundle import BundleError, UnpackedBundle
from orchestune.worker.files.view import project_links
from orchestune.worker.job import PreparedJob
from orchestune.worker.processes.tree import WORKER_VARIABLE
from orchestune.worker.settings import Settings


class PreparationFailed(Exception):
    """The attempt cannot start although its command is not at fault; `code` is the reason's code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Preparation:
    """Prepares attempts. Methods that may block on the server must be called in threads beside the loop."""

    def __init__(
        self, settings: Settings, server: ServerEndpoint, environ: Mapping[str, str], hello: Mapping[str, Any]
    ) -> None:
        self._server = server
        base = environment.with_home(environment.inherited(environ), str(settings.state / "home"))
        self._base = {**base, WORKER_VARIABLE: settings.worker}
        self._experiment, self._handle = str(hello["experiment"]), str(hello["handle"])
        self._cores = environment.cores_per_slot(settings.slots)
        self._cache = settings.state / "bundles"
        self.is_closing = False
        """the worker is shutting down: do not retry"""
        self.jobs: dict[int, PreparedJob] = {}
        self.bundles: dict[str, UnpackedBundle] = {}
        self.add_job(hello["job"])

    def add_job(self, document: Mapping[str, Any]) -> PreparedJob:
        """Compile a job and cache it by revision."""
        common = environment.of_job(self._base, document, self._experiment, self._handle, self._cores)
        job = PreparedJob(document, common)
        self.jobs[job.revision] = job
        return job

    def fetch_job(self, revision: int) -> Mapping[str, Any]:
        """Fetch the job of a revision, retrying while the server is unreachable. Raises ApiError if there is none."""
        answer: Mapping[str, Any] = self._with_retries(
            lambda connection: connection.call("GET", self._server.path(f"jobs/{revision}")),
            lambda: not self.is_closing,
        )
        return answer

    def at_once(self, attempt: RunningAttempt) -> bool:
        """Prepare everything if that takes microseconds; if False, call `prepare` in a thread. Raises OSError."""
        if attempt.checkpoint is not None or (attempt.zygote is not None and not attempt.zygote.ready):
            return False
        digest = attempt.lease.get("bundle")
        unpacked = self.bundles.get(digest) if digest else None
        if digest and unpacked is None:
            return False
        links = project_links(attempt.job.root, attempt.job.links, unpacked)
        return attempt.slot.view.prepare_quickly(unpacked, links)

    def prepare(self, attempt: RunningAttempt) -> str | None:
        """Prepare everything, blocking as long as needed or until the attempt is stopped. Raises PreparationFailed.

        Returns a note for the trial's log, or None.
        """
        note = None
        digest = attempt.lease.get("bundle")
        try:
            unpacked = self._bundle(digest, attempt) if digest else None
            links = project_links(attempt.job.root, attempt.job.links, unpacked)
            attempt.slot.view.prepare(unpacked, links)
            if attempt.checkpoint is not None:
                note = self._checkpoint(attempt, attempt.checkpoint)
            if attempt.zygote is not None:
                attempt.zygote.wait(lambda: attempt.verdict is None)
            return note
        except BundleError as exc:
            raise PreparationFailed("bundle_unavailable", str(exc)) from exc
        except OSError as exc:
            text = (
                f"cannot create the trial's folder: {exc.strerror or exc} ({exc.filename})"
                if exc.filename
                else str(exc)
            )
            raise PreparationFailed("sandbox", text) from exc
        except ApiError as exc:
            raise PreparationFailed("bundle_unavailable", str(exc)) from exc

    def _bundle(self, digest: str, attempt: RunningAttempt) -> UnpackedBundle:
        if digest not in self.bundles:
            self.bundles[digest] = self._with_retries(
                lambda connection: bundle.fetch(self._cache, digest, connection), lambda: attempt.verdict is None
            )
        return self.bundles[digest]

    def _checkpoint(self, attempt: RunningAttempt, folder: Path) -> str | None:
        folder.mkdir(parents=True, mode=0o700)
        published = attempt.lease.get("checkpoint")
        if not published:
            return None
        try:
            self._with_retries(
                lambda _: checkpoint.restore(self._server, str(published["digest"]), folder),
                lambda: attempt.verdict is None,
            )
            attempt.points.step = published.get("step")  # until it reports one of its own
            return None
        except Absent as exc:
            if attempt.lease["number"] == 1:  # a user asked to continue this trial
                raise
            attempt.lease = {**attempt.lease, "checkpoint": None}
            return f"this trial restarts from the beginning because its checkpoint is lost: {exc}"

    def _with_retries(self, work: Callable[[ServerConnection], Any], is_wanted: Callable[[], bool]) -> Any:
        """Retry while the server is unreachable and `is_wanted` returns True, for at most MAX_UNREACHABLE_SECONDS."""
        connection, backoff = ServerConnection(self._server, 60.0), Backoff()
        deadline = time.monotonic() + MAX_UNREACHABLE_SECONDS
        try:
            while True:
                try:
                    return work(connection)
                except (WorkerGone, Denied):
                    raise
                except Unreachable:
                    if not is_wanted() or time.monotonic() > deadline:
                        raise
                    time.sleep(backoff.next())
        finally:
            connection.close()
