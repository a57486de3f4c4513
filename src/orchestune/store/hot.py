"""Statements that run for every trial, as strings (see `session`). Updates have the old state as a guard.

`ORDER BY +number` sorts the few selected rows; without the sign SQLite would scan all trials of the experiment, because
the primary key has that order already.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from msgspec import Struct

from orchestune.domain.lifecycle.states import AttemptState, FoldState, TrialState
from orchestune.domain.specification.metrics import Point
from orchestune.store.rows import Query


class CallingWorker(Struct, frozen=True, gc=False):
    """The columns of a worker that its calls need."""

    experiment: str
    name: str
    state: str
    node: str
    slots: int
    boot_id: str | None
    last_call: int
    gpus: str | None
    memory: int
    next_experiment: str | None
    sends_files: bool
    protocol: int | None

    @property
    def assigned_gpus(self) -> tuple[str, ...]:
        """Ids of the GPUs that the server assigned to it."""
        return _gpus(self.gpus)


SELECT_WORKER = Query(
    CallingWorker,
    """
SELECT experiment, name, state, node, slots, boot_id, last_call, gpus, memory, next_experiment, sends_files, protocol
FROM workers WHERE id = :id
""",
)
BEAT_WORKER = """
UPDATE workers SET last_call = :last_call, boot_id = :boot_id, seen_at = :now, succeeded = succeeded + :succeeded,
failed = failed + :failed WHERE id = :id
"""


class PolledWorker(Struct, frozen=True, gc=False):
    """The columns that controllers poll, of a worker that has not ended."""

    id: str
    experiment: str
    name: str
    state: str
    reason: str | None
    node: str
    slots: int
    gpus: str | None
    backend_handle: str | None
    boot_id: str | None
    last_call: int
    memory: int
    """bytes per slot, for trials that need more than the specification requests; 0: as requested there"""
    next_experiment: str | None
    """while it drains: the experiment with which it continues afterwards"""
    sends_files: bool
    """True while files of its trials are being uploaded"""
    phase: str | None
    """while it starts: the last phase that the backend reported, None before the first report"""

    @property
    def assigned_gpus(self) -> tuple[str, ...]:
        """Ids of the GPUs that the server assigned to it."""
        return _gpus(self.gpus)


def _gpus(gpus: str | None) -> tuple[str, ...]:
    return tuple(json.loads(gpus)) if gpus else ()


PRESENT_WORKERS = Query(
    PolledWorker,
    """
SELECT id, experiment, name, state, reason, node, slots, gpus, backend_handle, boot_id, last_call, memory,
next_experiment, sends_files, phase FROM workers
WHERE cluster = :cluster AND state IN ('starting', 'alive', 'draining', 'lost') ORDER BY created_at
""",
)
PRESENT_SLOTS = Query(
    int,
    """
SELECT COALESCE(SUM(slots), 0) FROM workers WHERE experiment = :experiment
AND state IN ('starting', 'alive', 'draining')
""",
)

INSERT_TRIAL = """
INSERT INTO trials (experiment, number, state, parameters, source, engine_version, suggested_after, parent, seed,
bundle, revision, initial_checkpoint, created_at) VALUES (:experiment, :number, :state, :parameters, :source,
:engine_version, :suggested_after, :parent, :seed, :bundle, :revision, :checkpoint, :created_at)
"""
INSERT_FOLD = "INSERT INTO folds (experiment, trial, fold, state) VALUES (:experiment, :trial, :fold, :state)"
START_TRIAL = """
UPDATE trials SET state = :state, started_at = COALESCE(started_at, :now) WHERE experiment = :experiment
AND number = :number AND state = :old
"""
FINISH_TRIAL = """
UPDATE trials SET state = :state, reason = :reason, history_seq = :history_seq, finished_at = :now
WHERE experiment = :experiment AND number = :number AND state = :old
"""
REQUEUE_TRIAL = """
UPDATE trials SET state = :state, lost_attempts = :lost_attempts, is_isolated = :is_isolated
WHERE experiment = :experiment AND number = :number AND state = :old
"""
INSERT_METRIC = """
INSERT INTO trial_metrics (experiment, trial, name, value, stddev, is_declared) VALUES (:experiment, :trial, :name,
:value, :stddev, :is_declared) ON CONFLICT DO NOTHING
"""
IS_NOISY = Query(
    int,
    """
