"""Statements about trials and their folds: created, leased, requeued, finished."""

from __future__ import annotations

from msgspec import Struct

from orchestune.store.rows import Query

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
STATES_OF_FOLDS = Query(str, "SELECT state FROM folds WHERE experiment = :experiment AND trial = :trial")
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
