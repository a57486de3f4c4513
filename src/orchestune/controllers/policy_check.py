"""Pauses experiments that their cluster's policy no longer allows."""

from __future__ import annotations

from orchestune.errors import TemporaryError
from orchestune.services.core import Core
from orchestune.services.execution import policy_recheck
from orchestune.store import experiments


class PolicyCheck:
    """Checks each unfinished experiment once per server start: a changed allow-list requires a restart."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._checked: set[str] = set()

    def tick(self) -> None:
        """Check the experiments not checked yet; retry at the next tick after a TemporaryError."""
        with self._core.store.reading() as session:
            rows = experiments.unfinished(session)
        for row in rows:
            if row.id not in self._checked:
                try:
                    policy_recheck.withdraw(self._core, row)
                except TemporaryError:
                    continue
                self._checked.add(row.id)
        self._checked.intersection_update(row.id for row in rows)