SELECT 1 AS is_noisy FROM trial_metrics WHERE experiment = :experiment AND trial = :trial AND name = :name
AND stddev > 0
""",
)


class PendingFold(Struct, frozen=True, gc=False):
    """A fold that can be leased, with its trial."""

    trial: int
    fold: int
    lease_token: int
    is_isolated: bool
    trial_state: str
    parameters: str
    seed: int
    bundle: str | None
    revision: int
    checkpoint: str | None


PENDING_FOLDS = Query(
    PendingFold,
    """
SELECT t.trial, t.fold, t.lease_token, t.is_isolated, r.state AS trial_state, r.parameters, r.seed, r.bundle,
r.revision, COALESCE(t.checkpoint, r.initial_checkpoint) AS checkpoint
FROM folds t JOIN trials r ON r.experiment = t.experiment AND r.number = t.trial
WHERE t.experiment = :experiment AND t.state = 'pending'
AND (t.not_before <= :now OR t.not_before > :farthest) AND t.memory = :memory
ORDER BY t.is_isolated, t.trial, t.fold LIMIT :limit
""",
)
LEASE_FOLD = """
UPDATE folds SET state = :state, lease_token = :lease_token WHERE experiment = :experiment AND trial = :trial
AND fold = :fold AND state = :old
"""
MEASURE_FOLD = """
UPDATE folds SET metrics = :metrics WHERE experiment = :experiment AND trial = :trial AND fold = :fold
"""


class FoldOfTrial(Struct, frozen=True, gc=False):
    """One fold of a trial. `metrics`: JSON, once it is done."""

    fold: int
    state: str
    metrics: str | None


FOLDS_OF_TRIAL = Query(
    FoldOfTrial,
    "SELECT fold, state, metrics FROM folds WHERE experiment = :experiment AND trial = :trial ORDER BY fold",
)
PUBLISH_CHECKPOINT = """
UPDATE folds SET checkpoint = :checkpoint WHERE experiment = :experiment AND trial = :trial AND fold = :fold
"""
CHANGE_FOLD = """
UPDATE folds SET state = :state, not_before = :not_before, failures = :failures, is_isolated = :is_isolated
WHERE experiment = :experiment AND trial = :trial AND fold = :fold AND state = :old
"""
RAISE_MEMORY = """
UPDATE folds SET memory = :memory, memory_raises = memory_raises + 1 WHERE experiment = :experiment AND trial = :trial
AND fold = :fold
"""
MEMORY_RAISES = Query(
    int, "SELECT memory_raises FROM folds WHERE experiment = :experiment AND trial = :trial AND fold = :fold"
)


class FoldsByMemory(Struct, frozen=True, gc=False):
    """Number of folds that need `memory` bytes."""

    memory: int
    active: int
    open: int


WITH_MORE_MEMORY = Query(
    FoldsByMemory,
    """
SELECT memory, SUM(CASE WHEN state = 'active' THEN 1 ELSE 0 END) AS active, COUNT(*) AS open FROM folds
WHERE experiment = :experiment AND state IN ('pending', 'active') AND memory > 0 GROUP BY memory ORDER BY memory DESC
""",
)

INSERT_ATTEMPT = """
INSERT INTO attempts (id, experiment, trial, fold, attempt_number, state, worker, lease_call, node, gpus, leased_at,
raised_memory, resumed_from) VALUES (:id, :experiment, :trial, :fold, :lease_token, :state, :worker, :lease_call, :node,
:gpus, :leased_at, :raised_memory, :resumed_from)
"""


class WorkerLease(Struct, frozen=True, gc=False):
    """The lease of a live attempt. `stop_order`: the state in which a stop order requests the attempt to end."""

    id: str
    stop_order: str | None
    lease_call: int
    reason: str | None


LIVE_OF_WORKER = Query(
    WorkerLease,
    """
