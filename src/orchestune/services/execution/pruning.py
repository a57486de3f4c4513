"""Early stopping: pass points of a running trial to its pruner, which may order it to stop. Under the ledger's lock.

The order is a column of the attempt's row, written in the same transaction as the points that caused it: it survives a
restart, is repeated in every answer until the worker reports the attempt's end, and decides the state of the trial if
the worker is lost.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from orchestune.domain.lifecycle.states import Reason, ReasonCode
from orchestune.domain.specification.curves import LearningCurve, Mark
from orchestune.domain.specification.metrics import HTTP_SEQUENCE, Point
from orchestune.services.execution import points as rows
from orchestune.services.execution.locked_experiment import Ledger
from orchestune.services.memory.pruner_boards import Board, Boards, Track
from orchestune.store.session import Session
from orchestune.store.statements.attempts import ORDER_PRUNE
from orchestune.store.statements.points import ANY_BETWEEN
from orchestune.store.statements.pruning import LAST_MARK, PUT_MARK

_HIGHEST = 2**31 - 1
"""Upper bound of a point's sequence."""


def take(boards: Boards, ledger: Ledger, attempt: str, trial: int, fold: int, points: Sequence[Point]) -> Reason | None:
    """Pass points that are not stored yet to the pruner; return why it would prune the attempt, or None."""
    board = boards.of(ledger.row)
    if board is None or all(point.name != board.metric.name for point in points):
        return None
    ledger.if_undone(lambda: boards.forget(ledger.row))
    marks = _marks(board, ledger, attempt, trial, fold, points)
    if not marks:
        return None
    last = ledger.session.row(LAST_MARK, {"experiment": ledger.row.id}) or 0
    ledger.session.many(
        PUT_MARK,
        [
            {"experiment": ledger.row.id, "trial": trial, "fold": fold, "step": mark.step, "seq": last + number}
            | {"loss": mark.loss, "best": mark.best, "mean": mark.mean}
            for number, mark in enumerate(marks, start=1)
        ],
    )
    board.refresh(ledger.session, ledger.row)
    pruner = board.pruner(fold)
    why = next(filter(None, map(pruner.judge, marks)), None)
    return Reason(ReasonCode.PRUNED, f"{pruner.name}: {why}") if why else None


def order(ledger: Ledger, attempt: str, reason: Reason) -> None:
    """Order a live attempt to stop as pruned, unless it has another stop order already."""
    if ledger.session.run(ORDER_PRUNE, {"id": attempt, "reason": json.dumps(reason.to_json())}):
        ledger.orders()


def _marks(board: Board, ledger: Ledger, attempt: str, trial: int, fold: int, points: Sequence[Point]) -> list[Mark]:
    """Return a mark for each step reached with these points at which the pruner compares trials."""
    pruner, name = board.pruner(fold), board.metric.name
    track = board.tracks.get(attempt)
    if track is None or _is_behind(track, ledger.session, attempt, name):
        track = _track(board, ledger, attempt, trial, fold)
    marks = []
    for point in points:
        if point.name != name or not track.take(point, HTTP_SEQUENCE):
            continue
        look = pruner.look(trial, track.curve.step)
        if look is not None and (track.looked is None or look > track.looked):
            track.looked = look
            marks.append(track.curve.mark(trial, look))
    board.keep(attempt, track)
    return marks


def _is_behind(track: Track, session: Session, attempt: str, name: str) -> bool:
    """Return True if another server has stored points of the attempt that `track` does not contain."""
    unknown = (track.counted, HTTP_SEQUENCE), (max(track.sent, HTTP_SEQUENCE - 1), _HIGHEST)
    where = {"attempt": attempt, "name": name}
    return any(session.row(ANY_BETWEEN, {**where, "after": one, "before": end}) is not None for one, end in unknown)


def _track(board: Board, ledger: Ledger, attempt: str, trial: int, fold: int) -> Track:
    """Rebuild the curve of an attempt from its rows, including the attempts that it resumed from."""
    track, name, session = Track(LearningCurve(board.metric)), board.metric.name, ledger.session
    for points in [*rows.inherited(session, ledger.row.id, attempt, name), rows.curve(session, attempt, name)]:
        track.counted = track.sent = -1
        for point in points:
            track.take(point, HTTP_SEQUENCE)
    track.looked = board.pruner(fold).look(trial, track.curve.furthest)
    return track
