"""Records running experiments in MLflow by following their events; nothing else blocks on it."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from orchestune.controllers.isolated_jobs import each
from orchestune.domain.specification.notify import public_part
from orchestune.domain.specification.tracker import Tracker
from orchestune.errors import NotFound, OrchestuneError, TemporaryError
from orchestune.outgoing.mlflow import MlflowClient
from orchestune.services.core import Core
from orchestune.services.execution.locked_experiment import locked
from orchestune.services.outgoing import tracker_of
from orchestune.services.queries import tracking_runs
from orchestune.services.queries.tracking_runs import EXPERIMENT_TAG, PARENT_TAG, TRIAL_TAG, TrackedRun
from orchestune.store import experiments, logs
from orchestune.store import tracking_runs as tracked
from orchestune.store.experiments import ExperimentRow
from orchestune.store.tracking_runs import WHOLE, TrackedRow
from orchestune.system.isolation import failure_of

log = logging.getLogger(__name__)

_MAX_EVENTS = 500
"""events of one experiment per step, so that all experiments get their turn"""
_RUN_EVENTS = ("attempt_leased", "metric_reported", "trial_finished", "trial_requeued")
"""events after which the MLflow run of their trial must be updated"""
_MIN_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS = 2.0, 300.0
"""bounds of the exponential backoff after a tracking server failed, in seconds"""
_MAX_SERVERS = 20
"""tracking servers written to concurrently, and idle ones whose connections are kept"""
_TICK_TIMEOUT_SECONDS = 1.0
"""seconds that a tick waits for their threads"""


@dataclass
class _Backoff:
    """The backoff of a tracking server that fails for an experiment."""

    pause: float
    until: float


class MlflowTracking:
    """Records the progress of experiments at their tracking servers.

    Progress is stored in rows: the last event recorded, and the MLflow run of each trial. A row is created before its
    run, so that after a crash the run is looked up before another one is created.

    Each tracking server has its own thread, so that one that hangs does not delay the others.
    """

    def __init__(self, core: Core, timeout: float = _TICK_TIMEOUT_SECONDS) -> None:
        self._core, self._timeout = core, timeout
        self._servers: dict[str, _Server] = {}
        """address → server"""
        self._addresses: dict[str, str] = {}
        """experiment with new events → address"""

    def tick(self) -> None:
        """Record the next events of each experiment that has new ones; slow servers continue in the background.

        Raises the error of any of them.
        """
        with self._core.store.reading() as session:
            behind = tracked.behind(session)
        self._addresses = {name: self._addresses.get(name) or self._address(name) for name in behind}
        servers = {
            address: self._servers.setdefault(address, _Server(self._core)) for address in self._addresses.values()
        }
        # Very many servers that hang would otherwise use up all turns of those that come after them.
        for address, server in sorted(servers.items(), key=lambda item: item[1].begun_at):
            if sum(other.busy for other in self._servers.values()) < _MAX_SERVERS:
                server.begin([name for name in behind if self._addresses[name] == address])
        self._forget()
        until = time.monotonic() + self._timeout
        each(partial(server.wait, until) for server in self._servers.values())

    def close(self) -> None:
        """Close the connections."""
        for server in self._servers.values():
            server.close()

    def _address(self, experiment: str) -> str:
        """Return the tracker's address; empty if the experiment has no tracker or no longer exists."""
        with self._core.store.reading() as session:
            try:
                row = experiments.get(session, experiment)
            except NotFound:
                return ""
        tracker = tracker_of(self._core, row.specification, experiment)
        return tracker.uri if tracker is not None else ""

    def _forget(self) -> None:
        """Close the connections to idle servers beyond the limit."""
        addresses = set(self._addresses.values())
        idle = [address for address, server in self._servers.items() if address not in addresses and not server.busy]
        for address in idle[: max(len(self._servers) - _MAX_SERVERS, 0)]:
            self._servers.pop(address).close()