SELECT id, stop_order, lease_call, reason FROM attempts WHERE worker = :worker AND state IN ('leased', 'running')
""",
)


class AttemptInTrial(Struct, gc=False):
    """An attempt with the state of its fold and of its trial."""

    state: AttemptState
    attempt_number: int
    trial: int
    fold: int
    stop_order: str | None
    point_count: int
    log_end: int
    started_at: float | None
    worker: str
    reason: str | None
    resumed_from: str | None
    non_finite: str | None
    fold_state: FoldState
    lease_token: int
    failures: int
    trial_state: TrialState
    lost_attempts: int
    is_isolated: bool

    def __post_init__(self) -> None:
        self.state = AttemptState(self.state)
        self.fold_state = FoldState(self.fold_state)
        self.trial_state = TrialState(self.trial_state)

    @property
    def open(self) -> bool:
        """True if a report of its end counts: it is live, or it is lost and its fold has not been leased again."""
        lost = self.state is AttemptState.LOST and self.lease_token == self.attempt_number
        return self.state.live or (lost and self.fold_state is FoldState.PENDING)


SELECT_ATTEMPT = Query(
    AttemptInTrial,
    """
SELECT a.state, a.attempt_number, a.trial, a.fold, a.stop_order, a.point_count, a.log_end, a.started_at, a.worker,
a.reason, a.resumed_from, a.non_finite, t.state AS fold_state, t.lease_token, t.failures, r.state AS trial_state,
r.lost_attempts, r.is_isolated
FROM attempts a JOIN folds t ON t.experiment = a.experiment AND t.trial = a.trial AND t.fold = a.fold
JOIN trials r ON r.experiment = a.experiment AND r.number = a.trial
WHERE a.id = :id AND a.experiment = :experiment
""",
)


class NotFinite(Struct, frozen=True, gc=False):
    """The last values of an attempt's metrics that are NaN or infinite, as JSON."""

    non_finite: str | None


NOT_FINITE = Query(NotFinite, "SELECT non_finite FROM attempts WHERE id = :id")
NOTE_NOT_FINITE = "UPDATE attempts SET non_finite = :values WHERE id = :id"


class ResumedCheckpoint(Struct, frozen=True, gc=False):
    """The checkpoint from which an attempt resumed, as JSON: `{attempt, step}`."""

    resumed_from: str | None


RESUMED_FROM = Query(ResumedCheckpoint, "SELECT resumed_from FROM attempts WHERE id = :id AND experiment = :experiment")
START_ATTEMPT = "UPDATE attempts SET state = :state, started_at = :started_at WHERE id = :id AND state = :old"
END_ATTEMPT = """
UPDATE attempts SET state = :state, reason = :reason, exit_code = :exit_code, signal = :signal,
started_at = COALESCE(started_at, :started_at), finished_at = :now, wall_seconds = :wall, cpu_seconds = :cpu,
peak_memory = :memory, log_bytes = :log_bytes, log_end = :log_end, log_tail = :tail, files_state = :files_state,
files_message = :files_message WHERE id = :id AND state = :old
"""
GROW_LOG = "UPDATE attempts SET log_end = :log_end WHERE id = :id"
CLOSE_ATTEMPT = """
UPDATE attempts SET exit_code = :exit_code, signal = :signal, wall_seconds = :wall, cpu_seconds = :cpu,
peak_memory = :memory, log_bytes = :log_bytes, log_end = :log_end, log_tail = :tail WHERE id = :id
"""
GROW_POINTS = "UPDATE attempts SET point_count = point_count + :count WHERE id = :id"

INSERT_POINT = """
INSERT INTO points (attempt, name, sequence, value, step, stddev, at) VALUES (:attempt, :name, :sequence, :value,
:step, :stddev, :at) ON CONFLICT DO NOTHING
"""


