"""Prefetches a few suggestions, so that workers do not wait for an engine and no suggestion becomes stale.

This controller is alone in its loop and may block only on the engine process and the store: workers wait for it. If the
engine process dies, the next tick opens the engine again and feeds it the whole history (`_drop`).
"""

from __future__ import annotations

import json
import logging
import math
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from orchestune.controllers.isolated_jobs import each
from orchestune.domain.lifecycle.states import Reason, ReasonCode
from orchestune.domain.search.space import Configuration
from orchestune.domain.search.trial import ask_seed
from orchestune.errors import OrchestuneError, StoreUnavailable, TemporaryError
from orchestune.ports.engine import Engine, EnginesCrowded, Exhausted, StillLooking
from orchestune.services import read_history
from orchestune.services.core import Core
from orchestune.services.execution import trials
from orchestune.services.execution.locked_experiment import locked
from orchestune.services.execution.prefetch import has_room, missing, most_queued, trials_for
from orchestune.services.execution.trials import SuggestedTrial
from orchestune.services.memory.signals import SUGGESTING
from orchestune.store import experiment_lists, experiments, workers
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session
from orchestune.store.statements.history import UNFINISHED
from orchestune.store.trials import tried_first
from orchestune.system.isolation import failure_of

log = logging.getLogger(__name__)

EngineFactory = Callable[[ExperimentRow], Engine]
_EMPTY_PROBABILITY = 0.01
"""accepted probability that a worker finds no suggestion ready"""
_RUNNING_PER_SUGGESTION = 8
"""running trials per suggestion prefetched to reach that probability: limits the share of stale suggestions"""
_MAX_TASKS = 5000  # rows of one transaction: about 0.2 s, in which no worker's report can be stored
_QUICK_SECONDS = 0.5
"""upper bound of a turn that needs no rest"""
_TURN_SECONDS = 0.1
"""seconds for the suggestions of one experiment before the next one has its turn"""
_MAX_LOSSES = 5
"""times that the engine process may end at the same experiment in a row: all experiments share it"""


@dataclass
class _Open:
    """An engine, fed with `warm` results of a warm start and then with the history up to `fed`."""

    engine: Engine
    revision: int
    warm: int
    fed: int = 0
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=8))
    """durations of the last asks"""
    history: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=8))
    """(time, finished trials): the rate at which suggestions are consumed"""


