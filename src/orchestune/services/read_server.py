"""How the server itself is."""

from __future__ import annotations

from sqlalchemy import func, select

from orchestune.services.core import Core
from orchestune.store import experiments, workers
from orchestune.store.tables import experiments as table

Sample = tuple[str, dict[str, str], float]


def health(core: Core) -> None:
    """Raises StoreUnavailable where the store cannot be read."""
    with core.store.reading() as session:
        experiments.count_by_state(session)


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