class ReportedName(Struct, frozen=True, gc=False):
    """A metric that an attempt reported, with the sequence numbers of its first and its last point."""

    name: str
    first: int
    last: int


REPORTED_NAMES = Query(
    ReportedName,
    """
SELECT name, MIN(sequence) AS first, MAX(sequence) AS last FROM points WHERE attempt = :attempt
GROUP BY name ORDER BY name
""",
)
REPORTED = Query(int, "SELECT 1 AS is_reported FROM points WHERE attempt = :attempt AND name = :name LIMIT 1")
# one lookup in the primary key per name, independent of the number of points
COUNT_NAMES = Query(
    int,
    """
WITH RECURSIVE names (name, place) AS (
    SELECT MIN(name), 1 FROM points WHERE attempt = :attempt
    UNION ALL
    SELECT (SELECT MIN(p.name) FROM points p WHERE p.attempt = :attempt AND p.name > n.name), n.place + 1
    FROM names n WHERE n.name IS NOT NULL AND n.place < :most
) SELECT COUNT(name) AS count FROM names
""",
)
_POINTS_WITHIN = """
SELECT name, value, step, stddev, sequence FROM points WHERE attempt = :attempt AND name = :name
AND (step IS NULL OR step <= :upto)"""
LAST_POINTS = Query(Point, f"{_POINTS_WITHIN} ORDER BY sequence DESC LIMIT :count")
HIGHEST_POINT = Query(Point, f"{_POINTS_WITHIN} ORDER BY value DESC, sequence LIMIT 1")
LOWEST_POINT = Query(Point, f"{_POINTS_WITHIN} ORDER BY value, sequence LIMIT 1")


class PointRow(Struct, frozen=True, gc=False):
    """A reported value with the time of its arrival."""

    name: str
    value: float
    step: float | None
    stddev: float | None
    sequence: int
    at: float


SELECT_CURVE = Query(
    PointRow,
    """
SELECT name, value, step, stddev, sequence, at FROM points WHERE attempt = :attempt AND name = :name ORDER BY sequence
""",
)
ANY_BETWEEN = Query(
    int,
    """
SELECT 1 AS is_reported FROM points WHERE attempt = :attempt AND name = :name AND sequence > :after
AND sequence < :before LIMIT 1
""",
)
LAST_STEP_BEYOND = Query(
    float,
    """
SELECT step FROM points WHERE attempt = :attempt AND sequence >= :sequence AND step IS NOT NULL AND at <= :until
ORDER BY sequence DESC LIMIT 1
""",
)
SELECT_USAGE = Query(str, "SELECT samples FROM usage WHERE attempt = :attempt")
PUT_USAGE = """
INSERT INTO usage (attempt, experiment, samples) VALUES (:attempt, :experiment, :samples)
ON CONFLICT (attempt) DO UPDATE SET samples = excluded.samples
"""
LAST_MARK = Query(int, "SELECT COALESCE(MAX(seq), 0) AS seq FROM pruner_observations WHERE experiment = :experiment")
PUT_MARK = """
INSERT INTO pruner_observations (experiment, trial, fold, step, seq, loss, best, mean) VALUES (:experiment, :trial,
:fold, :step, :seq, :loss, :best, :mean) ON CONFLICT (experiment, trial, fold, step) DO UPDATE SET seq = excluded.seq,
loss = excluded.loss, best = excluded.best, mean = excluded.mean
"""


class MarkRow(Struct, frozen=True, gc=False):
    """The losses of a trial when its pruner evaluated it."""

    seq: int
    fold: int
    trial: int
    step: float
    loss: float
    best: float
    mean: float


NEW_MARKS = Query(
    MarkRow,
    """
SELECT seq, fold, trial, step, loss, best, mean FROM pruner_observations WHERE experiment = :experiment
AND seq > :after ORDER BY seq
""",
)


class MarkOfPruned(Struct, frozen=True, gc=False):
    """The loss of a pruned trial when its pruner evaluated it."""

    trial: int
    step: float
    loss: float