class Suggesting:
    """Asks engines and queues their suggestions. Runs in its own thread; owns the engines."""

    def __init__(self, core: Core, make_engine: EngineFactory) -> None:
        self._core = core
        self._make = make_engine
        self._open: dict[str, _Open] = {}
        self._tried_first: set[str] = set()
        """experiments whose `try_first` configurations have all been queued"""
        self._losses: Counter[str] = Counter()
        """times in a row that the engine process was lost at an experiment"""
        self._slow_at: dict[str, float] = {}
        """when slow experiments had their last turns: the one that waits longest is the next"""
        self._rests_until: dict[str | None, float] = {}
        """principal → end of the rest after a slow turn; names that are only claimed are one principal, None"""
        self._had_slow_turn = False
        """True if this tick had one: all but quick engines wait for the next tick"""

    def tick(self) -> None:
        """Fill the queue of every experiment. Raises StoreUnavailable at the end if the store failed for any."""
        with self._core.store.reading() as session:
            rows = experiment_lists.unfinished(session)
        unfinished = {row.id for row in rows}
        self._tried_first &= unfinished
        for finished in self._losses.keys() - unfinished:
            del self._losses[finished]
        for finished in self._open.keys() - unfinished:
            self._drop(finished)
        waiting = [row for row in rows if row.can_start_trials and row.unsuggested]
        self._slow_at = {experiment: at for experiment, at in self._slow_at.items() if experiment in unfinished}
        waiting.sort(key=lambda row: (-row.priority, self._slow_at.get(row.id, -math.inf)))
        is_shared = len({row.principal for row in waiting}) > 1
        self._had_slow_turn = False
        each(partial(self._turn if is_shared else self._experiment, row) for row in waiting)
        if self._had_slow_turn:
            self._core.signals.notify(SUGGESTING)

    def close(self) -> None:
        """Close all engines."""
        for experiment in [*self._open]:
            self._drop(experiment)

    def _turn(self, row: ExperimentRow) -> None:
        """Process an experiment, unless it may take long and its principal rests or the tick had a slow turn already.

        One request to an engine may take many seconds: with a thousand parameters, or with hundreds of metrics. After
        that, the principal's experiments rest as long, except quick ones, if others have experiments that wait. Quick
        ones have a turn between any two slow ones, of whichever principals.
        """
        clock = self._core.clock
        began = clock.monotonic()
        must_wait = self._had_slow_turn or began < self._rests_until.get(row.principal, -math.inf)
        if must_wait and not self._is_quick(row):
            return
        try:
            self._experiment(row)
        finally:
            ended = clock.monotonic()
            if ended - began > _QUICK_SECONDS:
                self._had_slow_turn = True
                self._slow_at[row.id] = ended
                self._rests_until = {whose: until for whose, until in self._rests_until.items() if until > ended}
                self._rests_until[row.principal] = ended + (ended - began)

    def _is_quick(self, row: ExperimentRow) -> bool:
        """Return True if the engine is known to answer at once."""
        opened = self._open.get(row.id)
        if opened is None:
            return False
        return not opened.engine.uses_history or max(opened.seconds, default=math.inf) <= _QUICK_SECONDS

    def _experiment(self, row: ExperimentRow) -> None:
        error = failure_of(partial(self._fill, row))
        if isinstance(error, EnginesCrowded):  # the next process has this engine first, which is then alone
            self._drop(row.id)
            error = failure_of(partial(self._fill, row))
        if error is None:
            self._losses.pop(row.id, None)
        elif isinstance(error, StoreUnavailable):
            self._drop(row.id)  # rebuilt from the rows at the next tick
            raise error
        elif isinstance(error, TemporaryError):  # the engine's process died
            self._losses[row.id] += 1
            if self._losses[row.id] >= _MAX_LOSSES:
                del self._losses[row.id]
                self._engine_failed(row, f"{error}, {_MAX_LOSSES} times in a row")
                return
            log.warning("%s: %s; recreating the engine", row.handle, error)
            self._drop(row.id)
        elif isinstance(error, OrchestuneError):
            self._engine_failed(row, f"{error}; {error.hint}" if error.hint else str(error))
        else:  # of a third-party library, which may raise anything
            log.error("the engine of %s failed", row.handle, exc_info=error)
            self._engine_failed(row, f"{type(error).__name__}: {error}")

    def _engine_failed(self, row: ExperimentRow, text: str) -> None:
        self._drop(row.id)
        with locked(self._core, row.id) as ledger:
            ledger.row.awaits_suggestion = False
            ledger.pause(Reason(ReasonCode.ENGINE_FAILED, f"the engine {row.specification.engine} failed: {text}"))

    def _drop(self, experiment: str) -> None:
        self._core.signals.without_memory.discard(experiment)
        opened = self._open.pop(experiment, None)
        if opened is not None:
            opened.engine.close()

    def _fill(self, row: ExperimentRow) -> None:
        if first := self._first(row):
            if not has_room(row):
                return  # the others are queued once some of these have started
            batch = _trials_at_once(row)
            self._queue(row, first[:batch])
            if len(first) > batch:
                self._core.signals.notify(SUGGESTING)
            return
        opened = self._engine(row)
        if not opened.engine.uses_history and missing(row) <= 0:
            return
        with self._core.store.reading() as session:
            row = experiments.get(session, row.id)
            missing_count = min(self._missing_count(session, row, opened), most_queued(row) - row.queued)
            if missing_count <= 0:
                return
            pending = {
                trial.number: json.loads(trial.parameters) for trial in session.rows(UNFINISHED, {"experiment": row.id})
            }
        self._tell_history(row, opened)
        self._ask(row, opened, pending, missing_count)

    def _tell_history(self, row: ExperimentRow, opened: _Open) -> None:
        """Tell the engine the results that it lacks, by pages: those of a long history together would take memory."""
        while opened.fed < row.history_seq:
            with self._core.store.reading() as session:
                observations, position = read_history.page(session, row, opened.fed)
            opened.engine.tell(observations)
            opened.fed = position if observations else row.history_seq

    def _first(self, row: ExperimentRow) -> list[SuggestedTrial]:
        """Return the `try_first` configurations not queued yet."""
        first = row.specification.try_first
        if not first or row.id in self._tried_first:
            return []
        with self._core.store.reading() as session:
            remaining = first[tried_first(session, row.id) :]
        if not remaining:
            self._tried_first.add(row.id)
        return [SuggestedTrial(values, "try_first") for values in remaining]

    def _ask(self, row: ExperimentRow, opened: _Open, pending: dict[int, Configuration], count: int) -> None:
        clock = self._core.clock
        suggestions: list[SuggestedTrial] = []
        start = clock.monotonic()
        for number in range(row.last_trial + 1, row.last_trial + 1 + count):
            began = clock.monotonic()
            try:
                configuration = opened.engine.ask(
                    list(pending.values()), number, ask_seed(row.specification.seed, number)
                )
            except Exhausted:
                if not suggestions:
                    self._exhausted(row)
                break
            except StillLooking:
                if not suggestions:
                    self._ask_again_later(row)
                break
            opened.seconds.append(clock.monotonic() - began)
            pending[number] = configuration
            suggestions.append(
                SuggestedTrial(configuration, opened.engine.source, opened.engine.version, opened.warm + opened.fed)
            )
            if opened.engine.uses_history:
                break  # one at a time: more results may have arrived before the next ask
            if clock.monotonic() - start > _TURN_SECONDS or len(suggestions) >= _trials_at_once(row):
                self._core.signals.notify(SUGGESTING)
                break
        if suggestions:
            self._queue(row, suggestions)

    def _engine(self, row: ExperimentRow) -> _Open:
        opened = self._open.get(row.id)
        if opened is None or opened.revision != row.revision:
            self._drop(row.id)
            with self._core.store.reading() as session:
                warm = read_history.warm_start(session, row)
            opened = self._open[row.id] = _Open(self._make(row), row.revision, len(warm))
            if not opened.engine.uses_history:
                self._core.signals.without_memory.add(row.id)
            opened.engine.tell(warm)
        return opened

    def _missing_count(self, session: Session, row: ExperimentRow, opened: _Open) -> int:
        """Return how many suggestions the queue lacks now."""
        remaining = row.unsuggested
        if not row.can_start_trials:
            return 0
        if row.parallelism == 1 and opened.engine.uses_history:
            return min(remaining, 1 - row.open)
        if not opened.engine.uses_history:
            return min(remaining, missing(row))
        if row.history_seq == 0:  # no results yet: no suggestion can become stale
            return min(remaining, trials_for(row, row.parallelism - row.live_attempts - row.pending_folds))
        slots = workers.present_slots(session, row.id)
        free = max(min(slots, row.parallelism) - row.live_attempts - row.unqueued, 0)
        return min(remaining, trials_for(row, free) + self._standby(row, opened) - row.queued)

    def _standby(self, row: ExperimentRow, opened: _Open) -> int:
        """Return how many suggestions to prefetch so that the queue is seldom empty while the engine is busy."""
        opened.history.append((self._core.clock.monotonic(), row.finished))
        (start, before), (now, finished) = opened.history[0], opened.history[-1]
        pace = (finished - before) / (now - start) if now > start else 0.0
        return standby(pace * max(opened.seconds, default=0.0), row.parallelism)

    def _queue(self, row: ExperimentRow, suggestions: list[SuggestedTrial]) -> None:
        """Queue the suggestions if the experiment has not changed since the ask; otherwise the next tick asks again."""
        with locked(self._core, row.id) as ledger:
            now = ledger.row
            if now.last_trial != row.last_trial or now.revision != row.revision or not now.can_start_trials:
                return
            now.awaits_suggestion = False
            trials.queue(ledger, suggestions[: now.unsuggested])

    def _exhausted(self, row: ExperimentRow) -> None:
        with locked(self._core, row.id) as ledger:
            ledger.row.awaits_suggestion, ledger.row.is_exhausted = False, True
            ledger.evaluate()

    def _ask_again_later(self, row: ExperimentRow) -> None:
        """Schedule another ask after the other experiments have had their turns."""
        if not row.awaits_suggestion:
            with locked(self._core, row.id) as ledger:
                ledger.row.awaits_suggestion = True
        self._core.signals.notify(SUGGESTING)


def _trials_at_once(row: ExperimentRow) -> int:
    """Return how many trials one transaction queues: each has a task for each fold."""
    return max(1, _MAX_TASKS // row.specification.folds.count)


def standby(used: float, parallelism: int) -> int:
    """Return how many suggestions to prefetch if `used` of them are consumed while one is computed.

    One more than `used` keeps up with the rate. But results arrive in bursts: of a hundred workers one or two a minute
    would still find nothing. A larger stock keeps this below 1 % if arrivals are random (the stock is empty as often as
    a queue with random arrivals has that length). Suggestions in stock become stale, which costs quality if they are
    many relative to the running trials: the upper bound is an eighth of these.
    """
    least = 1 + math.ceil(used)
    calm = math.ceil(math.log(_EMPTY_PROBABILITY) / math.log(used)) if _EMPTY_PROBABILITY < used < 1 else least
    return min(max(least, min(calm, parallelism // _RUNNING_PER_SUGGESTION)), parallelism)
