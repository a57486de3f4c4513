"""The values that attempts report while they run, as rows. All under the ledger's lock."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from orchestune.domain.metrics import Point
from orchestune.services.ledger import Ledger
from orchestune.store import hot
from orchestune.store.session import Session

HTTP_SEQUENCE = 1_000_000_000
"""Sequences of points that come by HTTP start here, out of the way of those that the worker counts."""


def parse(items: Sequence[Sequence[Any]]) -> list[Point]:
    """The `[sequence, name, value, step, stddev]` of the protocol."""
    return [Point(name, float(value), step, stddev, sequence) for sequence, name, value, step, stddev in items]


def append(ledger: Ledger, attempt: str, points: Sequence[Point]) -> None:
    """Keep intermediate values; those whose sequence is there already are the same ones again."""
    rows = [
        {
            "attempt": attempt,
            "name": point.name,
            "sequence": point.sequence,
            "value": point.value,
            "step": point.step,
            "stddev": point.stddev,
            "at": ledger.now,
        }
        for point in points
        if math.isfinite(point.value)
    ]
    ledger.session.many(hot.INSERT_POINT, rows)
    ledger.session.run(hot.GROW_POINTS, {"id": attempt, "count": len(points)})


def record(ledger: Ledger, trial: int, points: Sequence[Point]) -> None:
    """An event for each of the last few."""
    for point in points[-20:]:
        data = {"trial": trial, "name": point.name, "value": point.value, "step": point.step}
        ledger.record("metric_reported", data)


def of_attempt(session: Session, experiment: str, attempt: str) -> list[Point]:
    """In order: what it reported, behind what was reported before the checkpoint that it went on from."""
    found = _in_order(session.rows(hot.SELECT_POINTS, {"attempt": attempt}))
    return inherited(session, experiment, attempt) + found


def curve(session: Session, attempt: str, name: str) -> list[Point]:
    """In order: what this attempt itself reported of one metric."""
    return _in_order(session.rows(hot.SELECT_CURVE, {"attempt": attempt, "name": name}))


def _in_order(rows: Sequence[Sequence[Any]]) -> list[Point]:
    """What the worker and what HTTP brought, each as it was numbered, together by the time at which it came.

    That is the wall's time, which may have jumped back meanwhile: it never puts a value before one of a lower number.
    """
    latest: dict[tuple[str, bool], float] = {}
    found: list[tuple[float, int, Point]] = []
    for *values, at in rows:
        point = Point(*values)
        way = point.name, point.sequence >= HTTP_SEQUENCE
        latest[way] = max(at, latest.get(way, at))
        found.append((latest[way], point.sequence, point))
    return [point for _, _, point in sorted(found, key=lambda item: item[:2])]


def inherited(session: Session, experiment: str, attempt: str) -> list[Point]:
    """What was reported of the model that an attempt goes on with: nothing where it began from the start.

    Points behind the step of the checkpoint are left out: what made them is lost. Without a step all of them count.
    """
    row = session.row(hot.RESUMED_FROM, {"id": attempt, "experiment": experiment})
    origin = json.loads(row[0]) if row and row[0] else None
    if origin is None or session.row(hot.RESUMED_FROM, {"id": origin["attempt"], "experiment": experiment}) is None:
        return []
    points, step = of_attempt(session, experiment, origin["attempt"]), origin["step"]
    return [point for point in points if step is None or point.step is None or point.step <= step]