LAST_MARKS_OF_PRUNED = Query(
    MarkOfPruned,
    """
SELECT m.trial, m.step, m.loss FROM pruner_observations m
JOIN trials r ON r.experiment = m.experiment AND r.number = m.trial
WHERE m.experiment = :experiment AND r.history_seq > :after AND r.history_seq <= :upto AND r.state = 'pruned'
ORDER BY m.trial, m.step, m.fold
""",
)


class EndedTrial(Struct, frozen=True, gc=False):
    """A finished trial, with its place in the history."""

    number: int
    state: str
    history_seq: int


ENDS = Query(
    EndedTrial,
    """
SELECT number, state, history_seq FROM trials WHERE experiment = :experiment AND history_seq > :after
ORDER BY history_seq
""",
)
ORDER_PRUNE = """
UPDATE attempts SET stop_order = 'pruned', reason = :reason WHERE id = :id AND stop_order IS NULL
AND state IN ('leased', 'running')
"""
INSERT_SEGMENT = """
INSERT INTO log_segments (experiment, seq, attempt, trial, "offset", length, gap, at, data) VALUES (:experiment, :seq,
:attempt, :trial, :offset, :length, :gap, :at, :data)
"""
MOVE_SEGMENT = """
UPDATE log_segments SET object_key = :key, object_offset = :at, data = NULL
WHERE experiment = :experiment AND seq = :seq
"""
INSERT_EVENT = """
INSERT INTO events (experiment, seq, at, actor, kind, data) VALUES (:experiment, :seq, :at, :actor, :kind, :data)
"""
DELETE_REPEATED_EVENTS = """
DELETE FROM events WHERE experiment = :experiment AND seq > :after AND seq <= :upto
AND kind IN ('artifacts_kept', 'checkpoint_published', 'metric_reported', 'worker_started')
"""


class FinishedTrial(Struct, frozen=True, gc=False):
    """A finished trial with its place in the history. `parameters`: JSON."""

    number: int
    parameters: str
    state: str
    history_seq: int


HISTORY = Query(
    FinishedTrial,
    """
SELECT number, parameters, state, history_seq FROM trials WHERE experiment = :experiment AND history_seq > :after
AND history_seq % :every = 0 ORDER BY history_seq LIMIT :limit
""",
)


class MetricOfTrial(Struct, frozen=True, gc=False):
    """The final value of a metric of a trial."""

    trial: int
    name: str
    value: float
    stddev: float | None


HISTORY_METRICS = Query(
    MetricOfTrial,
    """
SELECT m.trial, m.name, m.value, m.stddev FROM trial_metrics m JOIN trials r
ON r.experiment = m.experiment AND r.number = m.trial
WHERE m.experiment = :experiment AND r.history_seq > :after AND r.history_seq <= :upto AND m.is_declared
AND r.history_seq % :every = 0
""",
)


class UnfinishedTrial(Struct, frozen=True, gc=False):
    """A trial that is queued or running. `parameters`: JSON."""

    number: int
    parameters: str


UNFINISHED = Query(
    UnfinishedTrial,
    """
SELECT number, parameters FROM trials WHERE experiment = :experiment AND state IN ('queued', 'running') ORDER BY +number
""",
)


class ColumnRows(Struct, frozen=True):
    """Trials by columns, for `Session.columns`. `parameters`: JSON."""

    number: Sequence[int]
    state: Sequence[str]
    parameters: Sequence[str]
    created_at: Sequence[float]
    started_at: Sequence[float | None]
    finished_at: Sequence[float | None]


class FinishedColumns(ColumnRows, frozen=True):
    """Finished trials by columns, with their places in the history."""

    history_seq: Sequence[int]


_COLUMNS = "number, state, parameters, created_at, started_at, finished_at"
FINISHED_COLUMNS = Query(
    FinishedColumns,
    f"""
SELECT {_COLUMNS}, history_seq FROM trials WHERE experiment = :experiment AND history_seq > :after
ORDER BY history_seq LIMIT :limit
""",
)
OPEN_COLUMNS = Query(
    ColumnRows,
    f"""
SELECT {_COLUMNS} FROM trials WHERE experiment = :experiment AND history_seq IS NULL ORDER BY +number
""",
)


