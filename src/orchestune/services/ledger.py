"""One experiment under its lock: what happens to it in one transaction, written down as a whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from orchestune.domain import stopping
from orchestune.domain.metrics import objectives
from orchestune.domain.space import key
from orchestune.domain.states import Desired, ExperimentState, Reason, ReasonCode
from orchestune.domain.transitions import experiment_state
from orchestune.services import estimates, notices
from orchestune.services.actors import by
from orchestune.services.ahead import missing
from orchestune.services.core import Core
from orchestune.services.signals import ACTING, EXPERIMENTS, NOTIFYING, SUGGESTING, Signals
from orchestune.store import experiments, hot, trials
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session

_MOVES = ("desired", "state", "ended_by", "reason_json", "budget", "parallelism", "priority")
_USES = ("last_trial", "queued", "running", "pending_folds", "history_seq")


class Ledger:
    """The locked row, the events and the log segments of this transaction.

    Changes are made to `row` and through the functions in `trials` and `attempts`; `close` derives the state, and
    writes row, events and segments at once.
    """

    def __init__(self, session: Session, row: ExperimentRow, actor: str) -> None:
        self.session = session
        self.row = row
        self.actor = actor
        self.now = session.now
        self.to_be_cancelled = False
        """set when the experiment ended while trials were open; who does not cancel them leaves it to `Finishing`"""
        self._before = (row.state, row.reason_json)
        self._loaded = vars(row).copy()
        self._events: list[dict[str, Any]] = []
        self._segments: list[dict[str, Any]] = []
        self._unconfirmed = False
        self._other_workers = False
        self._workers_ended = False
        self._ordered = False
        self._noticed = False
        self._undo: list[Callable[[], None]] = []

    def record(self, kind: str, data: Mapping[str, Any], actor: str | None = None) -> None:
        """Add an event."""
        self.row.event_seq += 1
        self._events.append(
            {
                "experiment": self.row.id,
                "seq": self.row.event_seq,
                "at": self.now,
                "actor": actor or self.actor,
                "kind": kind,
                "data": json.dumps(data),
            }
        )

    def add_segment(self, attempt: str, trial: int, offset: int, data: bytes, gap: int) -> None:
        """Add a part of an attempt's log, which the caller knows to be new."""
        self.row.log_seq += 1
        self._segments.append(
            {
                "experiment": self.row.id,
                "seq": self.row.log_seq,
                "attempt": attempt,
                "trial": trial,
                "offset": offset,
                "length": len(data),
                "gap": gap,
                "at": self.now,
                "data": data,
            }
        )

    def progress(self, chosen: stopping.Chosen | None) -> stopping.Progress:
        """What the stop rules look at; `chosen`: the best trial where the best value is not it."""
        row = self.row
        exhausted = bool(row.is_exhausted) or self._all_tried()
        found = stopping.Progress(
            budget=row.budget,
            finished=row.finished,
            completed=row.completed,
            failed=row.failed,
            open=row.open,
            best_value=row.best_value,
            since_best=row.trials_since_best,
            front=len(objectives(row.specification.metrics)) > 1,
            seconds=self.now - row.started_at if row.started_at else 0.0,
            exhausted=exhausted,
            size=row.specification.space.size() if exhausted else 0,
            unsure=chosen is None and row.specification.stop.ask_for_the_best and estimates.unsure(self.session, row),
        )
        if chosen is None:
            return found
        return replace(found, best_value=chosen.value, since_best=row.finished - chosen.place)

    def _all_tried(self) -> bool:
        """Whether the budget came to its end where the space did, so that no larger one would find anything new."""
        row = self.row
        if row.finished < row.budget:
            return False
        size = row.specification.space.size()
        return size <= row.budget and len(set(map(key, trials.configurations(self.session, row.id)))) >= size

    def evaluate(self, chosen: stopping.Chosen | None = None) -> None:
        """Apply the stop rules; a rule that holds ends the experiment, one that no longer does lets it go on.

        What a noisy best decided stands: only the controller that brings `chosen` can tell.
        """
        row = self.row
        specification = row.specification
        progress = self.progress(chosen)
        reason = stopping.ended(progress, specification.stop, specification.objective)
        if reason is None:
            if progress.unsure and row.ended_by in stopping.OF_THE_BEST:
                return
            if row.ended_by is not None:
                row.ended_by, row.reason, row.finished_at = None, None, None
            return
        if reason.code is ReasonCode.EXHAUSTED:
            row.is_exhausted = True  # a larger budget does not change that
        row.ended_by, row.reason = reason.code.value, reason
        self.to_be_cancelled = row.open > 0

    def pause(self, reason: Reason) -> None:
        """Start nothing new, for a reason that `resume` waves through."""
        if self.row.goes_on:
            self.row.desired, self.row.reason = Desired.PAUSED, reason

    def orders(self) -> None:
        """An order waits for a worker, which hears of it at once if it waits for work."""
        self._ordered = True

    def note_stuck(self, seconds: float, hooks: Sequence[str]) -> None:
        """Tell these hooks that nothing was seen of the experiment for so long."""
        self.record("experiment_stuck", {"seconds": seconds})
        notices.note_stuck(self.session, self.row, seconds, hooks)
        self._noticed = True

    def if_undone(self, action: Callable[[], None]) -> None:
        """Do something should this transaction come to nothing: to forget what was learned of it in memory."""
        self._undo.append(action)

    def undone(self, *error: object) -> None:
        """The transaction is over; with an error it came to nothing."""
        if error[0] is not None:
            for action in self._undo:
                action()

    def awaits_workers(self) -> None:
        """Attempts were cancelled whose processes may still run: it is over only when its workers have ended."""
        self._unconfirmed = True

    def needs_other_workers(self) -> None:
        """A trial waits for a worker of another size than those that are there."""
        self._other_workers = True

    def workers_ended(self) -> None:
        """Every worker has ended: what is stopping is over."""
        self._workers_ended = True

    def _derive(self) -> None:
        """Bring `state` in line with what is wanted and what was counted."""
        row = self.row
        ended = row.ended_by is not None
        unconfirmed = self._unconfirmed or (row.state is ExperimentState.STOPPING and not self._workers_ended)
        failed = row.ended_by in stopping.FAILURE_CODES or (row.finished > 0 and row.failed == row.finished)
        state = experiment_state(
            row.desired,
            live=row.live_attempts > 0
            or (row.ending and (unconfirmed or row.open > 0)),  # what is open is cancelled first
            ended=ended,
            failed=failed,
            started=row.started_at is not None,
        )
        if state is ExperimentState.STOPPED and row.reason is None:
            row.reason = Reason(ReasonCode.STOPPED, f"stopped {by(self.actor)}")
        if state.over:
            row.waiting_json = None
            row.finished_at = row.finished_at or self.now
        else:
            row.finished_at = None
        row.state = state

    def close(self) -> None:
        """Write everything."""
        self._derive()
        row = self.row
        if (row.state, row.reason_json) != self._before:
            reason = row.reason
            self.record("experiment_state", {"state": row.state, "reason": reason.to_json() if reason else None})
        self._noticed |= notices.note(self.session, row, self._before[0], self._loaded["best_value"])
        self.session.many(hot.INSERT_SEGMENT, self._segments)
        self.session.many(hot.INSERT_EVENT, self._events)
        if vars(row) != self._loaded:
            experiments.save(self.session, row)

    def announce(self, signals: Signals) -> None:
        """Wake whom this concerns. For once it is committed.

        A change of state or intent concerns everybody. A lease, or a trial that ended, concerns as many of the workers
        that wait as there are leases to give, and no controller but the one that fills the queue; while an experiment
        comes to its end or to rest, the others have something to do after each event.
        """
        row, topics = self.row, []
        moved = any(getattr(row, name) != self._loaded[name] for name in _MOVES)
        if self._events:
            topics += [f"events:{row.id}", EXPERIMENTS]
        if self._segments:
            topics.append(f"logs:{row.id}")
        if moved or self._ordered or (self._events and not row.goes_on):
            topics += [f"work:{row.id}", ACTING]
        elif self._other_workers:
            topics.append(ACTING)
        used = any(getattr(row, name) != self._loaded[name] for name in _USES)
        if moved or (used and (row.id not in signals.without_memory or missing(row) > 0)):
            topics.append(SUGGESTING)
        if self._noticed:
            topics.append(NOTIFYING)
        if topics:
            signals.notify(*topics)
        if self._events and not moved and row.leasable:
            signals.offer(f"work:{row.id}", row.leasable)


@contextmanager
def locked(core: Core, experiment: str, actor: str = "server") -> Iterator[Ledger]:
    """The ledger of an experiment (by id) in a transaction of its own; waiters are woken after the commit."""
    undone = ExitStack()
    with undone, core.store.transaction() as session:
        ledger = Ledger(session, experiments.lock(session, experiment), actor)
        undone.push(ledger.undone)
        yield ledger
        ledger.close()
    ledger.announce(core.signals)
