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


def summary(session: Session, experiment: str) -> tuple[str, int] | None:
    """Where they came from, in words, and how many there are."""
    columns = select(warm_starts.c.source, warm_starts.c["count"])
    found = session.first(columns.where(warm_starts.c.experiment == experiment))
    return (str(found.source), int(found[-1])) if found else None