class ValueColumns(Struct, frozen=True):
    """Values of metrics by columns, for `Session.columns`."""

    trial: Sequence[int]
    name: Sequence[str]
    value: Sequence[float]


VALUE_COLUMNS = Query(
    ValueColumns,
    """
SELECT m.trial, m.name, m.value FROM trials r JOIN trial_metrics m ON m.experiment = r.experiment AND m.trial = r.number
WHERE r.experiment = :experiment AND r.history_seq > :after AND r.history_seq <= :upto
""",
)


class AttemptSpan(Struct, frozen=True, gc=False):
    """Start and end of an attempt's lease, in seconds since 1970."""

    trial: int
    leased_at: float
    finished_at: float | None


SPANS_BETWEEN = Query(
    AttemptSpan,
    """
SELECT a.trial, a.leased_at, a.finished_at FROM trials r
JOIN attempts a ON a.experiment = r.experiment AND a.trial = r.number
WHERE r.experiment = :experiment AND r.history_seq > :after AND r.history_seq <= :upto
""",
)


class RunColumns(Struct, frozen=True):
    """Start times and durations in seconds of attempts, by columns, for `Session.columns`."""

    trial: Sequence[int]
    started_at: Sequence[float]
    seconds: Sequence[float]


_RAN = """
a.trial, a.started_at, COALESCE(a.wall_seconds, a.finished_at - a.started_at, r.finished_at - a.started_at) AS seconds
FROM trials r CROSS JOIN attempts a WHERE r.experiment = :experiment AND a.experiment = r.experiment
AND a.trial = r.number AND r.finished_at IS NOT NULL AND a.started_at IS NOT NULL
"""
RAN_BETWEEN = Query(RunColumns, f"SELECT {_RAN} AND r.history_seq > :after AND r.history_seq <= :upto")
OPEN_RAN = Query(RunColumns, f"SELECT {_RAN} AND r.history_seq IS NULL")
OPEN_SPANS = Query(
    AttemptSpan,
    """
SELECT a.trial, a.leased_at, a.finished_at FROM trials r CROSS JOIN attempts a
WHERE r.experiment = :experiment AND r.history_seq IS NULL AND a.experiment = r.experiment AND a.trial = r.number
""",
)


class EndedSpan(Struct, frozen=True, gc=False):
    """Start and end of an ended attempt's lease, in seconds since 1970."""

    trial: int
    leased_at: float
    finished_at: float


LAST_SPANS = Query(
    EndedSpan,
    """
SELECT a.trial, a.leased_at, a.finished_at FROM trials r
JOIN attempts a ON a.experiment = r.experiment AND a.trial = r.number
WHERE r.experiment = :experiment AND r.history_seq > :after AND r.state IN ('completed', 'failed', 'pruned')
AND a.finished_at IS NOT NULL ORDER BY a.finished_at
""",
)


class RunSoFar(Struct, frozen=True, gc=False):
    """The attempts of running trials: the number of live ones, and the total duration of all in seconds."""

    live: int
    seconds: float


RUN_SO_FAR = Query(
    RunSoFar,
    """
SELECT COUNT(*) - COUNT(a.finished_at) AS live,
COALESCE(SUM(COALESCE(a.finished_at, :now) - a.leased_at), 0.0) AS seconds
FROM trials r CROSS JOIN attempts a
WHERE r.experiment = :experiment AND r.state = 'running' AND a.experiment = r.experiment AND a.trial = r.number
""",
)


class FailedTrial(Struct, frozen=True, gc=False):
    """A failed trial with its reason as JSON."""

    number: int
    reason: str | None


FAILED_BETWEEN = Query(
    FailedTrial,
    """
SELECT number, reason FROM trials
WHERE experiment = :experiment AND history_seq > :after AND history_seq <= :upto AND state = 'failed'
""",
)
