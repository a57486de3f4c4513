"""Detects stuck experiments for the notification hooks that ask for it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from orchestune.controllers.isolated_jobs import each
from orchestune.domain.specification.experiment import TEST_LABEL
from orchestune.services.core import Core
from orchestune.services.execution.locked_experiment import locked
from orchestune.store import experiment_lists, notifications
from orchestune.store.experiments import ExperimentRow
from orchestune.store.notifications import SERVER

EVERY_SECONDS = 2.0
SIGNS = ("experiment_created", "experiment_state", "experiment_changed", "attempt_leased", "attempt_started",
         "trial_finished", "metric_reported")  # fmt: skip
"""events that count as progress; workers starting and ending do not"""


@dataclass
class _LastProgress:
    """The last progress event of an experiment, when it was first seen, and the limits (s) already notified."""

    sign: int
    since: float
    notified: set[float] = field(default_factory=set)


class StuckNotifications:
    """Notifies the hooks of experiments that make no progress for the time that each hook states.

    Time is measured on this process's own clock, so that neither a suspended laptop nor an outage of the server counts
    as inactivity of the experiment. After a restart the full time applies again.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._next = 0.0
        self._progress: dict[str, _LastProgress] = {}

    def tick(self) -> None:
        """Check the unfinished experiments if the interval has passed."""
        now = self._core.clock.monotonic()
        if now < self._next:
            return
        self._next = now + EVERY_SECONDS
        with self._core.store.reading() as session:
            rows = experiment_lists.unfinished(session)
        limited: set[str] = set()
        each(partial(self._experiment, row, now, limited) for row in rows)
        self._progress = {name: progress for name, progress in self._progress.items() if name in limited}

    def _experiment(self, row: ExperimentRow, now: float, limited: set[str]) -> None:
        """Check one experiment, and add it to `limited` if a hook has a limit for it."""
        if limits := self._limits(row):
            limited.add(row.id)
            self._look(row, limits, now)

    def _limits(self, row: ExperimentRow) -> Mapping[float, Sequence[str]]:
        """Return the hooks to notify by limit in seconds; empty while no progress is expected."""
        if not row.can_start_trials:
            return {}
        hooks: dict[float, list[str]] = {}
        for index, hook in enumerate(row.specification.notify):
            if hook.stuck is not None:
                hooks.setdefault(hook.stuck, []).append(str(index))
        server = self._core.outgoing.hook
        if server is not None and server.stuck is not None and TEST_LABEL not in json.loads(row.labels_json):
            hooks.setdefault(server.stuck, []).append(SERVER)
        return hooks

    def _look(self, row: ExperimentRow, limits: Mapping[float, Sequence[str]], now: float) -> None:
        with self._core.store.reading() as session:
            sign = notifications.last_event(session, row.id, SIGNS)
            progress = self._progress.get(row.id)
            if progress is None or progress.sign != sign:
                stuck_events = notifications.events_since(session, row.id, "experiment_stuck", sign)
                notified = {float(json.loads(data)["seconds"]) for data in stuck_events}
                self._progress[row.id] = _LastProgress(sign, now, notified)
                return
        for seconds, hooks in limits.items():
            if now - progress.since >= seconds and seconds not in progress.notified:
                self._notify(row, progress, seconds, hooks)

    def _notify(self, row: ExperimentRow, progress: _LastProgress, seconds: float, hooks: Sequence[str]) -> None:
        with locked(self._core, row.id) as ledger:
            if notifications.last_event(ledger.session, row.id, SIGNS) == progress.sign:
                ledger.note_stuck(seconds, hooks)
        progress.notified.add(seconds)
