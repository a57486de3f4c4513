"""Store and read the intermediate values that attempts report. Callers that write hold the ledger's lock."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from orchestune.domain.specification.metrics import FIRST_HTTP_SEQUENCE, Metric, Point, storable
from orchestune.services.execution.locked_experiment import Ledger
from orchestune.store.session import Session
from orchestune.store.statements.attempts import ADD_POINTS, SELECT_NON_FINITE, SELECT_RESUMED_FROM, SET_NON_FINITE
from orchestune.store.statements.points import (
    COUNT_NAMES,
    HIGHEST_POINT,
    INSERT_POINT,
    LAST_BETWEEN,
    LAST_OF_NEWEST,
    LAST_POINTS,
    LAST_STEP_BEYOND,
    LOWEST_POINT,
    REPORTED,
    REPORTED_NAMES,
    PointRow,
    ReportedName,
)
from orchestune.wire.work import Measurement

MAX_METRIC_NAMES = 1000
"""Metric names stored per attempt, besides the declared metrics. Each view of a trial contains all of them."""

_MAX_LINEAGE = 100
"""Attempts whose values count for one that resumed from them, itself included; they are read under the lock."""
_MAX_REDUCED_NAMES = MAX_METRIC_NAMES
"""Metrics of all these attempts together; beyond them, of older attempts only the declared metrics count."""
_MAX_MERGED_POINTS = 10_000
"""Last points of a metric from the worker and from HTTP, each, that are merged, unless its mean needs more."""
_MAX_SCANNED_POINTS = 300_000
"""Points of earlier attempts that are looked at for all metrics together: about 0.2 s, under the lock."""
_MAX_BEHIND_CHECKPOINT = 50_000
"""Last points of an earlier attempt among which those up to its checkpoint are looked for, unless the best is needed"""
MAX_AVERAGED, _MIN_AVERAGED = 50_000, 100
"""Values that `take: mean:K` averages, of all metrics together, and what each metric may have in any case."""
_MAX_SEQUENCE = 2**31 - 1

MAX_POINTS = 1_000_000  # stored per attempt, about 100 MB of rows; a value per second for 11 days


def reported(measurements: Sequence[Measurement]) -> list[Point]:
    """Return the values of a report as points, in the order of the report."""
    return [measurement.point() for measurement in measurements]


def within_names(ledger: Ledger, attempt: str, stored: int, points: Sequence[Point]) -> Sequence[Point]:
    """Return the points whose names the attempt may still report; `stored` is its number of stored points.

    Declared metrics are always allowed. Known names are looked up by the primary key, so an attempt with a million
    points of a few names costs a few lookups.
    """
    names = dict.fromkeys(point.name for point in points)
    if stored + len(names) <= MAX_METRIC_NAMES:
        return points
    declared = {metric.name for metric in ledger.row.specification.metrics}
    others = [name for name in names if name not in declared][:MAX_METRIC_NAMES]
    allowed = {name for name in others if _is_reported(ledger.session, attempt, name)}
    if len(allowed) < len(others):
        room = MAX_METRIC_NAMES - (ledger.session.row(COUNT_NAMES, {"attempt": attempt, "most": MAX_METRIC_NAMES}) or 0)
        allowed |= set([name for name in others if name not in allowed][: max(0, room)])
    return [point for point in points if point.name in allowed or point.name in declared]


def within_limit(
    ledger: Ledger, attempt: str, trial: int, stored: int, points: Sequence[Point], *, at_end: bool = False
) -> Sequence[Point]:
    """Return the points that the attempt may still store; `stored` is its number of stored points.

    Beyond `MAX_POINTS` (recorded once as an event) only the last value of each declared metric in a report is kept,
    because it decides the trial; beyond twice as many, only if the report is the attempt's final one (`at_end`).
    """
    room = MAX_POINTS - stored
    if len(points) < room:
        return points
    if room > 0:
        ledger.record("points_limit_reached", {"trial": trial, "attempt": attempt, "most": MAX_POINTS})
    accepted, rest = list(points[: max(0, room)]), points[max(0, room) :]
    if at_end or room > -MAX_POINTS:
        declared = {metric.name for metric in ledger.row.specification.metrics}
        accepted += {point.name: point for point in rest if point.name in declared}.values()
    return accepted


def _is_reported(session: Session, attempt: str, name: str) -> bool:
    return session.row(REPORTED, {"attempt": attempt, "name": name}) is not None


def append(ledger: Ledger, attempt: str, points: Sequence[Point]) -> None:
    """Insert finite intermediate values; a sequence that is stored already is a retransmission and skipped."""
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
    ledger.session.many(INSERT_POINT, rows)
    ledger.session.run(ADD_POINTS, {"id": attempt, "count": len(points)})


def note_not_finite(ledger: Ledger, attempt: str, stored: str | None, points: Sequence[Point]) -> None:
    """Store the last value of each name if it is not finite: it has no row, but it decides the trial."""
    before: dict[str, Any] = json.loads(stored) if stored else {}
    after = before | {point.name: [repr(point.value), point.step] for point in points}
    after = {name: entry for name, entry in after.items() if not math.isfinite(float(entry[0]))}
    after = dict(islice(after.items(), MAX_METRIC_NAMES))
    if after != before:
        ledger.session.run(SET_NON_FINITE, {"id": attempt, "values": json.dumps(after)})


def http_not_finite(stored: str | None, others: Sequence[Point]) -> list[Point]:
    """Return the values stored by `note_not_finite`, except names that the worker reported too.

    For these it is unknown which value was the last.
    """
    reported_names = {point.name for point in others if point.sequence < FIRST_HTTP_SEQUENCE}
    return [point for point in _not_finite(stored) if point.name not in reported_names]


def inherited_not_finite(session: Session, experiment: str, attempt: str, points: Sequence[Point]) -> list[Point]:
    """Return the values that `note_not_finite` stored for the attempt that this one resumed from.

    Names that this attempt reported itself, in `points` or before, are left out.
    """
    *before, _ = _lineage(session, experiment, attempt)
    if not before:
        return []
    origin, upto = before[-1]
    row = session.row(SELECT_NON_FINITE, {"id": origin})
    own = {reported.name for reported in session.rows(REPORTED_NAMES, {"attempt": attempt})}
    own |= {point.name for point in points}
    return [point for point in _within(_not_finite(row.non_finite if row else None), upto) if point.name not in own]


def _not_finite(stored: str | None) -> list[Point]:
    entries = json.loads(stored) if stored else {}
    return [Point(name, float(text), step) for name, (text, step) in entries.items()]


def record(ledger: Ledger, trial: int, points: Sequence[Point]) -> None:
    """Record an event for each of the last 20 points."""
    for point in points[-20:]:
        data = {"trial": trial, "name": point.name, "value": point.value, "step": point.step}
        ledger.record("metric_reported", data)


def points_to_reduce(session: Session, experiment: str, attempt: str, metrics: Sequence[Metric]) -> list[Point]:
    """Return, in order, the few points that `reduce` needs: the attempt's own and those before its checkpoint.

    An attempt may have millions of points, and its trial thousands of attempts, each of which resumed from the one
    before. The newest attempts are read first, until they have many metrics together, and of the others no more points
    than `_MAX_SCANNED_POINTS`.
    """
    declared = {metric.name: metric for metric in metrics}
    averaged = sum(metric.counted for metric in metrics)  # more than allowed in records of earlier versions
    most = max(_MIN_AVERAGED, MAX_AVERAGED // len(metrics)) if averaged > MAX_AVERAGED + len(metrics) else averaged
    newest_first: list[list[Point]] = []
    names_left, scans_left = _MAX_REDUCED_NAMES, _MAX_SCANNED_POINTS
    ended: set[str] = set()  # metrics of which older attempts add nothing, or have too many points
    counts: Counter[str] = Counter()
    for origin, upto in reversed(_lineage(session, experiment, attempt)):
        names = [name for name in session.rows(REPORTED_NAMES, {"attempt": origin}) if name.name not in ended]
        if len(names) > names_left:
            names = [name for name in names if name.name in declared]
        names_left -= len(names)
        reading = [_Reading.of(name, declared.get(name.name), most, len(names)) for name in names]
        points: dict[str, Sequence[Point]] = dict.fromkeys([each.name.name for each in reading], ())
        for each in sorted(reading, key=lambda each: each.name.name not in declared):
            if origin != attempt:
                scans_left -= each.cost(upto)
                if scans_left < 0:
                    ended.add(each.name.name)
                    continue
            points[each.name.name] = each.points(session, origin, upto)
            counts[each.name.name] += len(points[each.name.name])
            if not each.is_best and counts[each.name.name] >= each.needed:
                ended.add(each.name.name)
        newest_first.append([point for own in points.values() for point in own])
    return [point for points in reversed(newest_first) for point in points]


@dataclass(frozen=True)
class _Reading:
    """How the points of one metric of an attempt are read: its best value, or its last `count` values."""

    name: ReportedName
    metric: Metric | None
    needed: int
    """values that `reduce` needs"""
    count: int
    """values that are read of each source, the worker and HTTP: more, if both have to be merged"""

    @classmethod
    def of(cls, name: ReportedName, metric: Metric | None, most: int, names: int) -> _Reading:
        """Return the reading of one of `names` metrics; `metric` if it is declared, whose mean is of up to `most`."""
        needed = min(metric.counted, most) if metric is not None else 1
        is_merged = name.first < FIRST_HTTP_SEQUENCE <= name.last  # rare
        merged = max(needed, _MIN_AVERAGED, min(_MAX_MERGED_POINTS, MAX_AVERAGED // names))
        return cls(name, metric, needed, merged if is_merged else needed)

    @property
    def is_best(self) -> bool:
        return self.metric is not None and self.metric.take == "best"

    def cost(self, upto: float) -> int:
        """Return an upper bound of the points that are read: sequence numbers count them."""
        size = self.name.last - self.name.first + 1
        if self.is_best:
            return size
        return min(size, self.count if upto == math.inf else _MAX_BEHIND_CHECKPOINT + self.count)

    def points(self, session: Session, attempt: str, upto: float) -> Sequence[Point]:
        """Return the points of an attempt, in order."""
        where = {"attempt": attempt, "name": self.name.name, "upto": upto, "count": self.count}
        if self.is_best:
            assert self.metric is not None
            return session.rows(HIGHEST_POINT if self.metric.goal == "maximize" else LOWEST_POINT, where)
        if self.name.first < FIRST_HTTP_SEQUENCE <= self.name.last:
            return _within(_last_merged(session, attempt, self.name.name, self.count), upto)
        if upto == math.inf:
            return session.rows(LAST_POINTS, where)[::-1]
        return session.rows(LAST_OF_NEWEST, where | {"newest": _MAX_BEHIND_CHECKPOINT + self.count})[::-1]


def _last_merged(session: Session, attempt: str, name: str, count: int) -> list[Point]:
    """Return the last points of a metric that the worker and HTTP both reported, up to `count` of each, in order."""
    where = {"attempt": attempt, "name": name, "count": count}
    by_worker = session.rows(LAST_BETWEEN, {**where, "first": 0, "last": FIRST_HTTP_SEQUENCE - 1})
    by_http = session.rows(LAST_BETWEEN, {**where, "first": FIRST_HTTP_SEQUENCE, "last": _MAX_SEQUENCE})
    return _in_order([*reversed(by_worker), *reversed(by_http)])


def furthest(session: Session, attempt: str, until: float, step: float | None) -> float | None:
    """Return the last step reported by HTTP up to the time `until`, or `step`, known to the worker, if it is higher."""
    last = session.row(LAST_STEP_BEYOND, {"attempt": attempt, "sequence": FIRST_HTTP_SEQUENCE, "until": until})
    if last is None or (step is not None and step >= last):
        return step
    return storable(int(last)) if last == int(last) else last


def _in_order(rows: Sequence[PointRow]) -> list[Point]:
    """Merge the points from the worker and from HTTP by arrival time; each source keeps the order of its sequence.

    Arrival is wall time, which may jump back; a running maximum per source keeps a point from moving before one of a
    lower sequence.
    """
    latest: dict[tuple[str, bool], float] = {}
    ordered: list[tuple[float, int, Point]] = []
    for row in rows:
        point = Point(row.name, row.value, row.step, row.stddev, row.sequence)
        way = point.name, point.sequence >= FIRST_HTTP_SEQUENCE
        latest[way] = max(row.at, latest.get(way, row.at))
        ordered.append((latest[way], point.sequence, point))
    return [point for _, _, point in sorted(ordered, key=lambda item: item[:2])]


class LastCurve(NamedTuple):
    """The last points of one metric of an attempt, in order; `is_cut` if it has earlier ones."""

    points: list[Point]
    is_cut: bool


def last_curves(session: Session, experiment: str, attempt: str, name: str, most: int) -> list[LastCurve]:
    """Return one metric's points from each earlier attempt whose model this one resumed, and its own, in order.

    Of many points it returns the last ones, about `most` from the worker and as many from HTTP.
    """
    newest_first: list[LastCurve] = []
    for origin, upto in reversed(_lineage(session, experiment, attempt)):
        if most <= 0:
            break
        points = _last_merged(session, origin, name, most)
        newest_first.append(LastCurve(_within(points, upto), len(points) >= most))
        most -= len(points)
    return newest_first[::-1]


def _lineage(session: Session, experiment: str, attempt: str) -> list[tuple[str, float]]:
    """Return the chain of attempts that this one resumed from, itself last, each with the last step that counts.

    Points after the checkpoint's step are excluded: the model that produced them is lost. Without a step all count.
    Beyond `_MAX_LINEAGE` the oldest attempts are left out.
    """
    lineage, upto, visited = [(attempt, math.inf)], math.inf, {attempt}
    row = session.row(SELECT_RESUMED_FROM, {"id": attempt, "experiment": experiment})
    while row and row.resumed_from and len(lineage) < _MAX_LINEAGE:
        origin = json.loads(row.resumed_from)
        if origin["attempt"] in visited:  # only an imported record can contain a cycle
            break
        visited.add(origin["attempt"])
        row = session.row(SELECT_RESUMED_FROM, {"id": origin["attempt"], "experiment": experiment})
        if row is not None:
            step = storable(origin["step"])
            upto = upto if step is None else min(upto, step)
            lineage.append((origin["attempt"], upto))
    return lineage[::-1]


def _within(points: Sequence[Point], upto: float) -> list[Point]:
    return [point for point in points if point.step is None or point.step <= upto]
