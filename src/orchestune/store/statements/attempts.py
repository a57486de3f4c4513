"""Statements about attempts: leased, started, stopped and ended, with their resource usage."""

from __future__ import annotations

from msgspec import Struct

from orchestune.domain.lifecycle.states import AttemptState, FoldState, TrialState
from orchestune.store.rows import Query

INSERT_ATTEMPT = """
INSERT INTO attempts (id, experiment, trial, fold, attempt_number, state, worker, lease_call, node, gpus, leased_at,
raised_memory, resumed_from) VALUES (:id, :experiment, :trial, :fold, :lease_token, :state, :worker, :lease_call, :node,
:gpus, :leased_at, :raised_memory, :resumed_from)
"""


class WorkerLease(Struct, frozen=True, gc=False):
    """The lease of a live attempt."""

    id: str
    stop_order: str | None
    """the state in which the attempt is to end, if it was ordered to stop"""
    lease_call: int
    """number of the worker's call to which the lease was the response"""
    reason: str | None


SELECT_LIVE_OF_WORKER = Query(
    WorkerLease,
    """
SELECT id, stop_order, lease_call, reason FROM attempts WHERE worker = :worker AND state IN ('leased', 'running')
""",
)


# Lookup tables: `AttemptState(value)` takes ten times as long.
_ATTEMPT_STATES = {each.value: each for each in AttemptState}
_FOLD_STATES = {each.value: each for each in FoldState}
_TRIAL_STATES = {each.value: each for each in TrialState}


class AttemptInTrial(Struct, gc=False):
    """An attempt with the state of its fold and of its trial."""

    state: AttemptState
    attempt_number: int
    """the fold's `lease_token` when the attempt was leased"""
    trial: int
    fold: int
    stop_order: str | None
    point_count: int
    log_end: int
    """bytes of the log received so far"""
    started_at: float | None
    worker: str
    reason: str | None
    resumed_from: str | None
    non_finite: str | None
    fold_state: FoldState
    lease_token: int
    """number of leases of the fold so far"""
    failures: int
    """failed attempts of the fold that count towards `retry`"""
    trial_state: TrialState
    lost_attempts: int
    is_isolated: bool

    def __post_init__(self) -> None:
        self.state = _ATTEMPT_STATES[self.state]
        self.fold_state, self.trial_state = _FOLD_STATES[self.fold_state], _TRIAL_STATES[self.trial_state]

    @property
    def accepts_result(self) -> bool:
        """True if a report of its end counts: it is live, or it is lost and its fold has not been leased again."""
        lost = self.state is AttemptState.LOST and self.lease_token == self.attempt_number
        return self.state.live or (lost and self.fold_state is FoldState.PENDING)


SELECT_ATTEMPT = Query(
    AttemptInTrial,
    """
SELECT a.state, a.attempt_number, a.trial, a.fold, a.stop_order, a.point_count, a.log_end, a.started_at, a.worker,
a.reason, a.resumed_from, a.non_finite, f.state AS fold_state, f.lease_token, f.failures, t.state AS trial_state,
t.lost_attempts, t.is_isolated
FROM attempts a JOIN folds f ON f.experiment = a.experiment AND f.trial = a.trial AND f.fold = a.fold
JOIN trials t ON t.experiment = a.experiment AND t.number = a.trial
WHERE a.id = :id AND a.experiment = :experiment
""",
)


class EndOfAttempt(Struct, gc=False):
    """How an attempt ended, and the newest checkpoint of its fold, as JSON."""

    id: str
    state: AttemptState
    reason: str | None
    started_at: float | None
    finished_at: float | None
    checkpoint: str | None

    def __post_init__(self) -> None:
        self.state = _ATTEMPT_STATES[self.state]


NEWEST_OF_FOLD = Query(
    EndOfAttempt,
    """
SELECT a.id, a.state, a.reason, a.started_at, a.finished_at, f.checkpoint
FROM attempts a JOIN folds f ON f.experiment = a.experiment AND f.trial = a.trial AND f.fold = a.fold
WHERE a.experiment = :experiment AND a.trial = :trial AND a.fold = :fold
ORDER BY a.attempt_number DESC LIMIT :limit
""",
)


class NonFiniteValues(Struct, frozen=True, gc=False):
    """The last values of an attempt's metrics that are NaN or infinite, as JSON."""

    non_finite: str | None


SELECT_NON_FINITE = Query(NonFiniteValues, "SELECT non_finite FROM attempts WHERE id = :id")
SET_NON_FINITE = "UPDATE attempts SET non_finite = :values WHERE id = :id"


class ResumedCheckpoint(Struct, frozen=True, gc=False):
    """The checkpoint from which an attempt resumed, as JSON: `{attempt, step}`."""

    resumed_from: str | None


SELECT_RESUMED_FROM = Query(
    ResumedCheckpoint, "SELECT resumed_from FROM attempts WHERE id = :id AND experiment = :experiment"
)
START_ATTEMPT = "UPDATE attempts SET state = :state, started_at = :started_at WHERE id = :id AND state = :old"
END_ATTEMPT = """
UPDATE attempts SET state = :state, reason = :reason, exit_code = :exit_code, signal = :signal,
started_at = COALESCE(started_at, :started_at), finished_at = :now, wall_seconds = :wall, cpu_seconds = :cpu,
peak_memory = :memory, log_bytes = :log_bytes, log_end = :log_end, log_tail = :tail, files_state = :files_state,
files_message = :files_message WHERE id = :id AND state = :old
"""
SET_LOG_END = "UPDATE attempts SET log_end = :log_end WHERE id = :id"
RECORD_LATE_END = """
UPDATE attempts SET exit_code = :exit_code, signal = :signal, wall_seconds = :wall, cpu_seconds = :cpu,
peak_memory = :memory, log_bytes = :log_bytes, log_end = :log_end, log_tail = :tail WHERE id = :id
"""
ADD_POINTS = "UPDATE attempts SET point_count = point_count + :count WHERE id = :id"
SELECT_USAGE = Query(str, "SELECT samples FROM usage WHERE attempt = :attempt")
UPSERT_USAGE = """
INSERT INTO usage (attempt, experiment, samples) VALUES (:attempt, :experiment, :samples)
ON CONFLICT (attempt) DO UPDATE SET samples = excluded.samples
"""
ORDER_PRUNE = """
UPDATE attempts SET stop_order = 'pruned', reason = :reason WHERE id = :id AND stop_order IS NULL
AND state IN ('leased', 'running')
"""
