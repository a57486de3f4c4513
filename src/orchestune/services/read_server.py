"""How the server itself is."""

from __future__ import annotations

from sqlalchemy import func, select

from orchestune.services.core import Core
from orchestune.store import experiments, records, workers
from orchestune.store.tables import experiments as table

_CHECK_SECONDS = 5.0
"""how long somebody may wait for the answer that the store is locked"""
Sample = tuple[str, dict[str, str], float]


def health(core: Core) -> None:
    """Raises StoreUnavailable where the store cannot be read."""
    with core.store.reading() as session:
        experiments.count_by_state(session)


def check(core: Core) -> None:
    """Write something of no meaning. StoreUnavailable where nothing can be written: full, read-only, locked."""
    with core.store.impatient(_CHECK_SECONDS), core.store.transaction() as session:
        records.remember(session, "orchestune-check", "", 204, "", 0.0)


def metrics(core: Core) -> list[Sample]:
    """Name, labels and value of each sample; cheap however many trials there are."""
    with core.store.reading() as session:
        samples: list[Sample] = [
            ("orchestune_experiments", {"state": state}, count)
            for state, count in experiments.count_by_state(session).items()
        ]
        samples += [
            ("orchestune_workers", {"state": state}, count) for state, count in workers.count_by_state(session).items()
        ]
        counted = ("queued", "running", "completed", "failed", "pruned", "cancelled")
        sums = session.select(select(*(func.sum(table.c[name]) for name in counted), func.sum(table.c.live)))[0]
    samples += [("orchestune_trials", {"state": name}, float(sums[i] or 0)) for i, name in enumerate(counted)]
    samples.append(("orchestune_live_attempts", {}, float(sums[len(counted)] or 0)))
    return samples
