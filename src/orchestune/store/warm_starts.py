"""What searches began with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from msgspec import Struct
from sqlalchemy import insert, select

from orchestune.store.session import Session
from orchestune.store.tables import warm_starts


class WarmStart(Struct, frozen=True, gc=False):
    """Where the results with which a search began came from, in words, and how many there are."""

    experiment: str
    source: str
    count: int


def add(session: Session, experiment: str, source: str, results: Sequence[Mapping[str, object]]) -> None:
    """Keep the results that the search of a new experiment begins with."""
    row = {"source": source, "count": len(results), "results": json.dumps(list(results))}
    session.change(insert(warm_starts).values(experiment=experiment, **row))


def results(session: Session, experiment: str) -> list[Mapping[str, object]]:
    """Them again; none where it began with nothing."""
    found = session.first(select(warm_starts.c.results).where(warm_starts.c.experiment == experiment), str)
    return list(json.loads(found)) if found else []


def summaries(session: Session, experiments: Sequence[str]) -> dict[str, WarmStart]:
    """By experiment, the warm starts of those of these experiments that began with one."""
    columns = select(warm_starts.c.experiment, warm_starts.c.source, warm_starts.c["count"])
    rows = session.among(columns, warm_starts.c.experiment, experiments, WarmStart)
    return {row.experiment: row for row in rows}
