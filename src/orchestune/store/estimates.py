"""Stored best trials (or Pareto front) of finished searches with noise, as estimated by the surrogate model."""

from __future__ import annotations

import json
from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import delete, insert, select

from orchestune.store.session import Session
from orchestune.store.tables import estimates


class EstimateRow(Struct, frozen=True, gc=False):
    """A row of `estimates`; `trial`, `value` and `stddev` are NULL together."""

    experiment: str
    history_seq: int
    revision: int
    trial: int | None
    value: float | None
    stddev: float | None
    measured_value: float | None
    measured_stddev: float | None
    front: str | None


def put(
    session: Session,
    experiment: str,
    version: tuple[int, int],
    best: tuple[int, float, float, float | None, float | None] | None,
    front: Sequence[int] | None,
) -> None:
    """Store the estimate for `version` = (history_seq, revision), or the front.

    `best`: the trial, its expected value and standard deviation, and those of the trial with the best measured value.
    """
    names = ("trial", "value", "stddev", "measured_value", "measured_stddev")
    row = {"history_seq": version[0], "revision": version[1], **dict(zip(names, best or (None,) * 5, strict=True))}
    session.change(delete(estimates).where(estimates.c.experiment == experiment))
    listed = None if front is None else json.dumps(list(front))
    session.change(insert(estimates).values(experiment=experiment, front=listed, **row))


def of(session: Session, experiments: Sequence[str]) -> dict[str, EstimateRow]:
    """Return the stored estimates by experiment."""
    rows = session.among(select(estimates), estimates.c.experiment, experiments, EstimateRow)
    return {row.experiment: row for row in rows}
