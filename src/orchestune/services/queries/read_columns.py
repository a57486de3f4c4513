"""Data of plots and long tables: trials by columns, summarized on the server if there are too many to send."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from orchestune import documents
from orchestune.domain.search.parameters import Value
from orchestune.domain.specification.metrics import Metric
from orchestune.errors import UsageError
from orchestune.ports.clock import rfc3339
from orchestune.services.core import Core
from orchestune.services.memory.attempt_statistics import BusyIntervals
from orchestune.services.memory.trial_columns import STATES, Column, Numbers, Places, TrialColumns
from orchestune.services.queries import best_trials
from orchestune.services.queries.read_experiments import declared
from orchestune.services.queries.read_trials import curve_points
from orchestune.store import attempts, experiments
from orchestune.store import trials as rows
from orchestune.store.experiments import ExperimentRow

_BEST_SHARE = 0.25
"""Share of the best trials in a sample, if not all trials are shown."""
_MAX_POINTS_OF_CURVES = 500
"""Points shown per curve in a view of many trials."""
_MAX_POINTS_OF_ALL = 250_000
"""Approximate number of points of all of them: trials may have thousands of attempts, each with a curve."""
_TIME_BINS = 240
"""Time bins of the plot of running attempts."""


def columns(core: Core, ref: str, limit: int, where: str | None, metric: str | None = None) -> documents.Columns:
    """Return at most `limit` trials by columns: the best ones, and every k-th of the others.

    The best values so far of `metric` (default: the first one) and the Pareto front are computed from all trials.
    """
    row, columns = core.experiment_cache.columns(core.store, ref)
    matching = columns.matching(where)
    objective = row.specification.objective
    places = _chosen(columns, matching, objective, limit)
    with core.store.reading() as session:
        front = list(best_trials.numbers(core, session, row))
    best = _best_so_far(columns, row.specification.metrics, declared(row, metric))
    return {
        "total": len(matching),
        "shown": len(places),
        "number": [int(number) for number in columns.number()[places]],
        "state": [STATES[int(code)] for code in columns.state()[places]],
        "finished_at": [rfc3339(at) if at == at else None for at in columns.plain["finished_at"].array()[places]],
        "seconds": _plain(columns.seconds()[places]),
        "metrics": {name: _plain(column.array()[places]) for name, column in columns.metrics.items()},
        "parameters": {name: _values_at(column, places) for name, column in columns.parameters.items()},
        "best": best,
        "front": front,
    }


def _chosen(columns: TrialColumns, places: Places, objective: Metric, limit: int) -> Places:
    if len(places) <= limit:
        return places
    sort = f"{'-' if objective.goal == 'maximize' else ''}metrics.{objective.name}"
    best = columns.order(_low(columns, objective, places, int(limit * _BEST_SHARE)), sort)[: int(limit * _BEST_SHARE)]
    is_best = np.zeros(columns.length, bool)
    is_best[best] = True
    others = places[~is_best[places]]
    spread = np.linspace(0, len(others) - 1, limit - len(best)).astype(int)
    chosen: Places = np.sort(np.concatenate([best, others[spread]]))
    return chosen


def _low(columns: TrialColumns, objective: Metric, places: Places, count: int) -> Places:
    """Return a superset of the `count` best places: only slightly larger if at least `count` trials have a value."""
    values = columns.metrics[objective.name].array()[places]
    loss = np.nan_to_num(-values if objective.goal == "maximize" else values, nan=np.inf)
    low: Places = places[loss <= np.partition(loss, count)[count]]
    return low


def _best_so_far(columns: TrialColumns, metrics: Sequence[Metric], metric: Metric) -> documents.BestSoFar:
    """Return each improvement: the number of trials finished by then (including it), the time and the total cost."""
    values = columns.metrics[metric.name].array()
    done = columns.good(metrics) & ~np.isnan(values)
    loss = np.where(done, -values if metric.goal == "maximize" else values, np.inf)
    before = np.minimum.accumulate(np.concatenate([[np.inf], loss]))[:-1] if len(loss) else loss
    steps = np.flatnonzero(loss < before)
    ended, cost = columns.plain["finished_at"].array()[steps], np.cumsum(np.nan_to_num(columns.seconds()))
    return {
        "finished": [int(step) + 1 for step in steps],
        "number": [int(number) for number in columns.number()[steps]],
        "value": _plain(values[steps]),
        "finished_at": [rfc3339(at) if at == at else None for at in ended],
        "seconds": _plain(cost[steps]),
        "all_seconds": float(cost[-1]) if len(cost) else 0.0,
    }


def _values_at(column: Column, places: Places) -> list[Value | None]:
    values = column.array()[places]
    if column.words is None:
        return [*_plain(values)]
    return [column.words[int(value)] if value == value else None for value in values]


def _plain(values: Numbers) -> list[float | None]:
    """Return the values rounded to six significant digits, more than a plot resolves; None if not finite."""
    size = np.abs(values)
    with np.errstate(all="ignore"):
        power = np.floor(np.log10(size))
        up, down = 10.0 ** np.maximum(5 - power, 0), 10.0 ** np.maximum(power - 5, 0)
        rounded = np.round(values * up / down) / up * down
    rounded[size == 0] = 0.0
    exact = (size == 0) | ((size > 1e-16) & (size < 1e22))  # the powers of ten needed for these are exact in float64
    plain: list[float | None] = rounded.tolist()
    for place in np.flatnonzero(~exact):
        value = float(values[place])
        plain[place] = float(f"{value:.6g}") if np.isfinite(value) else None
    return plain


def overview(core: Core, ref: str) -> documents.Overview:
    """Return why trials failed, and how many attempts ran over time."""
    busy, failures = core.experiment_cache.attempts(core.store, ref)
    return {"failures": failures, "busy": _busy(busy)}


def _busy(busy: BusyIntervals) -> documents.Busy:
    """Return the average number of running attempts in each of `_TIME_BINS` equal time bins."""
    if not len(busy.begins):
        return {"from": None, "step_seconds": 0.0, "running": []}
    first, last = float(busy.begins[0]), float(max(busy.ends[-1], busy.begins[0] + 1.0))
    edges = np.linspace(first, last, _TIME_BINS + 1)
    step = (last - first) / _TIME_BINS
    area = _before(busy.begins, edges) - _before(busy.ends, edges)
    running = np.diff(area) / step
    return {"from": rfc3339(first), "step_seconds": step, "running": [round(float(value), 3) for value in running]}


def _before(ordered_times: Numbers, edges: Numbers) -> Numbers:
    """Return for each edge the sum of `edge - time` over all times before it, in seconds."""
    count = np.searchsorted(ordered_times, edges)
    total = np.concatenate([[0.0], np.cumsum(ordered_times - ordered_times[0])])
    sums: Numbers = count * (edges - ordered_times[0]) - total[count]
    return sums


def timeline(core: Core, ref: str, limit: int) -> documents.Timeline:
    """Return the newest attempts: the node, the start and end, and the state of each."""
    with core.store.reading() as session:
        row = experiments.find(session, ref)
        newest = attempts.newest(session, row.id, limit + 1)
    items: list[documents.Span] = [
        {
            "trial": attempt.trial,
            "fold": attempt.fold,
            "attempt_number": attempt.attempt_number,
            "state": attempt.state,
            "worker": attempt.worker_name,
            "node": attempt.node,
            "leased_at": rfc3339(attempt.leased_at),
            "finished_at": rfc3339(attempt.finished_at),
        }
        for attempt in newest[:limit]
    ]
    return {"items": items, "more": len(newest) > limit}


def curves(core: Core, ref: str, metric: str | None, limit: int) -> documents.Curves:
    """Return the learning curves of a metric, by attempt, for the newest trials and the best one."""
    with core.store.reading() as session:
        row = experiments.find(session, ref)
        name = _metric_name(row, metric)
        numbers = attempts.with_points(session, row.id, limit)
        if row.best_trial is not None and row.best_trial not in numbers:
            numbers.append(row.best_trial)
        states = {trial.number: trial.state for trial in rows.of_numbers(session, row.id, numbers)}
        reported = attempts.points_of(session, row.id, numbers, _MAX_POINTS_OF_CURVES, name, in_all=_MAX_POINTS_OF_ALL)
    items: list[documents.Curve] = [
        {
            "trial": curve.trial,
            "fold": curve.fold,
            "attempt_number": curve.attempt_number,
            "state": states.get(curve.trial, "running"),
            "reported": curve.reported,
            "points": curve_points(curve),
        }
        for curve in reported
    ]
    return {"metric": name, "items": items}


def _metric_name(row: ExperimentRow, metric: str | None) -> str:
    names = [each.name for each in row.specification.metrics]
    if metric is None:
        return names[0]
    if not metric:
        raise UsageError("empty metric name", f"it has {', '.join(names)}")
    return metric
