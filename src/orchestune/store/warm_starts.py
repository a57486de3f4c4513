"""Results of earlier runs with which searches were started (warm starts)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from msgspec import Struct
from sqlalchemy import insert, select

from orchestune.store.session import Session
from orchestune.store.tables import warm_starts


class WarmStartRow(Struct, frozen=True, gc=False):
    """The source of a search's warm-start results, in words, and their number."""

    experiment: str
    source: str
    count: int


def add(session: Session, experiment: str, source: str, results: Sequence[Mapping[str, object]]) -> None:
    """Store the warm-start results of a new experiment."""
    row = {"source": source, "count": len(results), "results": json.dumps(list(results))}
    session.change(insert(warm_starts).values(experiment=experiment, **row))


def results(session: Session, experiment: str) -> list[Mapping[str, object]]:
    """Return the warm-start results of an experiment; empty if it has none."""
    results = session.first(select(warm_starts.c.results).where(warm_starts.c.experiment == experiment), str)
    return list(json.loads(results)) if results else []


def summaries(session: Session, experiments: Sequence[str]) -> dict[str, WarmStartRow]:
    """Return the warm starts of these experiments by experiment; those without one are left out."""
    columns = select(warm_starts.c.experiment, warm_starts.c.source, warm_starts.c["count"])
    rows = session.among(columns, warm_starts.c.experiment, experiments, WarmStartRow)
    return {row.experiment: row for row in rows}