class _Server:
    """A tracking server, and the thread that writes to it while there are events to record."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._clients: dict[Tracker, MlflowClient] = {}
        self._mlflow_experiments: dict[tuple[Tracker, str], str] = {}
        """(tracker, experiment name) → id of the MLflow experiment"""
        self._backoffs: dict[str, _Backoff] = {}
        self._thread: threading.Thread | None = None
        self.begun_at = float("-inf")
        """when its thread was started last"""
        self._error: Exception | None = None
        """raised by `wait` in the loop"""
        self._closed = False

    @property
    def busy(self) -> bool:
        """True while its thread runs, which alone may access the other attributes then."""
        return self._thread is not None and self._thread.is_alive()

    def begin(self, names: Sequence[str]) -> None:
        """Start a thread for those of the experiments that are not backing off, unless one is running."""
        if self.busy:
            return
        self._backoffs = {name: trouble for name, trouble in self._backoffs.items() if name in names}
        now = self._core.clock.monotonic()
        due = [name for name in names if name not in self._backoffs or now >= self._backoffs[name].until]
        if due:
            self.begun_at = now
            self._thread = threading.Thread(target=self._run, args=(due,), name="record", daemon=True)
            self._thread.start()

    def wait(self, until: float) -> None:
        """Wait for the thread until the deadline `until` (monotonic); raise its error, if any."""
        if self._thread is not None:
            self._thread.join(max(until - time.monotonic(), 0.0))
        if self._error is not None and not self.busy:
            error, self._error = self._error, None
            raise error

    def close(self) -> None:
        """Close the connections."""
        self._closed = True
        while self._clients:
            self._clients.popitem()[1].close()

    def _run(self, due: Sequence[str]) -> None:
        self._error = failure_of(lambda: each(partial(self._experiment, experiment) for experiment in due))

    def _experiment(self, experiment: str) -> None:
        if self._closed:
            return
        with self._core.store.reading() as session:
            try:
                row = experiments.get(session, experiment)
            except NotFound:
                return
        tracker = tracker_of(self._core, row.specification, experiment)
        if tracker is None:  # imported without the tracker's address: nothing to record
            with self._core.store.transaction() as session:
                tracked.change(session, experiment, WHOLE, event_seq=row.event_seq)
            return
        try:
            _Recording(self._core, row, self._client_of(tracker), self._mlflow_experiment(tracker, row)).run()
        except TemporaryError as error:
            self._failed(experiment, tracker, error)
        except OrchestuneError as error:
            self._failed(experiment, tracker, error, _MAX_BACKOFF_SECONDS)
        else:
            self._backoffs.pop(experiment, None)

    def _client_of(self, tracker: Tracker) -> MlflowClient:
        if tracker not in self._clients:
            while len(self._clients) >= 20:
                self._clients.pop(next(iter(self._clients))).close()
            self._clients[tracker] = MlflowClient(tracker, self._core.outgoing.reach)
        return self._clients[tracker]

    def _mlflow_experiment(self, tracker: Tracker, row: ExperimentRow) -> str:
        name = tracker.experiment or row.name
        if (tracker, name) not in self._mlflow_experiments:
            self._mlflow_experiments[tracker, name] = self._client_of(tracker).experiment(name)
        return self._mlflow_experiments[tracker, name]

    def _failed(
        self, experiment: str, tracker: Tracker, error: OrchestuneError, shortest: float = _MIN_BACKOFF_SECONDS
    ) -> None:
        """Back off; record the failure in the events once, when it begins."""
        backoff = self._backoffs.get(experiment)
        pause = min(backoff.pause * 2, _MAX_BACKOFF_SECONDS) if backoff else shortest
        self._backoffs[experiment] = _Backoff(pause, self._core.clock.monotonic() + pause)
        self._mlflow_experiments = {
            place: mlflow_experiment
            for place, mlflow_experiment in self._mlflow_experiments.items()
            if place[0] != tracker
        }
        if backoff is None:
            log.warning("%s cannot be recorded in %s: %s", experiment, public_part(tracker.uri), error)
            with locked(self._core, experiment) as ledger:
                ledger.record("tracking_failed", {"to": public_part(tracker.uri), "why": error.message})


class _Recording:
    """A step of recording one experiment."""

    def __init__(self, core: Core, row: ExperimentRow, client: MlflowClient, place: str) -> None:
        self._core, self._row, self._client, self._place = core, row, client, place

    def run(self) -> None:
        """Record the trials of the next events."""
        row = self._row
        with self._core.store.reading() as session:
            cursor = tracked.of(session, row.id, [WHOLE])[WHOLE]
            events = logs.events_after(session, row.id, cursor.event_seq, _MAX_EVENTS)
        if not events:
            return
        numbers = sorted({int(json.loads(event.data)["trial"]) for event in events if event.kind in _RUN_EVENTS})
        parent = self._parent(cursor)
        rows = self._rows(numbers)
        since = {number: rows[number].logged_at for number in numbers}
        while since:
            with self._core.store.reading() as session:
                runs = tracking_runs.of_trials(session, row, since)
            for run in runs:
                self._update(run, rows[run.trial].run_id or None, {PARENT_TAG: parent})
            rows = self._rows(numbers)
            since = {run.trial: run.reported_at for run in runs if run.more}
        with self._core.store.reading() as session:
            self._row = experiments.get(session, row.id)
        self._update(tracking_runs.of_experiment(self._row), parent, {})
        with self._core.store.transaction() as session:
            tracked.change(session, row.id, WHOLE, event_seq=events[-1].seq)

    def _parent(self, cursor: TrackedRow) -> str:
        if cursor.run_id:
            return cursor.run_id
        run = self._create(tracking_runs.of_experiment(self._row), {})
        with self._core.store.transaction() as session:
            tracked.change(session, self._row.id, WHOLE, run_id=run)
        return run

    def _rows(self, numbers: Iterable[int]) -> Mapping[int, TrackedRow]:
        """Return the rows of these trials; create the missing ones."""
        trials = list(numbers)
        with self._core.store.transaction() as session:
            rows = tracked.of(session, self._row.id, trials)
            self._fresh = {number for number in trials if number not in rows}
            tracked.begin(session, self._row.id, sorted(self._fresh))
            return tracked.of(session, self._row.id, trials)

    def _create(self, run: TrackedRun, more: Mapping[str, str], fresh: bool = False) -> str:
        """Return the id of the MLflow run, existing or new; one whose row is `fresh` cannot exist yet."""
        by = {EXPERIMENT_TAG: self._row.id, TRIAL_TAG: str(run.trial)}
        existing = None if fresh else self._client.find(self._place, by)
        return existing or self._client.create(self._place, run.name, run.at, {**run.tags, **more})

    def _update(self, run: TrackedRun, run_id: str | None, more: Mapping[str, str]) -> None:
        identity = run_id or self._create(run, more, run.trial in self._fresh)
        self._client.log(identity, run.measures, {} if run_id and run.trial else run.params, run.tags)
        self._client.update(identity, run.status, run.ended_at)
        if run.trial != WHOLE:
            with self._core.store.transaction() as session:
                tracked.change(session, self._row.id, run.trial, run_id=identity, logged_at=run.reported_at)
