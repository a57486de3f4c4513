"""Early stopping: pass points of a running trial to its pruner, which may order it to stop.

The order is a column of the attempt's row, written in the same transaction as the points that caused it: it survives a
restart, is repeated in every answer until the worker reports the attempt's end, and if the worker is lost, the trial
ends as pruned instead of being requeued.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from orchestune.domain.lifecycle.states import Reason, ReasonCode
from orchestune.domain.specification.curves import LearningCurve, PrunerObservation
from orchestune.domain.specification.metrics import FIRST_HTTP_SEQUENCE, Point
from orchestune.services.execution import points as stored_points
from orchestune.services.execution.locked_experiment import Ledger
from orchestune.services.memory.pruner_cache import ExperimentPruners, PrunerCache, TrackedCurve
from orchestune.store.session import Session
from orchestune.store.statements.attempts import ORDER_PRUNE
from orchestune.store.statements.points import ANY_BETWEEN
from orchestune.store.statements.pruning import COUNT_STEPS, LAST_SEQUENCE, PUT_OBSERVATION

_MAX_SEQUENCE = 2**31 - 1
"""upper bound of a point's sequence"""
_MAX_REBUILT_POINTS = 10_000
"""Last values of a trial from which its curve is rebuilt: about 50 ms, under the lock."""
_MAX_STEPS_OF_FOLD, _MAX_STEPS_OF_EXPERIMENT = 1_000, 200_000
"""Decision steps at which a fold of a trial, and all trials, are compared: the server keeps the losses in memory."""
_MAX_JUDGED_STEPS = 50
"""Newest decision steps of a report that the rule is asked about: it compares all earlier ones at each."""


def observe(
    cache: PrunerCache, ledger: Ledger, attempt: str, trial: int, fold: int, points: Sequence[Point]
) -> Reason | None:
    """Pass points that are not stored yet to the pruner; return why it would prune the attempt, or None.

    The order to stop is left to the caller (`order_stop`): the attempt may have ended, or have another order.
    """
    pruners = cache.of(ledger.row)
    if pruners is None or all(point.name != pruners.metric.name for point in points):
        return None
    ledger.on_rollback(lambda: cache.forget(ledger.row))
    observations = _observations(pruners, ledger, attempt, trial, fold, points)
    if not observations:
        return None
    last = ledger.session.row(LAST_SEQUENCE, {"experiment": ledger.row.id}) or 0
    count = ledger.session.row(COUNT_STEPS, {"experiment": ledger.row.id, "trial": trial, "fold": fold}) or 0
    observations = observations[: max(0, min(_MAX_STEPS_OF_FOLD - count, _MAX_STEPS_OF_EXPERIMENT - last))]
    if not observations:
        return None
    ledger.session.many(
        PUT_OBSERVATION,
        [
            {"experiment": ledger.row.id, "trial": trial, "fold": fold, "step": observation.step, "seq": last + number}
            | {"loss": observation.loss, "best": observation.best, "mean": observation.mean}
            for number, observation in enumerate(observations, start=1)
        ],
    )
    pruners.refresh(ledger.session, ledger.row)
    pruner = pruners.of_fold(fold)
    why = next(filter(None, map(pruner.judge, observations[-_MAX_JUDGED_STEPS:])), None)
    return Reason(ReasonCode.PRUNED, f"{pruner.name}: {why}") if why else None


def order_stop(ledger: Ledger, attempt: str, reason: Reason) -> None:
    """Order a live attempt to stop as pruned, unless it has another stop order already."""
    if ledger.session.run(ORDER_PRUNE, {"id": attempt, "reason": json.dumps(reason.to_json())}):
        ledger.note_stop_order()


def _observations(
    pruners: ExperimentPruners, ledger: Ledger, attempt: str, trial: int, fold: int, points: Sequence[Point]
) -> list[PrunerObservation]:
    """Return an observation for each decision step of the pruner that the trial reached with these points."""
    pruner, name = pruners.of_fold(fold), pruners.metric.name
    tracked = pruners.curves.get(attempt)
    if tracked is None or _is_behind(tracked, ledger.session, attempt, name):
        tracked = _rebuilt(pruners, ledger, attempt, trial, fold)
    observations = []
    for point in points:
        if point.name != name or not tracked.add(point):
            continue
        step = pruner.decision_step(trial, tracked.curve.step)
        if step is not None and (tracked.last_decision is None or step > tracked.last_decision):
            tracked.last_decision = step
            observations.append(tracked.curve.observation(trial, step))
    pruners.keep(attempt, tracked)
    return observations


def _is_behind(tracked: TrackedCurve, session: Session, attempt: str, name: str) -> bool:
    """Return True if another server has stored points of the attempt that `tracked` does not contain."""
    unknown = (
        (tracked.worker_sequence, FIRST_HTTP_SEQUENCE),
        (max(tracked.http_sequence, FIRST_HTTP_SEQUENCE - 1), _MAX_SEQUENCE),
    )
    where = {"attempt": attempt, "name": name}
    return any(
        session.row(ANY_BETWEEN, where | {"after": after, "before": before}) is not None for after, before in unknown
    )


def _rebuilt(pruners: ExperimentPruners, ledger: Ledger, attempt: str, trial: int, fold: int) -> TrackedCurve:
    """Rebuild the curve of an attempt from its rows, including the attempts that it resumed from."""
    tracked, name = TrackedCurve(LearningCurve(pruners.metric)), pruners.metric.name
    for points, is_cut in stored_points.last_curves(ledger.session, ledger.row.id, attempt, name, _MAX_REBUILT_POINTS):
        # Each attempt numbers its points from 0. Numbers before a cut were not read, rather than not finite.
        by_worker = (point.sequence for point in points if point.sequence < FIRST_HTTP_SEQUENCE)
        tracked.worker_sequence = next(by_worker, 0) - 1 if is_cut else -1
        tracked.http_sequence = -1
        for point in points:
            tracked.add(point)
    tracked.last_decision = pruners.of_fold(fold).decision_step(trial, tracked.curve.max_step)
    return tracked
