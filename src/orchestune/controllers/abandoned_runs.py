"""Ends and removes ephemeral runs (tests) whose command line has died without removing them."""

from __future__ import annotations

import json
import logging
from functools import partial

from orchestune.controllers.isolated_jobs import each
from orchestune.domain.access.audit import AuditEvent, AuditKind
from orchestune.domain.specification.experiment import TEST_LABEL
from orchestune.services import audit
from orchestune.services.commands.change_experiment import delete
from orchestune.services.core import Core
from orchestune.store import experiment_lists

log = logging.getLogger(__name__)

EVERY_SECONDS = 5.0
PATIENCE_SECONDS = 60.0
"""timeout of the command line's heartbeat; several times its interval"""


class AbandonedRuns:
    """A test's experiment has a label that its command line updates periodically, like a worker's heartbeat.

    The timeout is measured on this process's own clock, as in `LostWorkers`: after a restart of the server all clients
    have the full timeout, and the time during which the event loop is blocked does not count.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._next = 0.0
        self._heard: dict[str, tuple[str, float]] = {}
        """experiment → its label's value, and when that value was first seen"""

    def tick(self) -> None:
        """Remove tests without a heartbeat, if the interval has passed."""
        now = self._core.listening.seconds(self._core.clock.monotonic())
        if now < self._next:
            return
        self._next = now + EVERY_SECONDS
        with self._core.store.reading() as session:
            rows = experiment_lists.labelled(session, TEST_LABEL)
        labels = {row.id: json.loads(row.labels) for row in rows}
        beats = {name: str(labels[name][TEST_LABEL]) for name in labels if TEST_LABEL in labels[name]}
        abandoned = []
        for row in rows:
            if row.id not in beats:
                continue  # the search also matches a label's value
            last = self._heard.get(row.id)
            if last is None or last[0] != beats[row.id]:
                self._heard[row.id] = (beats[row.id], now)
            elif now - last[1] >= PATIENCE_SECONDS:
                abandoned.append(row)
        self._heard = {name: last for name, last in self._heard.items() if name in beats}
        each(partial(self._remove, row.id, row.handle, row.owner) for row in abandoned)

    def _remove(self, experiment: str, handle: str, owner: str) -> None:
        log.info("removing the ephemeral run %s: its command line sends no heartbeat", handle)
        delete(self._core, experiment, True, "server")
        self._note(handle, owner)

    def _note(self, handle: str, owner: str) -> None:
        """Record the removal in the audit log: an editor can make any new experiment a test by setting the label."""
        details = {"purge": "true", "owner": owner, "reason": "test without its command line"}
        event = AuditEvent(
            AuditKind.EXPERIMENT_DELETED, self._core.clock.now(), "server", subject=handle, details=details
        )
        audit.log(event)
        audit.record(self._core, [event])
