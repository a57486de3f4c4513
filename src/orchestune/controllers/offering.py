"""Wakes workers that wait, where something may be leased that no event told of."""

from __future__ import annotations

from orchestune.services.core import Core
from orchestune.store import experiments


class Offering:
    """A trial that is to be tried again after a while gets due without an event; and who was woken may have died."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def tick(self) -> None:
        """Wake no more workers than there is work, so that a thousand that wait cost nothing."""
        with self._core.store.reading() as session:
            rows = experiments.unfinished(session)
        for row in rows:
            if row.leasable:
                self._core.signals.offer(f"work:{row.id}", row.leasable)
