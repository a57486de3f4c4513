"""The values that attempts report while they run, as rows. All under the ledger's lock."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import islice
from typing import Any

from orchestune.domain.metrics import HTTP_SEQUENCE, Metric, Point, storable
from orchestune.services.ledger import Ledger
from orchestune.store import hot
from orchestune.store.session import Session
from orchestune.wire.work import Measurement

MOST_NAMES = 1000
"""Names of metrics that are kept of one attempt, besides those of the experiment. Every view of a trial carries all."""

MOST_POINTS = 1_000_000  # of one attempt, about 100 MB of rows; a value per second for 11 days


def reported(measurements: Sequence[Measurement]) -> list[Point]:
    """Return the values of a report, in its order."""
    return [measurement.point() for measurement in measurements]


def within_names(ledger: Ledger, attempt: str, stored: int, points: Sequence[Point]) -> Sequence[Point]:
    """Return the points whose names the attempt may still report; `stored` is how many points came before.

    Declared metrics always count. A name that came before is found by the primary key, so an attempt with a million
    points of a few names costs a few lookups.
    """
    names = dict.fromkeys(point.name for point in points)
    if stored + len(names) <= MOST_NAMES:
        return points
    declared = {metric.name for metric in ledger.row.specification.metrics}
    others = [name for name in names if name not in declared][:MOST_NAMES]
    known = {name for name in others if _is_reported(ledger.session, attempt, name)}
    if len(known) < len(others):
        room = MOST_NAMES - (ledger.session.row(hot.COUNT_NAMES, {"attempt": attempt, "most": MOST_NAMES}) or 0)
        known |= set([name for name in others if name not in known][: max(0, room)])
    return [point for point in points if point.name in known or point.name in declared]


def within_limit(
    ledger: Ledger, attempt: str, trial: int, stored: int, points: Sequence[Point], *, at_end: bool = False
) -> Sequence[Point]:
    """Return the points that the attempt may still store; `stored` is how many it has.

    From `MOST_POINTS` on, which an event notes once, only the last value of each declared metric is left of a report,
    for it decides the trial; from twice as many on also that comes with the end alone.
    """
    room = MOST_POINTS - stored
    if len(points) < room:
        return points
    if room > 0:
        ledger.record("points_limit_reached", {"trial": trial, "attempt": attempt, "most": MOST_POINTS})
    kept, rest = list(points[: max(0, room)]), points[max(0, room) :]
    if at_end or room > -MOST_POINTS:
        declared = {metric.name for metric in ledger.row.specification.metrics}
        kept += {point.name: point for point in rest if point.name in declared}.values()
    return kept


def _is_reported(session: Session, attempt: str, name: str) -> bool:
    return session.row(hot.REPORTED, {"attempt": attempt, "name": name}) is not None


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


def note_not_finite(ledger: Ledger, attempt: str, known: str | None, points: Sequence[Point]) -> None:
    """Keep of each name what came last, where it is no finite number: it is no row, and decides the trial."""
    before: dict[str, Any] = json.loads(known) if known else {}
    after = before | {point.name: [repr(point.value), point.step] for point in points}
    after = {name: said for name, said in after.items() if not math.isfinite(float(said[0]))}
    after = dict(islice(after.items(), MOST_NAMES))
    if after != before:
        ledger.session.run(hot.NOTE_NOT_FINITE, {"id": attempt, "values": json.dumps(after)})


def by_http(known: str | None, others: Sequence[Point]) -> list[Point]:
    """What `note_not_finite` kept, but of names that came in another way too: which was the last is not known."""
    told = {point.name for point in others if point.sequence < HTTP_SEQUENCE}
    return [point for point in _not_finite(known) if point.name not in told]


def handed_on(session: Session, experiment: str, attempt: str, points: Sequence[Point]) -> list[Point]:
    """What `note_not_finite` kept of the attempt that this one goes on from, of names that it says nothing of itself:
    neither in `points` nor before.
    """
    *before, _ = _lineage(session, experiment, attempt)
    if not before:
        return []
    origin, upto = before[-1]
    row = session.row(hot.NOT_FINITE, {"id": origin})
    own = {reported.name for reported in session.rows(hot.REPORTED_NAMES, {"attempt": attempt})}
    own |= {point.name for point in points}
    return [point for point in _within(_not_finite(row.non_finite if row else None), upto) if point.name not in own]


def _not_finite(known: str | None) -> list[Point]:
    found = json.loads(known) if known else {}
    return [Point(name, float(text), step) for name, (text, step) in found.items()]


def record(ledger: Ledger, trial: int, points: Sequence[Point]) -> None:
    """An event for each of the last few."""
    for point in points[-20:]:
        data = {"trial": trial, "name": point.name, "value": point.value, "step": point.step}
        ledger.record("metric_reported", data)


def that_count(session: Session, experiment: str, attempt: str, metrics: Sequence[Metric]) -> list[Point]:
    """In order: the few of its values, and of those before the checkpoint that it went on from, which `reduce` needs.

    It may have reported millions. Where both its worker and HTTP brought values of a name, which is rare, they are all.
    """
    declared = {metric.name: metric for metric in metrics}
    found: list[Point] = []
    for origin, upto in _lineage(session, experiment, attempt):
        for name in session.rows(hot.REPORTED_NAMES, {"attempt": origin}):
            if name.first < HTTP_SEQUENCE <= name.last:
                found += _within(curve(session, origin, name.name), upto)
                continue
            metric = declared.get(name.name)
            query = hot.LAST_POINTS
            if metric and metric.take == "best":
                query = hot.HIGHEST_POINT if metric.goal == "maximize" else hot.LOWEST_POINT
            count = metric.counted if metric else 1
            parameters = {"attempt": origin, "name": name.name, "upto": upto, "count": count}
            found += reversed(session.rows(query, parameters))
    return found


def furthest(session: Session, attempt: str, until: float, step: float | None) -> float | None:
    """The step that came by HTTP last, up to a time, or `step`, which its worker knows of, where that is higher."""
    last = session.row(hot.LAST_STEP_BEYOND, {"attempt": attempt, "sequence": HTTP_SEQUENCE, "until": until})
    if last is None or (step is not None and step >= last):
        return step
    return storable(int(last)) if last == int(last) else last


def curve(session: Session, attempt: str, name: str) -> list[Point]:
    """In order: what this attempt itself reported of one metric."""
    return _in_order(session.rows(hot.SELECT_CURVE, {"attempt": attempt, "name": name}))


def _in_order(rows: Sequence[hot.PointRow]) -> list[Point]:
    """What the worker and what HTTP brought, each as it was numbered, together by the time at which it came.

    That is the wall's time, which may have jumped back meanwhile: it never puts a value before one of a lower number.
    """
    latest: dict[tuple[str, bool], float] = {}
    found: list[tuple[float, int, Point]] = []
    for row in rows:
        point = Point(row.name, row.value, row.step, row.stddev, row.sequence)
        way = point.name, point.sequence >= HTTP_SEQUENCE
        latest[way] = max(row.at, latest.get(way, row.at))
        found.append((latest[way], point.sequence, point))
    return [point for _, _, point in sorted(found, key=lambda item: item[:2])]


def inherited(session: Session, experiment: str, attempt: str, name: str) -> list[list[Point]]:
    """What was reported of a metric of the model that an attempt goes on with, by each attempt; nothing where it began
    anew.
    """
    *before, _ = _lineage(session, experiment, attempt)
    return [_within(curve(session, origin, name), upto) for origin, upto in before]


def _lineage(session: Session, experiment: str, attempt: str) -> list[tuple[str, float]]:
    """The attempts whose model this one has, which is the last, each with the step up to which its points count.

    Points behind the step of the checkpoint are left out: what made them is lost. Without a step all of them count.
    """
    found, upto, visited = [(attempt, math.inf)], math.inf, {attempt}
    row = session.row(hot.RESUMED_FROM, {"id": attempt, "experiment": experiment})
    while row and row.resumed_from:
        origin = json.loads(row.resumed_from)
        if origin["attempt"] in visited:  # only an imported record can contain a cycle
            break
        visited.add(origin["attempt"])
        row = session.row(hot.RESUMED_FROM, {"id": origin["attempt"], "experiment": experiment})
        if row is not None:
            step = storable(origin["step"])
            upto = upto if step is None else min(upto, step)
            found.append((origin["attempt"], upto))
    return found[::-1]


def _within(points: Sequence[Point], upto: float) -> list[Point]:
    return [point for point in points if point.step is None or point.step <= upto]
