"""A locked experiment: the lock that each change takes, and the ledger that collects the changes until the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from orchestune.domain.lifecycle.states import Desired, ExperimentState, Reason, ReasonCode
from orchestune.domain.lifecycle.transitions import experiment_state
from orchestune.domain.search.space import key
from orchestune.domain.specification import stopping
from orchestune.domain.specification.metrics import objectives
from orchestune.services.actors import by
from orchestune.services.core import Core
from orchestune.services.execution import notifications
from orchestune.services.execution.prefetch import missing
from orchestune.services.memory import estimates
from orchestune.services.memory.signals import ACTING, EXPERIMENTS, NOTIFYING, SUGGESTING, Signals
from orchestune.store import experiments, trials
from orchestune.store.experiments import ExperimentRow
from orchestune.store.log_compression import packed
from orchestune.store.session import Session
from orchestune.store.statements.journal import DELETE_REPEATED_EVENTS, INSERT_EVENT, INSERT_SEGMENT

_STATE_FIELDS = ("desired", "state", "ended_by", "reason_json", "budget", "parallelism", "priority")
# A worker can repeat some events without end, such as reported metrics and published checkpoints. An experiment keeps
# those among its last 100,000 events, about 20 MB.
MAX_EVENTS = 100_000
_QUEUE_FIELDS = ("last_trial", "queued", "running", "pending_folds", "history_seq")


class Ledger:
    """The ledger of one transaction: the locked row of an experiment, and its new events and log segments.

    Callers change `row` and use the functions in `trials` and `attempts`; `close` derives the state and writes row,
    events and segments at once.
    """

    def __init__(self, session: Session, row: ExperimentRow, actor: str) -> None:
        self.session = session
        self.row = row
        self.actor = actor
        self.now = session.now
        self.to_be_cancelled = False
        """True if the experiment ended with open trials; if the caller does not cancel them, `Finishing` does"""
        self._before = (row.state, row.reason_json)
        self._loaded = vars(row).copy()
        self._events: list[dict[str, Any]] = []
        self._segments: list[dict[str, Any]] = []
        self._unconfirmed = False
        self._other_workers = False
        self._workers_ended = False
        self._has_stop_order = False
        self._noticed = False
        self._on_rollback: list[Callable[[], None]] = []
        self._changed = False
        """True if `close` has written the row"""

    def record(self, kind: str, data: Mapping[str, Any], actor: str | None = None) -> None:
        """Add an event; the experiment's `event_seq` is the number of the last one."""
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
        """Add a segment of an attempt's log. The caller ensures that it is new."""
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
                "data": packed(data),
            }
        )

    def progress(self, incumbent: stopping.Incumbent | None) -> stopping.SearchProgress:
        """Return the input of the stop rules; `incumbent`: the best trial if it has not the best value."""
        row = self.row
        exhausted = bool(row.is_exhausted) or self._all_tried()
        progress = stopping.SearchProgress(
            budget=row.budget,
            finished=row.finished,
            completed=row.completed,
            failed=row.failed,
            open=row.open,
            best_value=row.best_value,
            since_best=row.trials_since_best,
            front=len(objectives(row.specification.metrics)) > 1,
            seconds=row.seconds_active(self.now),
            exhausted=exhausted,
            size=row.specification.space.size() if exhausted else 0,
            is_best_uncertain=incumbent is None
            and row.specification.stop.depend_on_best
            and estimates.is_best_uncertain(self.session, row),
        )
        if incumbent is None:
            return progress
        return replace(progress, best_value=incumbent.value, since_best=row.finished - incumbent.finished)

    def _all_tried(self) -> bool:
        """Return True if the budget is used up and the space too, so that a larger budget would find nothing new."""
        row = self.row
        if row.finished < row.budget:
            return False
        size = row.specification.space.size()
        return size <= row.budget and len(set(map(key, trials.configurations(self.session, row.id)))) >= size

    def evaluate(self, incumbent: stopping.Incumbent | None = None) -> None:
        """Apply the stop rules: end the experiment if one holds, let it continue if none holds any more.

        An end decided by the best value stands while noise makes that value uncertain: only the controller that passes
        `incumbent` can revert it.
        """
        row = self.row
        specification = row.specification
        progress = self.progress(incumbent)
        reason = stopping.ended(progress, specification.stop, specification.objective)
        if reason is None:
            if progress.is_best_uncertain and row.ended_by in stopping.BEST_DEPENDENT_CODES:
                return
            if row.ended_by is not None:
                row.ended_by, row.reason = None, None
            return
        if reason.code is ReasonCode.EXHAUSTED:
            row.is_exhausted = True  # a larger budget does not change that
        row.ended_by = reason.code.value
        if reason.code is not ReasonCode.BUDGET or not self._has_identical_metrics():
            row.reason = reason
        self.to_be_cancelled = row.open > 0

    def _has_identical_metrics(self) -> bool:
        """Return True if a guard paused the experiment for that, and the trials that were running changed nothing."""
        row = self.row
        was_paused = row.reason is not None and row.reason.code is ReasonCode.IDENTICAL_METRICS
        return was_paused and row.identical_count == row.completed

    def pause(self, reason: Reason) -> None:
        """Pause the experiment for a reason that `resume` waives."""
        if self.row.can_start_trials:
            self.row.desired, self.row.reason = Desired.PAUSED, reason

    def note_stop_order(self) -> None:
        """Note a pending stop order: `announce` wakes the workers in long polls for it."""
        self._has_stop_order = True

    def note_stuck(self, seconds: float, hooks: Sequence[str]) -> None:
        """Notify these hooks that the experiment made no progress for `seconds`."""
        self.record("experiment_stuck", {"seconds": seconds})
        notifications.note_stuck(self.session, self.row, seconds, hooks)
        self._noticed = True

    def on_rollback(self, action: Callable[[], None]) -> None:
        """Register an action for a rollback, for example to evict in-memory state derived from this transaction."""
        self._on_rollback.append(action)

    def rolled_back(self, *error: object) -> None:
        """Run the registered actions if the transaction ended with an error. Used as an `__exit__` callback."""
        if error[0] is not None:
            for action in self._on_rollback:
                action()

    def awaits_workers(self) -> None:
        """Keep the experiment stopping until its workers end: processes of cancelled attempts may still run."""
        self._unconfirmed = True

    def needs_other_workers(self) -> None:
        """Note that a trial is blocked on a worker of another size than the present ones."""
        self._other_workers = True

    def workers_ended(self) -> None:
        """Note that all workers have ended, so that a stopping experiment is over."""
        self._workers_ended = True

    def _derive(self) -> None:
        """Derive `state` from the desired state and the counters."""
        row = self.row
        ended = row.ended_by is not None
        unconfirmed = self._unconfirmed or (row.state is ExperimentState.STOPPING and not self._workers_ended)
        failed = row.ended_by in stopping.FAILURE_CODES or (row.finished > 0 and row.failed == row.finished)
        state = experiment_state(
            row.desired,
            live=row.live_attempts > 0
            or (row.ending and (unconfirmed or row.open > 0)),  # open trials are cancelled first
            ended=ended,
            failed=failed,
            started=row.started_at is not None,
        )
        if state is ExperimentState.STOPPED and row.reason is None:
            row.reason = Reason(ReasonCode.STOPPED, f"stopped {by(self.actor)}")
        if state.over:
            row.waiting_json = None
            row.finished_at = row.finished_at or self.now
        elif row.finished_at is not None:  # it runs again
            row.idle_seconds += max(self.now - row.finished_at, 0.0) if row.started_at is not None else 0.0
            row.finished_at = None
        row.state = state

    def close(self) -> None:
        """Derive the state and write all changes."""
        self._derive()
        row = self.row
        if (row.state, row.reason_json) != self._before:
            reason = row.reason
            self.record("experiment_state", {"state": row.state, "reason": reason.to_json() if reason else None})
        self._noticed |= notifications.note(self.session, row, self._before[0], self._loaded["best_value"])
        self.session.many(INSERT_SEGMENT, self._segments)
        self.session.many(INSERT_EVENT, self._events)
        if self._events and row.event_seq > MAX_EVENTS:
            # those before `after` are deleted already: the statement never scans the events that stay
            after, upto = (seq - MAX_EVENTS for seq in (self._loaded["event_seq"], row.event_seq))
            self.session.run(DELETE_REPEATED_EVENTS, {"experiment": row.id, "after": after, "upto": upto})
        self._changed = vars(row) != self._loaded
        if self._changed:
            experiments.save(self.session, row)

    def announce(self, signals: Signals) -> None:
        """Wake waiting workers, clients and controllers. Call after the commit.

        A change of state or desired state wakes all of them. A lease or an ended trial wakes only as many waiting
        workers as there are leases available, and only the controller that fills the queue; while an experiment ends
        or pauses, the other controllers have work after each event.
        """
        row, topics = self.row, []
        moved = self._changed and any(getattr(row, name) != self._loaded[name] for name in _STATE_FIELDS)
        if self._events:
            topics += [f"events:{row.id}", EXPERIMENTS]
        if self._segments or moved:  # a stream of logs ends with the experiment, also if that prints nothing at its end
            topics.append(f"logs:{row.id}")
        if moved or self._has_stop_order or (self._events and not row.can_start_trials):
            topics += [f"work:{row.id}", ACTING]
        elif self._other_workers:
            topics.append(ACTING)
        used = self._changed and any(getattr(row, name) != self._loaded[name] for name in _QUEUE_FIELDS)
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
    """Yield the ledger of an experiment (by id) in a new transaction; wake waiters after the commit."""
    rollback = ExitStack()
    with rollback, core.store.transaction() as session:
        ledger = Ledger(session, experiments.lock(session, experiment), actor)
        rollback.push(ledger.rolled_back)
        yield ledger
        ledger.close()
    ledger.announce(core.signals)
