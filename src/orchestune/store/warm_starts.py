"""What searches began with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import insert, select

from orchestune.store.session import Session
from orchestune.store.tables import warm_starts


def add(session: Session, experiment: str, source: str, results: Sequence[Mapping[str, Any]]) -> None:
    """Keep the results that the search of a new experiment begins with."""
    row = {"source": source, "count": len(results), "results": json.dumps(list(results))}
    session.change(insert(warm_starts).values(experiment=experiment, **row))


def results(session: Session, experiment: str) -> list[dict[str, Any]]:
    """Them again; none where it began with nothing."""
    found = session.first(select(warm_starts.c.results).where(warm_starts.c.experiment == experiment))
    return list(json.loads(found.results)) if found else []


def summaries(session: Session, experiments: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Where they came from, in words, and how many there are, of those of these experiments that began with some."""
    columns = select(warm_starts.c.experiment, warm_starts.c.source, warm_starts.c["count"])
    found = session.among(columns, warm_starts.c.experiment, experiments)
    return {experiment: (source, count) for experiment, source, count in map(tuple, found)}
